"""The notebook, run by a Jupyter kernel from top to bottom, and then each cell once more."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FILE = Path(__file__).parents[2] / "examples" / "quick_start.ipynb"
NOTEBOOK = nbformat.read(FILE, as_version=4)
CODE = [index for index, cell in enumerate(NOTEBOOK.cells) if cell.cell_type == "code"]


@pytest.fixture(scope="module")
def client() -> Iterator[NotebookClient]:
    """A kernel in which the whole notebook was run once."""
    client = NotebookClient(NOTEBOOK, timeout=120)
    with client.setup_kernel(cwd=str(FILE.parent)):
        for index in CODE:
            client.execute_cell(NOTEBOOK.cells[index], index)
        yield client


def printed(index: int) -> str:
    return "".join(
        output.text if output.output_type == "stream" else output.get("data", {}).get("text/plain", "")
        for output in NOTEBOOK.cells[index].outputs
    )


def cell_with(text: str) -> int:
    (index,) = (index for index in CODE if text in NOTEBOOK.cells[index].source)
    return index


def test_the_notebook_is_kept_without_outputs() -> None:
    for cell in nbformat.read(FILE, as_version=4).cells:
        assert not cell.get("outputs"), cell.source
        assert not cell.get("execution_count"), cell.source


def test_no_cell_prints_a_warning(client: NotebookClient) -> None:
    for index in CODE:
        streams = [output.name for output in NOTEBOOK.cells[index].outputs if output.output_type == "stream"]
        assert "stderr" not in streams, printed(index)


def test_the_model_learns(client: NotebookClient) -> None:
    assert float(printed(cell_with("optimizer.step()"))) < 0.2


def test_the_error_names_the_cell_that_made_the_variable(client: NotebookClient) -> None:
    assert "'same/kernel' was already got in this call of ScopedModule(twice) (made at Cell In[" in printed(
        cell_with("def twice")
    )


def test_what_was_saved_is_loaded(client: NotebookClient) -> None:
    assert printed(cell_with("load_state_dict")) == "True"


def test_every_cell_may_be_run_again_in_any_order(client: NotebookClient) -> None:
    order = random.Random(0).sample(CODE, len(CODE))
    for index in order + CODE[::-1]:
        client.execute_cell(NOTEBOOK.cells[index], index)
