"""How long ``import torchscope`` takes after ``import torch``, in fresh processes.

    python -m benchmarks.importing [--rounds 15]

The bytecode is cached first, as an installed package has it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys

CODE = "import time, torch; start = time.perf_counter(); import torchscope; print(time.perf_counter() - start)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    times = []
    for _ in range(args.rounds + 1):
        done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True, env=environment)
        times.append(float(done.stdout))
    print(f"| `import torchscope` after `import torch` | | {statistics.median(times[1:]) * 1e3:.1f} ms | <= 15 ms | |")


if __name__ == "__main__":
    main()
