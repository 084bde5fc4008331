"""The image filter, run on real photographs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.programs import in_a_process, in_this_process

EXAMPLE = Path(__file__).parents[2] / "examples" / "image_filter.py"
TABLE = """\
variable                     shape            elements  uses
image_filters/conv1/weights  32 x 3 x 5 x 5      2,400     2
image_filters/conv1/biases   32                     32     2
image_filters/conv2/weights  32 x 32 x 5 x 5    25,600     2
image_filters/conv2/biases   32                     32     2
4 variables                                     28,064"""


def losses(printed: str) -> tuple[float, float]:
    found = re.findall(r"^loss .* (\d\.\d+)$", printed, re.MULTILINE)
    return float(found[0]), float(found[1])


def photographs(folder: Path, rows: int, columns: int) -> None:
    """``0.png`` in colour and ``1.png`` in grey, the second 20 rows taller."""
    from PIL import Image
    from sklearn.datasets import load_sample_images

    for index, photograph in enumerate(load_sample_images().images):
        cut = Image.fromarray(photograph[: rows + 20 * index, :columns])
        cut.convert("L" if index else "RGB").save(folder / f"{index}.png")


def test_the_filter_learns_to_take_noise_away_with_four_variables(tmp_path: Path) -> None:
    from PIL import Image

    photographs(tmp_path, rows=80, columns=120)
    arguments = ["0.png", "1.png", "--steps", "60", "--device", "cpu", "--out", "seen.png"]
    done = in_a_process(EXAMPLE, *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert TABLE in done.stdout
    start, end = losses(done.stdout)
    assert end < start / 3
    assert "learning" in done.stderr
    with Image.open(tmp_path / "seen.png") as picture:
        assert min(picture.size) > 300
        assert len(picture.convert("L").getcolors() or range(256)) > 100


def test_the_filter_runs_on_images_of_the_user(tmp_path: Path) -> None:
    photographs(tmp_path, rows=60, columns=90)
    done = in_this_process(EXAMPLE, "0.png", "1.png", "--steps", "1", "--device", "cpu", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert TABLE in done.stdout
    assert (tmp_path / "image_filter.png").stat().st_size > 1000


def test_the_filter_saves_its_graph(tmp_path: Path) -> None:
    photographs(tmp_path, rows=60, columns=90)
    without_training = ["--steps", "0", "--graph", "runs/filter"]
    done = in_this_process(EXAMPLE, "0.png", "1.png", "--device", "cpu", *without_training, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "graph saved to runs/filter" in done.stdout
    assert "image_filters/conv1" in (tmp_path / "runs" / "filter" / "graph.svg").read_text()
    assert list((tmp_path / "runs" / "filter").glob("events.out.tfevents.*"))


MISTAKES = {
    "a missing file": (["no.png", "no.png"], "image_filter.py: no such file: no.png"),
    "no image": (["text.txt", "text.txt"], "image_filter.py: not an image that can be read: text.txt"),
    "an empty file": (["empty", "empty"], "image_filter.py: not an image that can be read: empty"),
    "a folder": ([".", "."], "image_filter.py: not an image that can be read: ."),
    "one image": (["text.txt"], "image_filter.py: error: give two images or none, not 1"),
    "negative steps": (["--steps", "-1"], "image_filter.py: error: --steps must not be negative, not -1"),
    "no such folder": (["--out", "no/where.png"], "image_filter.py: error: --out: no such folder: no"),
    "no folder for the graph": (["--graph", "text.txt"], "image_filter.py: error: --graph: not a folder: text.txt"),
    "no such device": (["--device", "tpu"], "image_filter.py: error: argument --device: invalid choice: 'tpu'"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_ends_in_one_clear_line_and_exit_code_2(mistake: str, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("no image")
    (tmp_path / "empty").touch()
    arguments, message = MISTAKES[mistake]
    done = in_this_process(EXAMPLE, *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].startswith(message)
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_cuda_without_cuda_ends_in_one_clear_line_and_exit_code_2(tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    done = in_this_process(EXAMPLE, "--device", "cuda", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == ("image_filter.py: --device cuda: no CUDA device is available; use --device cpu or auto\n")
