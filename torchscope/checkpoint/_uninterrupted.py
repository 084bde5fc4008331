"""Work that Ctrl-C does not leave half done."""

from __future__ import annotations

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
    done = threading.Event()
    device, errors = torch.get_default_device(), list[BaseException]()

    def run() -> None:
        try:
            with torch.device(device):
                work()
        except BaseException as error:
            errors.append(error)
        finally:
            done.set()

    interrupt: KeyboardInterrupt | None = None
    threading.Thread(target=run, name="torchscope-uninterrupted").start()
    while not done.is_set():  # no join(): interrupted, it takes the thread for ended (Python 3.11)
        try:
            done.wait()
        except KeyboardInterrupt as error:
            interrupt = error
    if errors:
        raise errors[0]
    if interrupt is not None:
        raise interrupt
