"""All benchmarks, as the table of ``docs/performance.md``.

    python -m benchmarks

Each runs in a process of its own, which compares results before it times anything; together they take a quarter of an
hour. Each has its own ``--help``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

import torch

ALL = (
    "get_variable",
    "forward",
    "compiled",
    "regional",
    "tf1",
    "building",
    "scale",
    "importing",
    "rivals",
    "checkpoint",
)


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    print(f"torch {torch.__version__}, Python {sys.version.split()[0]}\n")
    print("| what | against | ratio | must be | |\n|---|---|---|---|---|", flush=True)
    for name in ALL:
        subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=True)


if __name__ == "__main__":
    main()
