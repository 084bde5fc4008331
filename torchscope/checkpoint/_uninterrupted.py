"""Work that Ctrl-C does not leave half done."""

from __future__ import annotations

import _thread
import sys
import threading
from collections.abc import Callable, Collection

import torch


def uninterrupted(work: Callable[[], None]) -> None:
    """Do some work to its end, and raise a ``KeyboardInterrupt`` that came meanwhile only then.

    Python runs handlers of signals in the main thread alone. So the work is done in another thread, for which the main
    one waits, in the same default device. Called from another thread, it is done there.
    """
    if threading.current_thread() is not threading.main_thread():
        work()
        return
    device, to_do, ended, errors = torch.get_default_device(), [work], list[bool](), list[BaseException]()
    running = _thread.allocate_lock()
    running.acquire()

    def run() -> None:
        try:
            only = to_do.pop()
        except IndexError:  # started twice: see below
            return
        trace = threading.gettrace()
        if trace is not None:  # of a debugger, or of what measures coverage: threading.Thread does the same
            sys.settrace(trace)
        try:
            with torch.device(device):
                only()
        except BaseException as error:
            errors.append(error)
        finally:
            ended.append(True)
            running.release()

    interrupt = _start_and_wait(run, running, ended)
    try:
        if errors:
            raise errors.pop()
        if interrupt is not None:
            raise interrupt
    finally:
        interrupt = None  # the frame is in its traceback: no cycle keeps what was opened


def _start_and_wait(
    run: Callable[[], None], running: _thread.LockType, ended: Collection[bool]
) -> KeyboardInterrupt | None:
    """Start a thread and wait until it notes that it has ended; the interrupt that came meanwhile, if one did.

    An interrupt may come as soon as the thread has started, before it is noted here that it has. The thread is then
    started again, and the second one finds nothing to do. (``start()`` and ``join()`` of ``threading.Thread`` break if
    they are interrupted.)
    """
    started, interrupt = 0, None
    while not ended:
        try:
            while not ended:  # in here, so that the jump back to its beginning is in the ``try`` too
                started = started or _thread.start_new_thread(run, ())
                running.acquire(timeout=0.1)
        except KeyboardInterrupt as error:
            interrupt = error
    return interrupt
