"""Mutation testing of one file: each small fault that is put into it must be noticed by a test.

    python -m pip install -c constraints.txt -e '.[dev]'
    python -m tests.mutate torchscope/_names/paths.py [more files] [--jobs 2]

The faults are made by cosmic-ray. Each is tried in a copy of the project, by those tests of the file's floor that run
the statement it is in, which coverage says; then by the others, since it sees no line that a compiler traces. What no
test notices is printed, and the exit code is then 1, unless ``tests/equivalent_mutants.toml`` says why nothing could
notice it. Faults in type annotations, which nothing runs, are not tried.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import difflib
import os
import shutil
import signal
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).parents[1]
LIMIT = 45  # seconds for one test: without a fault, the slowest takes seven
ALL: list[str] = []  # as the tests that are wanted: all of the floor
ENDLESS = -signal.SIGALRM
# pytest's exit codes for tests that fail and for a file that cannot be imported; the last, of a test that never ends.
NOTICED = (1, 2, ENDLESS)
# Of cosmic-ray's operators, one for each way to be wrong: a comparison turned round or off by one at its boundary, a
# condition negated, an operator or a number changed, a loop left out, an exception not caught.
FAULTS = """
AddNot ReplaceUnaryOperator_Delete_Not ReplaceTrueWithFalse ReplaceFalseWithTrue ReplaceAndWithOr ReplaceOrWithAnd
ReplaceBreakWithContinue ReplaceContinueWithBreak ExceptionReplacer NumberReplacer RemoveDecorator ZeroIterationForLoop
ReplaceComparisonOperator_Eq_NotEq ReplaceComparisonOperator_NotEq_Eq ReplaceComparisonOperator_Lt_LtE
ReplaceComparisonOperator_LtE_Lt ReplaceComparisonOperator_Gt_GtE ReplaceComparisonOperator_GtE_Gt
ReplaceComparisonOperator_Is_IsNot ReplaceComparisonOperator_IsNot_Is ReplaceUnaryOperator_USub_UAdd
ReplaceBinaryOperator_Add_Sub ReplaceBinaryOperator_Sub_Add ReplaceBinaryOperator_Mul_Add
ReplaceBinaryOperator_Div_Mul ReplaceBinaryOperator_FloorDiv_Mul ReplaceBinaryOperator_Mod_Add
ReplaceBinaryOperator_BitOr_BitAnd ReplaceBinaryOperator_BitAnd_BitOr ReplaceBinaryOperator_BitXor_BitAnd
ReplaceBinaryOperator_LShift_RShift ReplaceBinaryOperator_RShift_LShift
""".split()
# The tests of each floor, the likeliest to notice something first; and the doctests of the file itself.
TESTS = {
    "torchscope/_names": [
        "tests/names",
        "tests/scopes",
        "tests/oracle/test_regressions.py",
        "tests/modules/test_recompute.py",
    ],
    "torchscope/_variables": ["tests/variables", "tests/scopes", "tests/modules", "tests/models/test_stress.py"],
    "torchscope/_scopes": [
        "tests/scopes",
        "tests/names",
        "tests/oracle/test_regressions.py",
        "tests/variables",
        "tests/modules",
        "tests/tools/test_getters.py",
        "tests/tools/test_capture.py",
        "tests/tools/test_everywhere.py",
    ],
    "torchscope/_modules": ["tests/modules", "tests/variables", "tests/models/test_stress.py"],
    "torchscope/checkpoint": [
        "tests/checkpoint/test_layout.py",
        "tests/checkpoint/test_load.py",
        "tests/checkpoint/test_open.py",
        "tests/cli",
        "tests/checkpoint",
    ],
}


class Mutant(NamedTuple):
    """A file with one fault in it."""

    file: str
    code: str
    line: int
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}\n  - {self.before}\n  + {self.after}"


def what_runs(code: str) -> str:
    """The program without its annotations and protocols: two texts that differ in nothing else do the same."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and any(ast.unparse(base) == "Protocol" for base in node.bases):
            node.body = [ast.Pass()]
        elif isinstance(node, ast.FunctionDef):
            node.returns = None
        elif isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant(None)
    return ast.dump(tree)


def mutants(file: str) -> Iterator[Mutant]:
    """Each fault that cosmic-ray knows, once."""
    import cosmic_ray.mutating  # here: pytest looks for doctests in this file, also where cosmic-ray is not installed
    import cosmic_ray.plugins

    original = (ROOT / file).read_text()
    seen = {what_runs(original)}
    for fault in FAULTS:
        operator, occurrence = cosmic_ray.plugins.get_operator(f"core/{fault}")(), 0
        while (code := cosmic_ray.mutating.mutate_code(original, operator, occurrence)) is not None:
            occurrence += 1
            with contextlib.suppress(SyntaxError):
                if what_runs(code) not in seen:
                    seen.add(what_runs(code))
                    yield located(file, original, code)


def located(file: str, original: str, code: str) -> Mutant:
    """A fault with the line that it is in."""
    before, after = original.splitlines(), code.splitlines()
    changes = difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    _, start, end, first, last = next(change for change in changes if change[0] != "equal")
    return Mutant(file, code, start + 1, _one(before[start:end]), _one(after[first:last]))


def _one(lines: list[str]) -> str:
    return " ".join(line.strip() for line in lines)


def equivalent(file: str) -> dict[tuple[str, str], str]:
    """The faults of a file that nothing can notice, and why."""
    known = tomllib.loads((ROOT / "tests" / "equivalent_mutants.toml").read_text()).get(file, [])
    return {(each["before"], each["after"]): each["reason"] for each in known}


def is_noticed(mutant: Mutant, copy: Path, likely: list[str]) -> bool:
    """Whether a test of its floor fails or never ends: one of those that are likely to, or another one."""
    (copy / mutant.file).write_text(mutant.code)
    try:
        return any(outcome(mutant.file, copy, tests) in NOTICED for tests in ([likely, ALL] if likely else [ALL]))
    finally:
        shutil.copy(ROOT / mutant.file, copy / mutant.file)


def statement_at(file: str, line: int) -> range:
    """The lines of the statement that a line is in; of one that holds others, the lines before these."""
    found = range(line, line + 1)
    for node in ast.walk(ast.parse((ROOT / file).read_text())):  # from the outside
        if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or 0):
            body = getattr(node, "body", None)
            end = body[0].lineno if body else (node.end_lineno or 0) + 1
            found = range(node.lineno, max(end, line + 1))
    return found


def tests_by_line(file: str, copy: Path) -> dict[int, list[str]]:
    """Which tests run each line of a file; a line that runs when it is imported has an empty name among them."""
    import coverage

    data = coverage.CoverageData(str(copy / "coverage"))
    data.read()
    lines = data.contexts_by_lineno(str(copy / file))
    return {line: [context.partition("|")[0] for context in contexts] for line, contexts in lines.items()}


def tests_of(mutant: Mutant, by_line: dict[int, list[str]]) -> list[str]:
    """The tests that run the statement of a fault; none if it is not known, as of what runs when it is imported."""
    found = {test for line in statement_at(mutant.file, mutant.line) for test in by_line.get(line, [])}
    return [] if "" in found else sorted(found)


def floor_of(file: str) -> str:
    return next(floor for floor in TESTS if file.startswith(floor))


def outcome(file: str, copy: Path, tests: list[str], *, measured: bool = False) -> int:
    """What pytest says of tests of a file's floor: run in a fork of this process, which has imported torch already.

    Raises:
        RuntimeError: pytest itself failed, so that its answer means nothing.
    """
    floor = floor_of(file)
    # Its doctests, if it has some: pytest imports a file a second time to look for them.
    doctests = [floor] if measured else [file] if ">>>" in (copy / file).read_text() else []
    whole = [*doctests, *TESTS[floor]]
    child = os.fork()
    if child == 0:
        _run_tests(copy, sorted({test.partition("::")[0] for test in tests}) or whole, tests, measured)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # what a test started and did not end
    if code not in (0, *NOTICED):
        raise RuntimeError(f"the tests of {file} did not run: exit code {code}")
    return code


class Watch:
    """A plugin of pytest: tests that noticed faults before come first, and one that takes too long ends the process."""

    def __init__(self, copy: Path, wanted: list[str]) -> None:
        self.notes, self.wanted = copy / "noticed.txt", set(wanted)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        noticed = Counter(self.notes.read_text().splitlines()) if self.notes.exists() else Counter[str]()
        items[:] = [item for item in items if item.nodeid in self.wanted or not self.wanted]
        items.sort(key=lambda item: -noticed[item.nodeid])

    def pytest_runtest_logstart(self) -> None:
        signal.alarm(LIMIT)  # it also ends C code

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            with self.notes.open("a") as notes:
                notes.write(report.nodeid + "\n")


def _run_tests(copy: Path, paths: list[str], wanted: list[str], measured: bool) -> None:
    """In the child: run the tests of the copy, those that are wanted or all, and exit, 0 if all pass."""
    code = 70
    try:
        os.setpgid(0, 0)
        os.chdir(copy)
        os.environ["PYTHONPATH"] = sys.path[0] = str(copy)
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
        for module in [name for name in sys.modules if name.split(".")[0] in ("torchscope", "tests")]:
            del sys.modules[module]
        import pytest

        options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--stress-rounds", "30"]
        if measured:
            os.environ["COVERAGE_FILE"] = str(copy / "coverage")
            options += ["--cov=torchscope", "--cov-context=test", "--cov-report="]
        signal.alarm(LIMIT)  # for what is imported
        code = int(pytest.main([*options, *paths], [Watch(copy, wanted)]))
    finally:
        os._exit(code)


def copies(folder: Path, count: int) -> Queue[Path]:
    """So many copies of the project, free to be taken."""
    free: Queue[Path] = Queue()
    for number in range(count):
        ignored = shutil.ignore_patterns(".git", "__pycache__", ".*_cache", ".venv", ".hypothesis")
        free.put(Path(shutil.copytree(ROOT, folder / str(number), ignore=ignored)))
    return free


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", help="files of the library, from the root of the project")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    import numpy  # noqa: F401  # for the forks to have; not hypothesis, which pytest wants to import itself
    import pytest  # noqa: F401
    import torch

    torch.set_num_threads(1)
    sys.path.insert(0, str(ROOT))
    survived = 0
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(args.jobs) as pool:
        free = copies(Path(folder), args.jobs + 1)
        original, measured = free.get(), ""

        def attempt(mutant: Mutant) -> tuple[Mutant, bool]:
            copy = free.get()
            try:
                return mutant, is_noticed(mutant, copy, tests_of(mutant, by_line))
            finally:
                free.put(copy)

        for file in args.files:
            if floor_of(file) != measured:
                if outcome(file, original, ALL, measured=True) != 0:
                    sys.exit(f"{file}: its tests fail without any fault in it")
                measured = floor_of(file)
            by_line = tests_by_line(file, original)
            known, every = equivalent(file), list(mutants(file))
            tried = [mutant for mutant in every if (mutant.before, mutant.after) not in known]
            unnoticed = []
            for number, (mutant, noticed) in enumerate(pool.map(attempt, tried), 1):
                print(f"\r{number} of {len(tried)}", end="", file=sys.stderr, flush=True)
                if not noticed:
                    unnoticed.append(mutant)
                    print(f"\n{mutant}", flush=True)
            equal = len(every) - len(tried)
            print(f"{file}: {len(every)} faults, {len(tried) - len(unnoticed)} noticed, {equal} equivalent", flush=True)
            survived += len(unnoticed)
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
