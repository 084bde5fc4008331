"""Where outputs differ, the first call that differs from TensorFlow is named."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.port.whole_models import DATA, MODELS, SOURCES
from torchscope.cli import main
from torchscope.port import Checked, port_files
from torchscope.port._rule import RULES

MODEL = """import tensorflow as tf

def f(x):
    y = tf.layers.dense(x, 3, name="a")
    for _ in range(2):
        y = tf.exp(-y)
    z = tf.maximum(y, 0.5) - 1.0
    return {"z": z, "mean": tf.reduce_mean(z, 1)}
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    file = tmp_path / "model.py"
    file.write_text(MODEL)
    random = np.random.default_rng(0)
    kernel, bias = random.standard_normal((4, 3)).astype("f"), random.standard_normal(3).astype("f")
    x = random.standard_normal((2, 4)).astype("f")
    z = np.maximum(np.exp(-np.exp(-(x @ kernel + bias))), 0.5) - 1
    np.savez(tmp_path / "weights.npz", **{"a/kernel": kernel, "a/bias": bias})
    np.savez(tmp_path / "io.npz", x=x, z=z, mean=z.mean(1))
    np.savez(tmp_path / "other.npz", x=x, z=z + 1, mean=z.mean(1))
    return file


def check(model: Path, io: str = "io.npz") -> Checked:
    pytest.importorskip("tensorflow")
    pytest.importorskip("tf_keras")
    folder = model.parent
    _, checked = port_files(
        [model], call="model.f(x)", checkpoint=folder / "weights.npz", io=folder / io, backend="aot_eager"
    )
    assert checked is not None
    return checked


def test_a_port_that_is_right_differs_nowhere(model: Path) -> None:
    checked = check(model)
    assert checked.passed
    assert checked.first is None


@pytest.mark.parametrize(
    ("symbol", "wrong", "first"),
    [
        ("tf.maximum", lambda use: f"{use.tensor('x')}.clamp(max=0.5)", r"model.py:7  by \d"),
        ("tf.exp", lambda use: f"{use.tensor('x')}.exp2()", r"model.py:6  by \d"),
        ("tf.reduce_mean", lambda use: f"{use.tensor('input_tensor')}.amax(1)", r"model.py:8  by \d"),
    ],
)
def test_the_first_call_that_differs_is_named(
    symbol: str, wrong: object, first: str, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RULES, symbol, (RULES[symbol][0], wrong))  # type: ignore[arg-type]
    found = check(model).first
    assert found is not None
    assert re.match(first, found), found


def test_a_recording_of_something_else_is_told_from_a_wrong_port(model: Path) -> None:
    checked = check(model, "other.npz")
    assert checked.differs == ["z"]
    assert checked.first == (
        "nowhere: TensorFlow gives the same here, so what was recorded is of other weights or inputs"
    )


def test_without_tensorflow_it_says_so(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    folder = model.parent
    command = ["port", str(model), "--call", "model.f(x)", "--backend", "aot_eager", "--check"]
    assert main([*command, str(folder / "weights.npz"), str(folder / "other.npz")]) == 1
    assert "\nfirst     not looked for, since TensorFlow cannot be imported: " in capsys.readouterr().out


def test_a_file_whose_cells_tensorflow_converts_from_their_source_is_run_by_it(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    pytest.importorskip("tf_keras")
    name = "translate_text"
    with np.load(DATA / name / "io.npz") as saved:
        arrays = {key: saved[key] for key in saved.files}
    np.savez(tmp_path / "io.npz", **{**arrays, "last": arrays["last"] + 1})
    _, checked = port_files(
        [SOURCES / f"{name}.py"],
        call=MODELS[name].call,
        checkpoint=DATA / name / "model.ckpt",
        io=tmp_path / "io.npz",
        backend="aot_eager",
    )
    assert checked is not None
    assert checked.differs == ["last"]
    assert str(checked.first).startswith("nowhere: TensorFlow gives the same here")
