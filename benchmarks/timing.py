"""Interleaved rounds and their medians: what all benchmarks measure with."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping


def medians(functions: Mapping[str, Callable[[], object]], rounds: int, repeat: int) -> dict[str, float]:
    """Seconds per call of each function: medians over interleaved rounds of ``repeat`` calls."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        function()
    for _ in range(rounds):
        for name, function in functions.items():
            gc.collect()
            start = time.perf_counter()
            for _ in range(repeat):
                function()
            times[name].append((time.perf_counter() - start) / repeat)
    return {name: statistics.median(values) for name, values in times.items()}


def report(what: str, rival: str, ratio: float, must: str, more: str = "") -> None:
    """One line of the table."""
    shown = f"{ratio:.2f}" if ratio >= 0.1 else f"{ratio:.3f}"
    print(f"| {what} | {rival} | {shown} | {must} | {more}{' |' if more else '|'}", flush=True)
