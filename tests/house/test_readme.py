"""README's example, run as it stands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def python_block() -> str:
    found = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert found
    return found.group(1)


def indented_after(text: str) -> str:
    """The first indented block of README after some text."""
    found = re.search(r"\n\n((?:    .*\n)+)", README[README.index(text) :])
    assert found
    return "".join(line[4:] + "\n" for line in found.group(1).splitlines())


def run(folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    (folder / "model.py").write_text(code)
    return subprocess.run(
        [sys.executable, "model.py"], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_first_model_prints_what_readme_says(tmp_path: Path) -> None:
    done = run(tmp_path, python_block())
    assert done.stderr == ""
    assert done.stdout == indented_after("print(path, spec.shape)")


def test_the_summary_is_what_readme_shows_and_the_selections_run(tmp_path: Path) -> None:
    first, second, third = re.findall(r"```python\n(.*?)```", README, re.DOTALL)[:3]
    done = run(tmp_path, first + second + third)
    assert done.stderr == ""
    table = re.search(r"print\(model\.summary\(.*?\)\)\n```\n\n((?:    .*\n|\n)+)", README)
    assert table
    shown = "".join(line.removeprefix("    ") + "\n" for line in table[1].rstrip().splitlines())
    assert done.stdout.endswith(shown)


def test_without_reuse_the_first_model_ends_in_the_error_that_readme_shows(tmp_path: Path) -> None:
    code = python_block()
    line = next(line for line in code.splitlines(keepends=True) if "scope.reuse_variables()" in line)
    done = run(tmp_path, code.replace(line, ""))
    assert done.stderr.endswith(indented_after("Without `scope.reuse_variables()`"))
