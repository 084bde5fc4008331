"""The blocks of Python between fences in the documentation run, in the order of their page, with what is typed there.

What is typed at ``>>>`` runs as a doctest beside this. A block of another library's code is fenced as ``py``.
"""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.pages import PAGES, blocks, program

NEEDS = {"trainers": ("lightning", "transformers", "accelerate", "peft")}  # beside the extra ``test``
WITH_BLOCKS = [page for page in PAGES if blocks(page)]


def test_pages_with_blocks_are_found() -> None:
    assert {"pytorch", "start", "trainers", "shipping"} <= {page.stem for page in WITH_BLOCKS}


@pytest.mark.no_cover
@pytest.mark.parametrize("page", WITH_BLOCKS, ids=lambda page: page.stem)
def test_the_code_of_a_page_runs_from_top_to_bottom(page: Path, tmp_path: Path) -> None:
    for package in NEEDS.get(page.stem, ()):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed (extra trainers)")
    (tmp_path / "page.py").write_text(program(page))
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    alone = {"MASTER_ADDR": "localhost", "MASTER_PORT": port, "RANK": "0", "WORLD_SIZE": "1"}
    done = subprocess.run(
        [sys.executable, "page.py"],
        cwd=tmp_path,
        env={**os.environ, **alone},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
