"""The commands: what they print, and how they end."""

from __future__ import annotations

import json
import os
import re
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
    assert lines[0].split() == ["path", "shape", "dtype", "bytes"]
    assert lines[1].split() == ["image_filters/conv1/weights", "[5,", "5,", "3,", "8]", "float32", "2400"]
    assert lines[-1] == "6 arrays, 4200 elements, 16800 bytes"


def test_inspect_shows_a_tree_of_scopes_with_their_sums(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = ran(capsys, "inspect", FILTERS, "--tree", "--filter", "image_filters/conv1")
    assert code == 0
    assert [line.split("  ")[-1].strip() for line in out.splitlines()[1:-1]] == [
        *("7296", "7296", "32", "64", "32", "32", "2400", "4800", "2400", "2400")
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
    assert out.splitlines()[-1] == "6 arrays, 1824 elements, 7296 bytes"


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
    "no folder": (["convert", FILTERS, "/nowhere/m.safetensors"], "No such file or directory"),
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
    assert "Exit codes: 0 done" in out


def test_it_runs_as_a_module_and_into_a_closed_pipe() -> None:
    command = f"{sys.executable} -m torchscope inspect {FILTERS} | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert (done.stdout.split(), done.stderr) == (["path", "shape", "dtype", "bytes"], "")
