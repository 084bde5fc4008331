"""The commands: what they print, and how they end."""

from __future__ import annotations

import io
import itertools
import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.data.make_checkpoints import HERE
from torchscope import checkpoint
from torchscope.cli import COMMANDS, main
from torchscope.cli._common import show

pytest.importorskip("crc32c")
FILTERS = str(HERE / "image_filters.ckpt")


def ran(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(arguments)
    said = capsys.readouterr()
    return code, said.out, said.err


def test_inspect_lists_paths_shapes_dtypes_and_bytes(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = ran(capsys, "inspect", FILTERS, "--filter", "image_filters/*/weights")
    lines = out.splitlines()
    assert code == 0
    assert lines[0].split() == ["path", "shape", "dtype", "bytes", "role"]
    assert lines[1].split() == ["image_filters/conv1/weights", "[5,", "5,", "3,", "8]", "float32", "2,400"]
    assert lines[3].endswith("2,400  a slot of an optimizer")
    assert lines[-1] == "6 arrays, 4,200 elements, 16,800 bytes"


def test_inspect_shows_variables_alone(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = ran(capsys, "inspect", FILTERS, "--variables")
    assert (code, out.splitlines()[-1]) == (0, "4 arrays, 1,412 elements, 5,648 bytes")
    assert "Momentum" not in out
    assert "global_step" not in out


def test_inspect_shows_a_tree_of_scopes_with_their_sums(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = ran(capsys, "inspect", FILTERS, "--tree", "--filter", "image_filters/conv1")
    assert code == 0
    header, *lines = out.splitlines()
    assert [line[header.index("bytes") :].split()[0] for line in lines[:-1]] == [
        *("7,296", "7,296", "32", "64", "32", "32", "2,400", "4,800", "2,400", "2,400")
    ]
    assert re.findall(r"^( *)(\S+)  ", out, re.MULTILINE)[1:8] == [
        ("", "image_filters/"),
        ("  ", "conv1/"),
        ("    ", "biases"),
        ("    ", "biases/"),
        ("      ", "ExponentialMovingAverage"),
        ("      ", "Momentum"),
        ("    ", "weights"),
    ]
    assert out.splitlines()[-1] == "6 arrays, 1,824 elements, 7,296 bytes"


def test_the_tree_is_as_the_porting_page_shows_it(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "porting.md").read_text().splitlines()
    at = next(n for n, line in enumerate(page) if line.startswith("`torchscope inspect") and line.endswith("prints"))
    shown = [line[4:] for line in itertools.takewhile(lambda line: line.startswith("    "), page[at + 2 :])]
    _, out, _ = ran(capsys, *page[at].split("`")[1].split()[1:])
    assert [line.rstrip() for line in out.splitlines()] == shown


def test_inspect_takes_names_of_any_depth(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    np.savez(tmp_path / "deep.npz", **{"/".join("a" * 3000): np.ones(2)})
    code, out, _ = ran(capsys, "inspect", str(tmp_path / "deep.npz"), "--tree")
    assert (code, len(out.splitlines())) == (0, 3002)


def test_inspect_gives_json(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = ran(capsys, "inspect", str(HERE / "dtypes.ckpt"), "--json")
    found = json.loads(out)
    assert found["dtype/bfloat16"] == {"shape": [2, 3], "dtype": "bfloat16", "bytes": 12}
    assert found["strings"] == {"shape": [2, 3], "dtype": "bytes", "bytes": None}


def test_convert_writes_the_variables_under_their_new_names(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    to = tmp_path / "model.safetensors"
    options = ["--rename", "weights$=kernel", "--map", "image_filters/=filters/", "--layout", "**/kernel=conv"]
    code, out, _ = ran(capsys, "convert", FILTERS, str(to), *options)
    assert (code, out.splitlines()[-1]) == (0, f"4 arrays in {to}")
    made, raw = checkpoint.open(to), checkpoint.open(FILTERS)
    assert sorted(made) == [f"filters/conv{n}/{name}" for n in (1, 2) for name in ("biases", "kernel")]
    expected = raw["image_filters/conv1/weights"].read().permute(3, 2, 0, 1)
    assert torch.equal(made["filters/conv1/kernel"].read(), expected)
    assert os.listdir(tmp_path) == ["model.safetensors"]


def test_convert_leaves_out_what_only_training_needs_and_says_so(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    _, out, _ = ran(capsys, "convert", FILTERS, str(tmp_path / "m.safetensors"))
    assert "left out  global_step" in out
    assert len(checkpoint.open(tmp_path / "m.safetensors")) == 4


def test_diff_finds_what_differs_and_says_so_by_its_exit_code(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    a = {"same": np.ones(3), "w": np.zeros(3), "shape": np.ones(2), "dtype": np.ones(2), "mine": np.ones(1)}
    b: dict[str, Any] = {**a, "w": np.array([0, 0.5, np.nan]), "shape": np.ones(3), "dtype": np.ones(2, int)}
    b["yours"] = b.pop("mine")
    np.savez(tmp_path / "a.npz", **a)
    np.savez(tmp_path / "b.npz", **b)
    code, out, _ = ran(capsys, "diff", str(tmp_path / "a.npz"), str(tmp_path / "b.npz"))
    assert code == 1
    for line in (
        "w      2 of 3 elements, by up to",
        "shape  shape [2] and [3]",
        "dtype  dtype float64 and int64",
        "mine   only in the first",
        "yours  only in the second",
        "5 differences in 6 arrays",
    ):
        assert line in out, out
    assert ran(capsys, "diff", FILTERS, FILTERS)[:2] == (0, "0 differences in 13 arrays\n")


BAD: dict[str, tuple[list[str], str]] = {
    "no file": (["inspect", "nowhere/model"], "there is no such checkpoint"),
    "no checkpoint": (["diff", __file__, FILTERS], "this is no checkpoint of a format that is read"),
    "no such scope": (["convert", FILTERS, "m.safetensors", "--map", "a=b"], "has no 'a', neither array nor scope"),
    "no such rule": (["convert", FILTERS, "m.safetensors", "--layout", "hwio"], "The rules are 'same'"),
    "no equals sign": (["convert", FILTERS, "m.safetensors", "--rename", "a"], "Write it with an equals sign"),
    "another format": (["convert", FILTERS, "m.pt"], "Give a path that ends in .safetensors"),
    "a dtype that safetensors has not": (
        ["convert", str(HERE / "dtypes.ckpt"), "m.safetensors"],
        "entry 'dtype/complex128': a .safetensors file cannot hold complex128",
    ),
    "renamed and dropped": (
        ["convert", FILTERS, "m.safetensors", "--rename", "conv1=c", "--drop", "conv1"],
        "--rename has the same pattern",
    ),
    "nothing left to write": (["convert", FILTERS, "m.safetensors", "--drop", "."], "nothing of it is left to write"),
    "no folder": (["convert", FILTERS, "/nowhere/m.safetensors"], "There is no folder '/nowhere'"),
    "a filter for nothing": (
        ["inspect", FILTERS, "--filter", "conv3"],
        "--filter='conv3' is not allowed here.\nIt sel",
    ),
    "a difference of nothing": (["diff", FILTERS, FILTERS, "--filter", "conv3"], "It selects no array"),
    "a layout for nothing": (["convert", FILTERS, "m.safetensors", "--layout", "x=conv"], "--layout {'x': 'conv'} is"),
    "an option twice": (
        ["convert", FILTERS, "m.safetensors", "--map", "image_filters/=a", "--map", "image_filters/=b"],
        "'image_filters/' was given 'a' already",
    ),
    "two arrays for one name": (
        [*("convert", FILTERS, "m.safetensors"), *("--map", "image_filters/conv1=a", "--map", "image_filters/conv2=a")],
        "Both 'image_filters/conv1/",
    ),
    "a name that safetensors keeps": (
        ["convert", FILTERS, "m.safetensors", "--map", "image_filters/conv1/biases=__metadata__"],
        "cannot hold an array of this name",
    ),
    "strings that are asked for": (
        ["convert", str(HERE / "dtypes.ckpt"), "m.safetensors", "--map", "strings=s"],
        "a .safetensors file cannot hold bytes",
    ),
}


@pytest.mark.parametrize("how", BAD)
def test_bad_input_is_one_message_and_exit_code_2(
    how: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments, message = BAD[how]
    monkeypatch.chdir(tmp_path)
    code, out, err = ran(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"torchscope {arguments[0]}: ")
    assert message in err
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_examples_and_exit_codes(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([name, "--help"])
    out = capsys.readouterr().out
    assert f"torchscope {name} " in out.partition("examples:")[2]
    assert "exit codes: 0 " in out


def test_it_runs_as_a_module_and_into_a_closed_pipe() -> None:
    command = f"{sys.executable} -m torchscope inspect {FILTERS} | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert (done.stdout.split(), done.stderr) == (["path", "shape", "dtype", "bytes", "role"], "")


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("inspect {file} | true; exit ${{PIPESTATUS[0]}}", 0, ""),
        ("inspect {file} > /dev/full", 2, "torchscope inspect: [Errno 28]"),
        ("inspect {ascii}", 0, ""),
    ],
    ids=["nobody reads", "a full disk", "a terminal of ASCII"],
)
def test_output_that_cannot_be_written_ends_without_a_traceback(
    command: str, code: int, said: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "n.npz", **{"ünïcode": np.ones(1)})
    line = command.format(file=FILTERS, ascii=tmp_path / "n.npz")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m torchscope {line}"],
        capture_output=True,
        text=True,
        check=False,
        env={**environment, "PYTHONIOENCODING": "ascii"},
    )
    assert (done.returncode, done.stderr[: len(said)]) == (code, said)
    assert "Traceback" not in done.stderr
    assert "ignored" not in done.stderr


def test_names_do_nothing_to_the_terminal(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    torch.save({"a\x1b[31mRED\nfake": torch.ones(1)}, tmp_path / "n.pt")
    _, out, _ = ran(capsys, "inspect", str(tmp_path / "n.pt"))
    assert "a\\x1b[31mRED\\nfake" in out
    assert len(out.splitlines()) == 3


def converted(capsys: pytest.CaptureFixture[str], tmp_path: Path, held: Any, *options: str) -> checkpoint.Checkpoint:
    torch.save(held, tmp_path / "held.pt")
    code, _, err = ran(capsys, "convert", str(tmp_path / "held.pt"), str(tmp_path / "made.safetensors"), *options)
    assert code == 0, err
    return checkpoint.open(tmp_path / "made.safetensors")


def test_convert_writes_tied_weights_twice(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    tied = torch.arange(3.0)
    made = converted(capsys, tmp_path, {"w": tied, "v": tied, "view": tied[1:]})
    assert {path: entry.read().tolist() for path, entry in made.items()} == {
        "v": [0.0, 1.0, 2.0],
        "view": [1.0, 2.0],
        "w": [0.0, 1.0, 2.0],
    }


def test_convert_writes_numbers_and_not_how_they_are_kept(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    made = converted(capsys, tmp_path, {"c": torch.tensor([1 + 2j]).conj()})
    assert made["c"].read().tolist() == [1 - 2j]


def test_convert_makes_a_file_with_the_usual_permissions(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    converted(capsys, tmp_path, {"w": torch.ones(1)})
    (tmp_path / "plain").touch()
    assert (tmp_path / "made.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_convert_takes_averages_and_drops_what_is_not_wanted(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    average = "/ExponentialMovingAverage"
    held = {name + end: torch.full((1,), n) for n, end in enumerate(["", average]) for name in ("a/w", "b/w")}
    made = converted(capsys, tmp_path, held, "--prefer-ema", "--drop", "^b/", "--rename", "w$=kernel")
    assert {path: entry.read().tolist() for path, entry in made.items()} == {"a/kernel": [1]}


WHOLE = {
    "beyond 53 bits": ([2**53, 2**53 + 1], [2**53 + 1, 2**53], torch.int64, "2 of 2 elements, by up to 1"),
    "unsigned": ([2**64 - 1], [0], torch.uint64, "1 of 1 elements, by up to 1.84e+19"),
    "bool": ([True, False], [True, True], torch.bool, "1 of 2 elements, by up to 1"),
    "NaN": (
        [float("nan"), 1.0, float("nan")],
        [1.0, 1e9, float("nan")],
        torch.float32,
        "2 of 3 elements, by up to 1e+09, 1 NaN in one of them only",
    ),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_diff_compares_numbers_exactly(kind: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    a, b, dtype, said = WHOLE[kind]
    for name, held in (("a", a), ("b", b)):
        torch.save({"x": torch.tensor(held, dtype=dtype)}, tmp_path / f"{name}.pt")
    code, out, _ = ran(capsys, "diff", str(tmp_path / "a.pt"), str(tmp_path / "b.pt"))
    assert code == 1
    assert said in out
    assert ran(capsys, "diff", str(tmp_path / "a.pt"), str(tmp_path / "a.pt"))[0] == 0


class Terminal(io.StringIO):
    """A standard output that says it is a terminal, of eighty columns."""

    def isatty(self) -> bool:
        return True


def test_on_a_terminal_a_table_is_as_wide_as_its_longest_path(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, path = Terminal(), "/".join(["a_rather_long_scope"] * 8)
    monkeypatch.setattr(sys, "stdout", terminal)
    show(("path", "bytes"), [(path, "1"), ("w", "20")])
    lines = re.sub(r"\x1b\[\d*m", "", terminal.getvalue()).splitlines()
    assert [line.split() for line in lines] == [["path", "bytes"], [path, "1"], ["w", "20"]]
    assert lines[1].endswith("     1")


def test_the_module_runs_as_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["torchscope", "--version"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("torchscope", run_name="__main__")
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("torchscope ")
