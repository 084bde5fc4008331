"""The examples that are trained for real, run short: they learn, print what they say, and draw."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.programs import in_a_process, in_this_process

EXAMPLES = Path(__file__).parents[2] / "examples"


def numbers(printed: str, line: str) -> list[float]:
    return [float(found) for found in re.findall(rf"^{line}.* (\d+\.\d+)%?$", printed, re.MULTILINE)]


def picture(path: Path) -> tuple[int, int]:
    from PIL import Image

    with Image.open(path) as opened:
        assert len(opened.convert("L").getcolors() or range(256)) > 20
        return opened.size


def test_the_generator_comes_nearer_to_the_digits(tmp_path: Path) -> None:
    done = in_a_process(EXAMPLES / "gan.py", "--steps", "120", "--device", "cpu", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    start, end = numbers(done.stdout, "distance to the digits")
    assert end < 0.8 * start
    assert "discriminator" in done.stdout
    assert min(picture(tmp_path / "gan.png")) > 400


def test_an_update_of_low_rank_reads_what_the_network_does_not_and_leaves_it_as_it_was(tmp_path: Path) -> None:
    done = in_a_process(EXAMPLES / "lora.py", "--steps", "150", "--device", "cpu", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (digits,) = numbers(done.stdout, "digits read right")
    before, after = numbers(done.stdout, "turned digits read right")
    assert digits > 80
    assert after > before + 30
    assert re.search(r"^numbers in the update +6,220 of 89,930, 6\.9%$", done.stdout, re.MULTILINE)
    assert re.search(r"^the network is as it was +True$", done.stdout, re.MULTILINE)
    assert picture(tmp_path / "lora.png")[0] > 900


@pytest.mark.parametrize("program", ["gan.py", "lora.py"])
@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--steps", "-1"], "--steps must not be negative"), (["--out", "no/where.png"], "--out: no such folder: no")],
)
def test_bad_arguments_are_one_line(program: str, arguments: list[str], said: str, tmp_path: Path) -> None:
    done = in_this_process(EXAMPLES / program, *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
