"""Ctrl-C at random moments, by real signals, and at every place: what is left of it is checked after each.

    python -m tests.interrupts [--rounds 2000] [--seed 0] [--every 1]

Each round starts from a fresh module and sets a timer to a random time within the length of the work, which then
raises what Ctrl-C does: in a first call, ``build``, a block of ``as_default``, the loading of a checkpoint. Then the
same work is interrupted at the beginning of every ``--every``-th function of the library that it runs, which is where
Python looks for signals. Afterwards nothing may be open, held, counted or half made. What broke is printed and counted.
The exit code is 1 if anything is half made or held; that a scope stays open cannot be ruled out, since Python may
interrupt the very function that closes it.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import FrameType

import torch
from torch import Tensor, nn

import torchscope
from torchscope import ScopedModule, get_buffer, get_module, get_variable, variable_scope
from torchscope._scopes.stack import current_scope, thread
from torchscope._variables.initialize import creating
from torchscope.checkpoint import load_checkpoint

X = torch.linspace(-1, 1, 4)


def forward(x: Tensor) -> Tensor:
    for layer in range(6):
        with variable_scope(f"layer_{layer}", regularizer=lambda w: w.sum()) as scope:
            x = x * get_variable("w", [4]) + get_buffer("b", [4], initializer=nn.init.ones_)
            with variable_scope(None, "inner"):
                x = x + get_variable("cut", [4], partitioner=lambda shape, dtype: [2])
            with variable_scope(scope, reuse=True):
                x = x - get_variable("w")
    return get_module("linear", nn.Linear, 4, 4)(x)


def call(model: ScopedModule, file: Path) -> None:
    model(X)


def build(model: ScopedModule, file: Path) -> None:
    model.build(X)


def block(model: ScopedModule, file: Path) -> None:
    with model.as_default():
        forward(X)


def load(model: ScopedModule, file: Path) -> None:
    load_checkpoint(model, file)


WORK: dict[str, Callable[[ScopedModule, Path], None]] = {
    "call": call,
    "build": build,
    "as_default": block,
    "load": load,
}


# What the next call of the thread does not put right by itself.
LASTING = (
    "the lock is held",
    "a part of the file is loaded",
    "a part of the variables is made",
    "built and without variables, or the other way round",
)


def fresh(work: str) -> ScopedModule:
    model = ScopedModule(forward, seed=0)
    return model.build(X) if work == "load" else model


def seconds(work: str, file: Path) -> float:
    """How long the work takes: the median of a few times."""
    times = []
    for _ in range(7):
        model = fresh(work)
        start = time.perf_counter()
        WORK[work](model, file)
        times.append(time.perf_counter() - start)
    return sorted(times)[3]


def broken(model: ScopedModule, work: str, generator: Tensor, before: dict[str, Tensor], file: Path) -> Iterator[str]:
    """What is not as it was before, or not as it is after the whole work."""
    store = model.variables
    if thread.stack.call is not None or current_scope() is not None:
        yield "a scope is open"
    if store.building_calls or store.building or store.first_values:
        yield "a build is noted as running"
    if creating.depth:
        yield "a counter is raised"
    if not torch.equal(torch.default_generator.get_state(), generator):
        yield "the generator is elsewhere"
    if not torch.is_grad_enabled() or torch.is_inference_mode_enabled():
        yield "gradients are off"
    free: list[bool] = []

    def take() -> None:
        free.append(store.lock.acquire(timeout=1))
        if free[0]:
            store.lock.release()

    other = threading.Thread(target=take)
    other.start()
    other.join()
    if free != [True]:
        yield "the lock is held"
        return
    state = model.state_dict()
    if work == "load":
        loaded = {name: torch.equal(value, before[name]) for name, value in state.items()}
        if len(set(loaded.values())) > 1:
            yield "a part of the file is loaded"
    elif work != "as_default" and len(state) not in (0, len(before)):
        yield "a part of the variables is made"
    elif work != "as_default" and model.built != bool(state):
        yield "built and without variables, or the other way round"


def restore() -> None:
    """Let the next round begin where a broken one did not end."""
    thread.stack.call, creating.depth = None, 0
    torch.set_grad_enabled(True)


PACKAGE = str(Path(torchscope.__file__).parent)
Found = Iterator[tuple[str, str]]  # the work, and what broke


class Places:
    """Raises what Ctrl-C does at the beginning of the n-th function of the library that is run; 0 only counts them."""

    def __init__(self, number: int) -> None:
        self.number, self.count, self.where = number, 0, ""

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        if not code.co_filename.startswith(PACKAGE):
            return
        self.count += 1
        if self.count == self.number:
            self.where = f"{Path(code.co_filename).name}:{code.co_firstlineno} {code.co_name}"
            raise KeyboardInterrupt

    def __enter__(self) -> Places:
        sys.settrace(self)
        return self

    def __exit__(self, *error: object) -> None:
        sys.settrace(None)


def tried(
    work: str, file: Path, expected: dict[str, Tensor], interrupts: Callable[[], AbstractContextManager[object]]
) -> Iterator[str]:
    """Do the work under what interrupts it; what is broken then, if it was."""
    model, generator = fresh(work), torch.default_generator.get_state()
    before = {name: value.clone() for name, value in (model.state_dict() or expected).items()}
    done = False
    try:
        with interrupts():
            WORK[work](model, file)
        done = True
    except KeyboardInterrupt:
        yield "interrupted"
    except RuntimeError as error:  # of torch's, whose stack of modes an interrupt may leave in disorder
        yield f"interrupted, and torch raised {error}"
    if not done:  # looked at when the exception, and what it kept alive, is gone
        yield from broken(model, work, generator, before, file)
        restore()


@contextmanager
def timer(seconds: float) -> Iterator[None]:
    """A signal after this time."""
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def by_signals(file: Path, expected: dict[str, Tensor], rounds: int, draw: random.Random) -> Found:
    """Signals at random times."""
    lengths = {work: seconds(work, file) for work in WORK}
    for number in range(rounds):
        work = [*WORK][number % len(WORK)]
        moment = draw.uniform(1e-6, lengths[work])
        for fault in tried(work, file, expected, lambda moment=moment: timer(moment)):  # type: ignore[misc]
            yield work, fault


def by_places(file: Path, expected: dict[str, Tensor], every: int) -> Found:
    """An interrupt at every place, or every so manieth."""
    for work in WORK:
        places = Places(0)
        list(tried(work, file, expected, lambda places=places: places))  # type: ignore[misc]
        for number in range(1, places.count + 1, every):
            place = Places(number)
            for fault in tried(work, file, expected, lambda place=place: place):  # type: ignore[misc]
                yield work, fault if fault in ("interrupted", *LASTING) else f"{fault}, from {place.where}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--every", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(1)
    lasting = False
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "file.pt"
        expected = ScopedModule(forward, seed=0).build(X).state_dict()
        torch.save({name: torch.zeros_like(value) for name, value in expected.items()}, file)
        ways = {
            f"{args.rounds} signals at random times, from seed {args.seed}": by_signals(
                file, expected, args.rounds, random.Random(args.seed)
            ),
            f"at the beginning of every function, or every {args.every}th": by_places(file, expected, args.every),
        }
        for way, found in ways.items():
            print(way, flush=True)
            counted = Counter(found)
            for (work, fault), count in sorted(counted.items()):
                print(f"  {work}: {fault}: {count}")
            lasting |= any(fault in LASTING for _, fault in counted)
    return 1 if lasting else 0


def interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGALRM, interrupt)
    sys.exit(main())
