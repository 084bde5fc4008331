"""``torchscope port``: what it writes, what it says, and with which exit code."""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from torchscope import ArgumentValueError, ScopedModule
from torchscope.cli import main
from torchscope.port import install, load, uninstall

LINEAR = """import tensorflow as tf

def linear(x, size=2):
    # the weights
    w = tf.get_variable("w", [x.shape[-1].value, size])
    return tf.matmul(x, w)
"""


@pytest.fixture
def linear(tmp_path: Path) -> Path:
    file = tmp_path / "linear.py"
    file.write_text(LINEAR)
    return file


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    file = tmp_path / "w.npz"
    np.savez(file, w=np.ones((3, 2), np.float32))
    return file


@pytest.fixture
def io(tmp_path: Path) -> Path:
    file = tmp_path / "io.npz"
    np.savez(file, x=np.ones((1, 3), np.float32), y=np.full((1, 2), 3, np.float32))
    return file


def test_files_are_written_as_they_lie_to_each_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets" / "__init__.py").write_text("")
    (tmp_path / "nets" / "a.py").write_text(LINEAR)
    (tmp_path / "b.py").write_text("import tensorflow as tf\nfrom nets.a import linear\ny = tf.nn.relu\n")
    out = tmp_path / "out"
    files = [str(tmp_path / "nets" / "a.py"), str(tmp_path / "b.py")]
    assert main(["port", *files, "-o", str(out)]) == 0
    assert (out / "nets" / "a.py").read_text() == LINEAR.replace(
        "import tensorflow as tf", "from torchscope import get_variable"
    ).replace("tf.get_variable", "get_variable").replace("[-1].value", "[-1]").replace("tf.matmul(x, w)", "x @ w")
    assert (out / "b.py").read_text() == "import torch\nfrom nets.a import linear\ny = torch.relu\n"
    assert sorted(each.name for each in out.rglob("*")) == ["a.py", "b.py", "nets"]
    said = capsys.readouterr().out
    assert said == "read      3 of 3 TensorFlow uses rewritten: 2 torch, 1 torchscope\n"


def test_an_existing_file_is_written_over_with_force_alone(
    linear: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "linear.py").write_text("mine")
    assert main(["port", str(linear), "-o", str(out)]) == 2
    assert (out / "linear.py").read_text() == "mine"
    assert "is there already. Give --force" in capsys.readouterr().err
    assert main(["port", str(linear), "-o", str(out), "--force"]) == 0
    assert "get_variable" in (out / "linear.py").read_text()


def test_what_is_left_is_told_with_its_line_and_exit_code_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "train.py"
    file.write_text("import tensorflow as tf\nx = tf.exp(1.0)\nsession = tf.Session()\n")
    assert main(["port", str(file), "-o", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "read      1 of 2 TensorFlow uses rewritten: 1 torch",
        "left      train.py:3  tf.Session: instead, `ScopedModule`, which is called",
    ]


def test_a_patch_and_the_report_as_data(linear: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["port", str(linear), "--diff"]) == 0
    patch = capsys.readouterr().out
    assert "-    return tf.matmul(x, w)\n" in patch
    assert "+    return x @ w\n" in patch
    assert main(["port", str(linear), "--diff", "--json"]) == 0
    told = json.loads(capsys.readouterr().out[len(patch) :])
    assert [use["symbol"] for use in told["files"][0]["uses"]] == ["tf.get_variable", "tf.matmul"]


def test_a_check_is_a_proof_in_a_few_lines(
    linear: Path, weights: Path, io: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["port", str(linear), "--call", "linear.linear(x)", "--check", str(weights), str(io)]
    assert main([*command, "--backend", "aot_eager"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "read      2 of 2 TensorFlow uses rewritten: 1 torch, 1 torchscope",
        "loaded    1 of 1 variables",
        "compared  y 0.0e+00",
        "compiled  one graph",
    ]
    assert main([*command, "--backend", "aot_eager", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["check"]["passed"] is True
    assert "linear" not in sys.modules


def test_the_default_backend_compiles(linear: Path, weights: Path, io: Path) -> None:
    assert main(["port", str(linear), "--call", "linear.linear(x)", "--check", str(weights), str(io)]) == 0


def test_a_call_may_be_a_file(linear: Path, weights: Path, io: Path, tmp_path: Path) -> None:
    file = tmp_path / "try_it.py"
    file.write_text(
        "import tensorflow as tf\nimport linear\ndef call(x): return {'y': tf.identity(linear.linear(x))}\n"
    )
    command = ["port", str(linear), "--call", str(file), "--check", str(weights), str(io), "--backend", "aot_eager"]
    assert main(command) == 0


def test_a_call_of_a_file_that_is_no_tensorflow_runs_the_port_and_not_the_recorder(
    linear: Path, weights: Path, io: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file is imported anew for each run; it kept what it had imported for the first one."""
    linear = linear.rename(tmp_path / "another_linear.py")  # torch keeps modules by their names in a process
    linear.write_text(LINEAR + "\ndef inner(x):\n    return tf.nn.relu(linear(x))\n")
    file = tmp_path / "another_try.py"
    file.write_text("import another_linear\ndef call(x): return {'y': another_linear.inner(x)}\n")
    command = ["port", str(linear), "--call", str(file), "--check", str(weights), str(io), "--backend", "aot_eager"]
    assert main(command) == 0, capsys.readouterr()
    assert not {"another_linear", "another_try"} & set(sys.modules)


def test_a_difference_and_a_missing_partner_are_told(
    linear: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "other.npz", w=np.ones((3, 2), np.float32), v=np.ones(2, np.float32))
    np.savez(tmp_path / "io.npz", x=np.ones((1, 3), np.float32), y=np.full((1, 2), 4, np.float32))
    command = ["port", str(linear), "--call", "linear.linear(x)", "--backend", "aot_eager", "--check"]
    assert main([*command, str(tmp_path / "other.npz"), str(tmp_path / "io.npz")]) == 1
    told = capsys.readouterr().out.splitlines()
    assert told[5].startswith("first     no")  # nowhere, or not looked for where TensorFlow is not installed
    assert [*told[1:5], told[6]] == [
        "loaded    1 of 1 variables",
        "unused    v  the model has no such variable.",
        "compared  y 2.5e-01",
        "differs   y by 2.5e-01, more than 1e-05",
        "compiled  one graph",
    ]


def test_a_model_that_does_not_compile_whole_is_told(
    tmp_path: Path, weights: Path, io: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "linear.py"
    file.write_text(LINEAR.replace("    return tf.matmul(x, w)", "    return x @ w if x.sum() > 0 else x"))
    command = ["port", str(file), "--call", "linear.linear(x)", "--check", str(weights), str(io)]
    assert main([*command, "--backend", "aot_eager"]) == 1
    assert "\ncompiled  no: Unsupported: " in capsys.readouterr().out


BAD: dict[str, tuple[Callable[[Path], list[str]], str]] = {
    "no file": (lambda p: [str(p / "none.py"), "--diff"], "No such file"),
    "no text": (lambda p: [str(p / "binary.py"), "--diff"], "It is no text in UTF-8, or"),
    "no Python": (lambda p: [str(p / "broken.py"), "--diff"], "It is no Python: line 1"),
    "no TensorFlow": (lambda p: [str(p / "plain.py"), "--diff"], "there is nothing to port"),
    "nowhere to write": (lambda p: [str(p / "linear.py")], "Say where to write"),
    "a check without a call": (
        lambda p: [str(p / "linear.py"), "--check", str(p / "w.npz")],
        "Say by --call what is to be run",
    ),
    "a call of what is not there": (
        lambda p: [str(p / "linear.py"), "--diff", "--call", "linear.model(x)"],
        "it asks for x. There are linear, np, torch",
    ),
    "a call that is no expression": (
        lambda p: [str(p / "linear.py"), "--diff", "--call", "linear.("],
        "it is no expression of Python",
    ),
    "a call that fails": (
        lambda p: [str(p / "linear.py"), "--diff", "--call", "linear.linear(torch.ones(3, 2), 'a')"],
        "it failed: VariableShapeError: .* at linear.py",
    ),
    "a call of a function that is not there": (
        lambda p: [str(p / "linear.py"), "--diff", "--call", "linear.nothing()"],
        "has no attribute 'nothing'",
    ),
    "a file to call that is not there": (
        lambda p: [str(p / "linear.py"), "--diff", "--call", str(p / "none.py")],
        "there is no such file to call",
    ),
    "a file to call without call": (
        lambda p: [str(p / "linear.py"), "--diff", "--call", str(p / "plain.py")],
        "has no function `call`",
    ),
    "no checkpoint": (
        lambda p: [
            str(p / "linear.py"),
            "--call",
            "linear.linear(x)",
            "--check",
            str(p / "no.ckpt"),
            str(p / "io.npz"),
        ],
        "no.ckpt",
    ),
    "a checkpoint of another model": (
        lambda p: [
            *[str(p / "linear.py"), "--call", "linear.linear(x)"],
            *["--check", str(p / "other.npz"), str(p / "io.npz")],
        ],
        "other.npz",
    ),
    "recorded outputs of another shape": (
        lambda p: [
            *[str(p / "linear.py"), "--call", "linear.linear(x, 2)"],
            *["--check", str(p / "w.npz"), str(p / "shapes.npz")],
        ],
        r"recorded with the shape \[5\], and the call gives \[1, 2\]",
    ),
    "a call without its inputs": (
        lambda p: [str(p / "linear.py"), "--diff", "--call", str(p / "c_linear.py")],
        "`call` takes x, and the recorded arrays are none",
    ),
    "no recording": (
        lambda p: [
            str(p / "linear.py"),
            "--call",
            "linear.linear(x)",
            "--check",
            str(p / "w.npz"),
            str(p / "plain.py"),
        ],
        "no .npz file",
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_one_clear_line_and_exit_code_2(
    what: str, linear: Path, weights: Path, io: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "binary.py").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "broken.py").write_text("import tensorflow as tf; def (\n")
    (tmp_path / "plain.py").write_text("x = 1\n")
    (tmp_path / "c_linear.py").write_text("def call(x): return x\n")
    np.savez(tmp_path / "other.npz", other=np.ones(7, np.float32))
    np.savez(tmp_path / "shapes.npz", x=np.ones((1, 3), np.float32), y=np.ones(5, np.float32))
    arguments, message = BAD[what]
    before = sorted(tmp_path.rglob("*"))
    assert main(["port", *arguments(tmp_path), "--backend", "aot_eager"]) == 2
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    assert said.out == ""
    assert len(said.err.strip().splitlines()) <= 7  # the report, what is wrong, and the table of a checkpoint
    assert re.search(message, said.err), said.err
    assert [each for each in sorted(tmp_path.rglob("*")) if "__pycache__" not in str(each)] == before


def test_files_below_a_folder_are_ported_when_they_are_imported(tmp_path: Path) -> None:
    (tmp_path / "published").mkdir()
    (tmp_path / "published" / "__init__.py").write_text("")
    (tmp_path / "published" / "parts.py").write_text(LINEAR)
    (tmp_path / "published" / "net.py").write_text("from .parts import linear\n")
    with pytest.raises(NotADirectoryError):
        install(tmp_path / "nowhere")
    finder = install(tmp_path)
    try:
        from published.net import linear  # type: ignore[import-not-found]
    finally:
        uninstall(finder)
    model = ScopedModule(linear, layout="tf").build(torch.ones(1, 3))
    assert list(model.variables) == ["w"]
    with pytest.raises(ImportError):
        __import__("published.parts2")


def test_a_file_that_changed_is_ported_anew(linear: Path) -> None:
    assert "relu" not in load(linear).linear.__code__.co_names
    linear.write_text(LINEAR.replace("tf.matmul(x, w)", "tf.nn.relu(tf.matmul(x, w))"))
    assert "relu" in load(linear).linear.__code__.co_names


def test_an_error_of_a_ported_file_shows_its_line(linear: Path) -> None:
    linear.write_text(LINEAR.replace("tf.matmul(x, w)", "tf.matmul(x, w) + undefined"))
    with pytest.raises(NameError) as raised:
        ScopedModule(load(linear).linear).build(torch.ones(1, 3))
    frame = raised.traceback[-1]
    assert str(frame.path).endswith("linear.py (ported)")


def test_a_recorded_run_makes_plain_torch_of_more(linear: Path, capsys: pytest.CaptureFixture[str]) -> None:
    linear.write_text("import tensorflow as tf\ndef f(x, n): return tf.exp(x) * tf.sqrt(n)\n")
    assert main(["port", str(linear), "--diff"]) == 0
    assert "return tf1.convert_to_tensor(x).exp() * tf1.convert_to_tensor(n).sqrt()" in capsys.readouterr().out
    assert main(["port", str(linear), "--diff", "--call", "linear.f(torch.ones(2), 3.0)"]) == 0
    assert "return x.exp() * math.sqrt(n)" in capsys.readouterr().out


def test_the_extra_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch, linear: Path) -> None:
    monkeypatch.setitem(sys.modules, "libcst", None)
    with pytest.raises(ImportError, match=r"torch-variable-scope\[port\]"):
        from torchscope.cli import _port

        _port.run(type("Args", (), {"output": None, "diff": True, "check": None, "files": [linear]}))  # type: ignore[arg-type]


def test_a_report_of_several_files_says_which(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        text = "import tensorflow as tf\ndef f(x):\n  y = tf.exp(x, name='e')\n  y += x\n  tf.Session()\n  return y\n"
        (tmp_path / f"{name}.py").write_text(text)
    assert main(["port", str(tmp_path / "a.py"), str(tmp_path / "b.py"), "-o", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "read      2 of 4 TensorFlow uses rewritten: 2 torch",
        "left      a.py:5  tf.Session: instead, `ScopedModule`, which is called",
        "left      b.py:5  tf.Session: instead, `ScopedModule`, which is called",
        "changed   a.py:4  x += y  ->  x = x + y",
        "changed   b.py:4  x += y  ->  x = x + y",
        "dropped   name= (2)",
    ]


def test_a_variable_without_an_array_is_told_and_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "two.py"
    file.write_text(LINEAR.replace("tf.matmul(x, w)", "tf.matmul(x, w) + tf.get_variable('bias', [size])"))
    np.savez(tmp_path / "w.npz", w=np.ones((3, 2), np.float32), biases=np.ones(2, np.float32))
    np.savez(tmp_path / "io.npz", x=np.ones((1, 3), np.float32))
    command = ["port", str(file), "--call", "two.linear(x)", "--backend", "aot_eager", "--check"]
    assert main([*command, str(tmp_path / "w.npz"), str(tmp_path / "io.npz")]) == 1
    told = capsys.readouterr().out.splitlines()[1:]
    assert told[:2] == [
        "loaded    1 of 2 variables",
        "missing   bias  the checkpoint has no such array. The nearest: 'biases'.",
    ]
    assert "compared  nothing: no outputs were recorded" in told


def test_a_file_is_not_written_over_itself(linear: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["port", str(linear), "-o", str(linear.parent), "--force"]) == 2
    assert "would be written over" in capsys.readouterr().err
    assert linear.read_text() == LINEAR


def test_a_file_of_a_package_loads_with_its_relative_imports(tmp_path: Path) -> None:
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").write_text("")
    (tmp_path / "pack" / "parts.py").write_text(LINEAR)
    (tmp_path / "pack" / "net.py").write_text("import tensorflow as tf\nfrom .parts import linear\nact = tf.nn.relu\n")
    module = load(tmp_path / "pack" / "net.py")
    assert module.linear.__module__ == "pack.parts"
    assert "pack" not in sys.modules


def test_files_load_in_several_threads_at_once(linear: Path) -> None:
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(load(linear).linear)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8


def test_a_file_of_the_name_of_another_module_is_refused(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text(LINEAR)
    with pytest.raises(ArgumentValueError, match="Its name, json, is that of another module"):
        load(tmp_path / "json.py")
