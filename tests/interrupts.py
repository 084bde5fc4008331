"""Ctrl-C at random moments, by real signals: what is left of it is checked after each.

    python -m tests.interrupts [--rounds 2000] [--seed 0]

Each round starts from a fresh module and sets a timer to a random time within the length of the work, which then raises
what Ctrl-C does: in a first call, ``build``, a block of ``as_default``, the loading of a checkpoint. Afterwards nothing
may be open, held, counted or half made. What broke is printed and counted. The exit code is 1 if anything is half made
or held; that a scope stays open cannot be ruled out, since Python may interrupt the very function that closes it.
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
from pathlib import Path

import torch
from torch import Tensor, nn

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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    args = parser.parse_args()
    torch.set_num_threads(1)
    draw, faults, interrupted = random.Random(args.seed), Counter[str](), Counter[str]()
    print(f"{args.rounds} rounds of {', '.join(WORK)} from seed {args.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "file.pt"
        expected = ScopedModule(forward, seed=0).build(X).state_dict()
        torch.save({name: torch.zeros_like(value) for name, value in expected.items()}, file)
        lengths = {work: seconds(work, file) for work in WORK}
        for number in range(args.rounds):
            work = [*WORK][number % len(WORK)]
            model, generator = fresh(work), torch.default_generator.get_state()
            before = {name: value.clone() for name, value in (model.state_dict() or expected).items()}
            done = False
            try:
                signal.setitimer(signal.ITIMER_REAL, draw.uniform(1e-6, lengths[work]))
                try:
                    WORK[work](model, file)
                finally:
                    signal.setitimer(signal.ITIMER_REAL, 0)
                done = True
            except KeyboardInterrupt:
                interrupted[work] += 1
            if not done:  # looked at when the exception, and what it kept alive, is gone
                for fault in broken(model, work, generator, before, file):
                    faults[f"{work}: {fault}"] += 1
                restore()
    for work, count in interrupted.items():
        print(f"{work}: interrupted {count} times")
    for fault, count in faults.items():
        print(f"  {fault}: {count}")
    return 1 if any(fault.partition(": ")[2] in LASTING for fault in faults) else 0


def interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGALRM, interrupt)
    sys.exit(main())
