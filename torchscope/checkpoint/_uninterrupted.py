"""Work that Ctrl-C does not leave half done."""

from __future__ import annotations

import _thread
import sys
import threading
from collections.abc import Callable

import torch


def uninterrupted(work: Callable[[], None]) -> None:
    """Do some work to its end, and raise a ``KeyboardInterrupt`` that came meanwhile only then.

    Python runs handlers of signals in the main thread alone. So the work is done in another thread, for which the main
    one waits, in the same default device. Called from another thread, it is done there.
    """
    if threading.current_thread() is not threading.main_thread():
        work()
        return
    device, ended, errors = torch.get_default_device(), list[bool](), list[BaseException]()
    running = _thread.allocate_lock()
    running.acquire()

    def run() -> None:
        trace = threading.gettrace()
        if trace is not None:  # of a debugger, or of what measures coverage: threading.Thread does the same
            sys.settrace(trace)
        try:
            with torch.device(device):
                work()
        except BaseException as error:
            errors.append(error)
        finally:
            ended.append(True)
            running.release()

    interrupt: KeyboardInterrupt | None = None
    _thread.start_new_thread(run, ())  # of threading.Thread, start() and join() break if they are interrupted
    while not ended:
        try:
            running.acquire(timeout=0.1)
        except KeyboardInterrupt as error:
            interrupt = error
    try:
        if errors:
            raise errors.pop()
        if interrupt is not None:
            raise interrupt
    finally:
        interrupt = None  # the frame is in its traceback: no cycle keeps what was opened
