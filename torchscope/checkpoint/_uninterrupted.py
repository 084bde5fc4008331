"""Work that Ctrl-C does not leave half done."""

from __future__ import annotations

import _thread
import sys
import threading
from collections.abc import Callable

import torch


def uninterrupted(work: Callable[[], None]) -> None:
    """Do some work to its end, and raise only then what a signal raised meanwhile: ``KeyboardInterrupt`` or another.

    Python runs handlers of signals in the main thread alone. So the work is done in another thread, for which the main
    one waits, in the same default device and inference mode. Called from another thread, it is done there.
    """
    if threading.current_thread() is not threading.main_thread():
        work()
        return
    device, inference = torch.get_default_device(), torch.is_inference_mode_enabled()
    to_do, ended, errors = [work], list[bool](), list[BaseException]()
    running = _thread.allocate_lock()
    running.acquire()

    def run() -> None:
        try:
            only = to_do.pop()
        except IndexError:  # another thread does it, or nobody is to do it any more
            return
        trace = threading.gettrace()
        if trace is not None:  # of a debugger, or of what measures coverage: threading.Thread does the same
            sys.settrace(trace)
        try:
            with torch.device(device), torch.inference_mode(inference):
                only()
        except BaseException as error:
            errors.append(error)
        finally:
            ended.append(True)
            running.release()

    interrupt = _start_and_wait(run, running, to_do, ended)
    try:
        if interrupt is not None:
            raise interrupt from (errors[0] if errors else interrupt.__cause__)
        if errors:
            raise errors[0]
    finally:
        interrupt = None  # the frame is in its traceback: no cycle keeps what was opened
        errors.clear()


def _start_and_wait(
    run: Callable[[], None], running: _thread.LockType, to_do: list[Callable[[], None]], ended: list[bool]
) -> BaseException | None:
    """Start a thread and wait until it notes that it has ended; what a signal raised meanwhile, if one did.

    A signal may come as soon as the thread has started, before it is noted here that it has. While the thread has not
    taken the work, the work is taken from it, and nothing is done. (``start()`` and ``join()`` of ``threading.Thread``
    break if they are interrupted.)
    """
    started, interrupt = 0, None
    while not ended:
        try:
            while not ended:  # in here, so that the jump back to its beginning is in the ``try`` too
                started = started or _thread.start_new_thread(run, ())
                running.acquire(timeout=0.1)
        except BaseException as error:
            try:
                to_do.pop()
            except IndexError:  # it is being done
                interrupt = error
                continue
            raise
    return interrupt
