"""Run the suite on other releases of torch and Python, each in an environment of its own, away from the clone.

    python -m tests.releases 2.10.0/3.11 2.15.0/3.12 [--matrix] [--write docs/versions.md]

The core is everything but whole models, examples, benchmarks and what needs TensorFlow; ``--matrix`` runs every model
in every use of PyTorch too. ``--write`` puts what was run into the table of a page, in place of what stood there for
the same releases. Needs uv, and Linux (see ``environment.py``). Where a Python is missing, that is said and the rest is
run.
"""

from __future__ import annotations

import argparse
import datetime
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import NamedTuple

from tests.releases.environment import find_python, make

ROOT = Path(__file__).parents[2]
SUITES = {
    "core": """
    torchscope tests/names tests/variables tests/scopes tests/modules tests/checkpoint tests/graph tests/cli
    tests/port/test_rewriting.py tests/tools
    tests/test_errors.py tests/test_initializers.py tests/test_torch.py tests/oracle/test_regressions.py
    """.split(),
    "matrix": ["tests/models/test_matrix.py", "tests/distributed"],
}
HEADER = "| torch | Python | tests | result | date |"


class Row(NamedTuple):
    """One line of the table of the page."""

    torch: str
    python: str
    suite: str
    result: str
    date: str

    def __str__(self) -> str:
        return f"| {' | '.join(self)} |"


def run(torch: str, python: str, suites: list[str]) -> list[Row]:
    """Run suites on a release, printing what they print."""
    today = datetime.date.today().isoformat()
    release = f"torch {torch} on Python {python}"
    interpreter = find_python(python)
    if interpreter is None:
        print(f"\n*** NOT RUN: {release}, which is not on this machine ***\n", flush=True)
        return [Row(torch, python, suite, "not run", today) for suite in suites]
    with tempfile.TemporaryDirectory() as folder:
        made = make(Path(folder) / "env", torch, interpreter)
        home = install(made, Path(folder))
        return [Row(torch, python, suite, _result(made, home, release, suite), today) for suite in suites]


def install(interpreter: Path, folder: Path) -> Path:
    """Install the wheel as users get it; what the sdist has beside the package is where its tests run."""
    subprocess.run(["uv", "build", "-q", "-o", str(folder), str(ROOT)], check=True)
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    subprocess.run(["uv", "pip", "install", "-q", "--no-deps", "--python", str(interpreter), str(wheel)], check=True)
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    home = folder / sdist.name.removesuffix(".tar.gz")
    shutil.rmtree(home / "torchscope")
    return home


def _result(interpreter: Path, home: Path, release: str, suite: str) -> str:
    """The last line of pytest."""
    print(f"{release}: {suite}", flush=True)
    command = [
        interpreter,
        "-m",
        "pytest",
        "-q",
        "-n",
        "auto",
        "-p",
        "no:cacheprovider",
        "-rfEx",
        "--pyargs",
        *SUITES[suite],
    ]
    done = subprocess.Popen(command, cwd=home, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.stdout is not None
    lines = []
    for line in done.stdout:
        print(line, end="", flush=True)
        lines.append(line)
    done.wait()
    summary = re.search(r"(\d+ (?:failed|passed).*) in ", lines[-1] if lines else "")
    return summary[1] if summary else f"did not run: exit code {done.returncode}"


def went_wrong(result: str) -> bool:
    """Whether a result is that of tests that failed, or did not run though there was a Python for them."""
    return re.search(r"\d+ (failed|error)|did not run", result) is not None


def put(page: str, rows: list[Row]) -> str:
    """The page with these rows in its table."""
    before, header, after = page.partition(HEADER)
    if not header:
        raise ValueError(f"the page has no table that begins with {HEADER}")
    line, *body = after.lstrip("\n").split("\n")
    end = next((n for n, text in enumerate(body) if not text.startswith("|")), len(body))
    old = [Row(*(cell.strip() for cell in text.strip("|").split("|"))) for text in body[:end]]
    new = {row[:3]: row for row in (*old, *rows)}
    ordered = sorted(
        new.values(), key=lambda row: ([int(n) for n in f"{row.torch}.{row.python}".split(".")], row.suite)
    )
    return before + "\n".join([header, line, *map(str, ordered), *body[end:]])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("releases", nargs="+", metavar="TORCH/PYTHON", help="such as 2.10.0/3.11")
    parser.add_argument("--matrix", action="store_true", help="run the matrix of whole models too")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the results into the table of this page")
    args = parser.parse_args()
    suites = list(SUITES) if args.matrix else ["core"]
    rows = []
    for release in args.releases:
        torch, _, python = release.partition("/")
        if not python:
            parser.error(f"not a release of torch and a Python, such as 2.10.0/3.11: {release}")
        rows += run(torch, python, suites)
    print("\n".join([HEADER, *map(str, rows)]))
    if args.write:
        args.write.write_text(put(args.write.read_text(), rows))
    return 1 if any(went_wrong(row.result) for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
