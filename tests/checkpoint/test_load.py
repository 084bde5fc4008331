"""Loading a checkpoint by name: what fits is converted as said, what does not fit changes nothing."""

from __future__ import annotations

import _thread
import os
import re
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from tests.data.make_checkpoints import HERE
from torchscope import (
    ArgumentTypeError,
    ArgumentValueError,
    CheckpointError,
    ScopedModule,
    VariableNotFoundError,
    get_buffer,
    get_module,
    get_variable,
    variable_scope,
)
from torchscope.checkpoint import _write, load_checkpoint
from torchscope.checkpoint import open as open_checkpoint
from torchscope.checkpoint._bundle import Bundle

pytest.importorskip("crc32c")
FILTERS = HERE / "image_filters.ckpt"
PATHS = [f"image_filters/conv{n}/{name}" for n in (1, 2) for name in ("weights", "biases")]
SHAPES = dict(zip(PATHS, [[8, 3, 5, 5], [8], [4, 8, 5, 5], [4]], strict=True))


def filters(dtype: torch.dtype | None = None) -> ScopedModule:
    return made(SHAPES, dtype)


def made(shapes: dict[str, Any], dtype: torch.dtype | None = None) -> ScopedModule:
    """A built module with these variables."""
    return ScopedModule(lambda: [get_variable(path, shape) for path, shape in shapes.items()], dtype=dtype).build()


def saved(tmp_path: Path, arrays: dict[str, Any]) -> Path:
    np.savez(tmp_path / "saved.npz", **arrays)
    return tmp_path / "saved.npz"


def numbers(*shape: int) -> Any:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def test_a_tensorflow_model_loads_by_name_with_kernels_turned_round() -> None:
    model = filters()
    report = load_checkpoint(model, FILTERS)
    raw = open_checkpoint(FILTERS)
    for path in PATHS:
        array = raw[path].read()
        expected = array.permute(3, 2, 0, 1) if array.dim() == 4 else array
        assert torch.equal(model.variables[path].detach().cpu(), expected)
    assert report.complete
    assert {path: how for path, (_, how) in report.loaded.items()} == {
        PATHS[0]: "conv: (5, 5, 3, 8) -> (8, 3, 5, 5)",
        PATHS[1]: "",
        PATHS[2]: "conv: (5, 5, 8, 4) -> (4, 8, 5, 5)",
        PATHS[3]: "",
    }
    assert report.skipped == {
        "global_step": "a count of steps",
        **{f"{path}/Momentum": "a slot of an optimizer" for path in PATHS},
        **{f"{path}/ExponentialMovingAverage": "a moving average" for path in PATHS},
    }


def test_averages_are_taken_on_request() -> None:
    model = filters()
    report = load_checkpoint(model, FILTERS, prefer_ema=True)
    raw = open_checkpoint(FILTERS)
    assert torch.equal(model.variables[PATHS[1]].detach().cpu(), raw[f"{PATHS[1]}/ExponentialMovingAverage"].read())
    assert report.loaded[PATHS[1]][0] == f"{PATHS[1]}/ExponentialMovingAverage"
    assert report.skipped[PATHS[1]] == "its moving average is taken"


def test_a_slot_or_step_that_a_variable_has_the_name_of_is_loaded() -> None:
    model = ScopedModule(lambda: get_buffer("global_step", [], torch.int64)).build()
    assert load_checkpoint(model, FILTERS, {"global_step": "global_step"}).complete
    assert int(model.variables["global_step"]) == 1


def test_an_unbuilt_module_gets_its_variables_and_its_first_call_checks_them() -> None:
    def forward(x: Tensor) -> Tensor:
        with variable_scope("image_filters/conv1"):
            return F.conv2d(x, get_variable("weights", [8, 3, 5, 5]), get_variable("biases", [8]))

    only = {"image_filters/conv1": "image_filters/conv1"}
    model = ScopedModule(forward)
    load_checkpoint(model, FILTERS, only, layout="conv")
    assert list(model.variables) == PATHS[1::-1]
    assert not model.built
    built = ScopedModule(forward).build(torch.ones(1, 3, 5, 5))
    load_checkpoint(built, FILTERS, only)
    x = torch.rand(1, 3, 7, 7)
    assert torch.equal(model(x), built(x))
    assert model.built
    wrong = ScopedModule(lambda: get_variable("image_filters/conv1/biases", [9]))
    load_checkpoint(wrong, FILTERS, only, layout="conv")
    with pytest.raises(ValueError, match="shape"):
        wrong()


def test_without_a_layout_an_unbuilt_module_asks_and_stays_unbuilt() -> None:
    model = ScopedModule(lambda: None)
    with pytest.raises(CheckpointError, match="is not built, so nothing tells the order of axes"):
        load_checkpoint(model, FILTERS)
    assert not model.specs


# Layouts -----------------------------------------------------------------------------------------------------------

gates = numbers(3, 8)
i, j, f, o = np.split(gates, 4, axis=1)
cube, depthwise = numbers(2, 3, 4, 5, 6), numbers(5, 5, 3, 2).transpose(2, 3, 0, 1).reshape(6, 1, 5, 5)
LAYOUTS: dict[str, tuple[Any, list[int], Any, Any]] = {
    "dense, inferred": (numbers(2, 3), [3, 2], None, numbers(2, 3).T),
    "as it is, inferred": (numbers(2, 3), [2, 3], None, numbers(2, 3)),
    "a square matrix, asked": (numbers(3, 3), [3, 3], "dense", numbers(3, 3).T),
    "a square matrix by its path": (numbers(3, 3), [3, 3], {"**/w": "dense"}, numbers(3, 3).T),
    "the last pattern decides": (numbers(3, 3), [3, 3], {"a": "dense", "a/w": "same"}, numbers(3, 3)),
    "a matrix of one element": (numbers(1, 1), [1, 1], None, numbers(1, 1)),
    "conv, one axis": (numbers(5, 2, 3), [3, 2, 5], None, numbers(5, 2, 3).transpose(2, 1, 0)),
    "conv, three axes": (
        numbers(2, 3, 4, 5, 6),
        [6, 5, 2, 3, 4],
        None,
        numbers(2, 3, 4, 5, 6).transpose(4, 3, 0, 1, 2),
    ),
    "depthwise": (
        numbers(5, 5, 3, 2),
        [6, 1, 5, 5],
        None,
        numbers(5, 5, 3, 2).transpose(2, 3, 0, 1).reshape(6, 1, 5, 5),
    ),
    "lstm": (gates, [8, 3], {"a/w": "lstm"}, np.concatenate([i, f, j, o], 1).T),
    "lstm, bias": (gates[0], [8], {"a/*": "lstm"}, np.concatenate([i, f, j, o], 1)[0]),
    "a rule for another rank": (numbers(4), [4], "conv", numbers(4)),
}


@pytest.mark.parametrize("how", LAYOUTS)
def test_axes_come_in_the_order_of_the_variable(how: str, tmp_path: Path) -> None:
    array, shape, layout, expected = LAYOUTS[how]
    model = made({"a/w": shape})
    load_checkpoint(model, saved(tmp_path, {"a/w": array}), layout=layout)
    assert np.array_equal(model.variables["a/w"].detach().cpu().numpy(), expected)


def test_depthwise_kernels_give_the_numbers_of_one_convolution_per_channel(tmp_path: Path) -> None:
    kernel, x = torch.rand(3, 3, 4, 2), torch.rand(1, 4, 6, 6)
    model = made({"w": [8, 1, 3, 3]})
    load_checkpoint(model, saved(tmp_path, {"w": kernel.cpu().numpy()}))
    found = F.conv2d(x, model.variables["w"], groups=4)
    for channel in range(4):
        for k in range(2):
            alone = F.conv2d(x[:, [channel]], kernel[:, :, channel, k][None, None])
            torch.testing.assert_close(found[:, [channel * 2 + k]], alone)


def test_lstm_gates_give_the_numbers_of_tensorflows_cell(tmp_path: Path) -> None:
    kernel, bias, x, h, c = torch.rand(5, 8), torch.rand(8), torch.rand(1, 3), torch.rand(1, 2), torch.rand(1, 2)
    i, j, f, o = (torch.cat([x, h], 1) @ kernel + bias).chunk(4, 1)  # BasicLSTMCell, with forget_bias=0
    c_new = c * f.sigmoid() + i.sigmoid() * j.tanh()
    model = made({"kernel": [8, 5], "bias": [8]})
    file = saved(tmp_path, {"kernel": kernel.cpu().numpy(), "bias": bias.cpu().numpy()})
    load_checkpoint(model, file, layout={"kernel": "lstm", "bias": "lstm"})
    cell = nn.LSTMCell(3, 2)
    with torch.no_grad():
        cell.weight_ih.copy_(model.variables["kernel"][:, :3])
        cell.weight_hh.copy_(model.variables["kernel"][:, 3:])
        cell.bias_ih.copy_(model.variables["bias"])
        cell.bias_hh.zero_()
    found = cell(x, (h, c))
    torch.testing.assert_close(found[1], c_new)
    torch.testing.assert_close(found[0], c_new.tanh() * o.sigmoid())


RECURRENT = {"rnn/recurrent_kernel": numbers(2, 8), "gru/recurrent_kernel": numbers(2, 6)}  # of Keras' layers
z, r, h = np.split(numbers(3, 6), 3, axis=1)
GATES: dict[str, tuple[dict[str, Any], Any, list[int], Any, Any]] = {
    "keras' lstm, unasked": ({"rnn/kernel": numbers(3, 8)}, "lstm/kernel", [8, 3], None, numbers(3, 8).T),
    "keras' bias of an lstm": ({"rnn/bias": numbers(8)}, "lstm/bias", [8], None, numbers(8)),
    "keras_gru": ({"gru/kernel": numbers(3, 6)}, "w", [6, 3], "keras_gru", np.concatenate([r, z, h], 1).T),
    "keras_gru, as it is": ({"gru/kernel": numbers(3, 6)}, "w", [6, 3], "dense", numbers(3, 6).T),
    "keras_gru, bias": (
        {"gru/bias": numbers(6)},
        "w",
        [6],
        "keras_gru",
        np.concatenate([numbers(6)[2:4], numbers(6)[:2], numbers(6)[4:]]),
    ),
    "conv_lstm": (
        {"conv_lstm_cell/kernel": numbers(2, 2, 3, 4)},
        "w",
        [4, 3, 2, 2],
        "conv_lstm",
        numbers(2, 2, 3, 4)[..., [0, 2, 1, 3]].transpose(3, 2, 0, 1),
    ),
    "a layer in a scope of that name": (
        {"lstm_tower/logits/kernel": numbers(3, 4)},
        "lstm_tower/logits/kernel",
        [4, 3],
        None,
        numbers(3, 4).T,
    ),
    "three gates": (
        {"coupled_input_forget_gate_lstm_cell/kernel": numbers(3, 12)},
        "w",
        [12, 3],
        None,
        numbers(3, 12).T,
    ),
    "a projection has no gates": (
        {"lstm_cell/projection/kernel": numbers(3, 4)},
        "lstm_cell/projection/w",
        [4, 3],
        None,
        numbers(3, 4).T,
    ),
}


@pytest.mark.parametrize("how", GATES)
def test_gates_come_in_the_order_that_is_known_or_said(how: str, tmp_path: Path) -> None:
    arrays, path, shape, layout, expected = GATES[how]
    model = made({path: shape})
    file = saved(tmp_path, {**arrays, **RECURRENT})
    load_checkpoint(model, file, dict.fromkeys(arrays, path), layout=layout)
    assert np.array_equal(model.variables[path].detach().cpu().numpy(), expected)


ASKED: dict[str, tuple[str, list[int], str, list[int], str]] = {
    "by the name in the file": ("rnn/basic_lstm_cell/kernel", [5, 8], "encoder/kernel", [8, 5], "'dense' or 'lstm'"),
    "by the name in the module": ("cell/kernel", [5, 8], "lstm/kernel", [8, 5], "'dense' or 'lstm'"),
    "an old name": ("BasicLSTMCell/Linear/Matrix", [5, 8], "w", [8, 5], "'dense' or 'lstm'"),
    "sonnet": ("lstm/w_gates", [5, 8], "w", [8, 5], "'dense' or 'lstm'"),
    "sketch-rnn": ("rnn/LSTMCell/W_xh", [5, 8], "w", [8, 5], "'dense' or 'lstm'"),
    "baselines": ("lstm1/wx", [5, 8], "w", [8, 5], "'dense' or 'lstm'"),
    "haiku": ("lstm/linear/w", [5, 8], "w", [8, 5], "'dense' or 'lstm'"),
    "a convolution": ("conv_lstm_cell/kernel", [2, 2, 3, 4], "w", [4, 3, 2, 2], "'conv' or 'conv_lstm'"),
    "keras' gru": ("gru/kernel", [3, 6], "w", [6, 3], "'dense' or 'keras_gru'"),
    "keras' gru by its shape": ("gru/bias", [6], "w", [6], "'same' or 'keras_gru'"),
}


@pytest.mark.parametrize("how", ASKED)
def test_the_order_of_gates_is_asked_for_by_either_name(how: str, tmp_path: Path) -> None:
    array, found, path, wanted, question = ASKED[how]
    model = made({path: wanted})
    with pytest.raises(CheckpointError, match=f"may be {question}: say which"):
        load_checkpoint(model, saved(tmp_path, {array: numbers(*found), **RECURRENT}), {array: path})
    unbuilt = ScopedModule(lambda: get_variable(path, wanted))
    with pytest.raises(CheckpointError, match="say layout=.*" + question.rpartition(" or ")[2]):
        load_checkpoint(unbuilt, saved(tmp_path, {array: numbers(*found), **RECURRENT}), {array: path})


def test_a_rule_for_gates_that_is_given_for_all_is_for_recurrent_layers_alone(tmp_path: Path) -> None:
    cell = {"rnn/lstm_cell/kernel": numbers(3, 8), "rnn/lstm_cell/bias": numbers(8)}
    model = made({"rnn/lstm_cell/kernel": [8, 3], "rnn/lstm_cell/bias": [8], "table": [10, 3]})
    load_checkpoint(model, saved(tmp_path, {**cell, "table": numbers(10, 3)}), layout="lstm")
    assert np.array_equal(
        model.variables["rnn/lstm_cell/bias"].detach().cpu().numpy(), numbers(8)[[0, 1, 4, 5, 2, 3, 6, 7]]
    )
    other = made({"rnn/lstm_cell/kernel": [8, 3], "rnn/lstm_cell/bias": [8], "fc/bias": [16]})
    file = saved(tmp_path, {**cell, "fc/bias": numbers(16)})
    with pytest.raises(CheckpointError, match="'lstm' is given for everything, and nothing tells that this has gates"):
        load_checkpoint(other, file, layout="lstm")
    load_checkpoint(other, file, layout={"rnn/**": "lstm"})
    assert np.array_equal(other.variables["fc/bias"].detach().cpu().numpy(), numbers(16))


@pytest.mark.parametrize("layout", ["lstm", {"rnn/*": "lstm"}, {"rnn/kernel": "lstm"}])
def test_a_rule_for_gates_that_are_known_to_be_in_another_order_is_refused(layout: Any, tmp_path: Path) -> None:
    arrays = {"rnn/kernel": numbers(3, 8), "rnn/recurrent_kernel": numbers(2, 8)}
    model = made({"rnn/kernel": [8, 3], "rnn/recurrent_kernel": [8, 2]})
    with pytest.raises(CheckpointError, match="'lstm': its gates are in torch's order, as the 'recurrent_kernel'"):
        load_checkpoint(model, saved(tmp_path, arrays), layout=layout)


def test_a_convolution_with_gates_and_its_bias_go_by_one_rule(tmp_path: Path) -> None:
    arrays = {"conv_lstm_cell/kernel": numbers(2, 2, 3, 4), "conv_lstm_cell/bias": numbers(4)}
    model = made({"conv_lstm_cell/kernel": [4, 3, 2, 2], "conv_lstm_cell/bias": [4]})
    load_checkpoint(model, saved(tmp_path, arrays), layout="conv_lstm")
    assert model.variables["conv_lstm_cell/bias"].tolist() == numbers(4)[[0, 2, 1, 3]].tolist()


@pytest.mark.parametrize("case", ["both alike", "one alone", "two that differ"])
def test_an_array_for_each_path_of_a_tied_variable_must_be_one_array(case: str, tmp_path: Path) -> None:
    model = made({"a/w": [2], "b/w": [2]})
    model.variables["b/w"] = model.variables["a/w"]
    arrays = {"a/w": numbers(2), "b/w": numbers(2) + (case == "two that differ")}
    if case == "one alone":
        del arrays["b/w"]
    file = saved(tmp_path, arrays)
    if case == "two that differ":
        with pytest.raises(CheckpointError, match="it is one tensor with 'a/w', whose array is another"):
            load_checkpoint(model, file)
    else:
        assert load_checkpoint(model, file).complete
        assert np.array_equal(model.variables["b/w"].detach().cpu().numpy(), numbers(2))


def test_the_gates_of_torchs_layers_are_in_torchs_order(tmp_path: Path) -> None:
    def forward(x: torch.Tensor) -> None:
        get_module("gru", nn.GRU, 3, 2)(x)
        get_module("lstm", nn.LSTM, 3, 2)(x)

    model = ScopedModule(forward).build(torch.ones(1, 1, 3))
    arrays = {"gru/kernel": numbers(3, 6), "rnn/kernel": numbers(3, 8), **RECURRENT}
    known = {
        "gru/kernel": "gru.weight_ih_l0",
        "gru/recurrent_kernel": "gru.weight_hh_l0",
        "rnn/kernel": "lstm.weight_ih_l0",
        "rnn/recurrent_kernel": "lstm.weight_hh_l0",
    }
    load_checkpoint(model, saved(tmp_path, arrays), known)
    found = {name: tensor.detach().cpu().numpy() for name, tensor in model.variables.named_parameters()}
    assert np.array_equal(found["gru.weight_ih_l0"], np.concatenate([r, z, h], 1).T)
    assert np.array_equal(found["lstm.weight_ih_l0"], numbers(3, 8).T)
    with pytest.raises(CheckpointError, match="may be 'dense' or 'lstm'"):  # whose order nothing tells
        load_checkpoint(model, saved(tmp_path, {"cell/kernel": numbers(3, 8)}), {"cell/kernel": "lstm.weight_ih_l0"})
    own = {f"lstm.{name}": numbers(8) for name in ("bias_ih_l0", "bias_hh_l0")}
    load_checkpoint(model, saved(tmp_path, own), {name: name for name in own})


# What does not fit -------------------------------------------------------------------------------------------------

REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], Any, str]] = {
    "a square matrix": ({"w": numbers(3, 3)}, {"w": [3, 3]}, None, r"may be 'same' or 'dense': say which, layout="),
    "a square kernel": ({"w": numbers(3, 3, 3, 3)}, {"w": [3, 3, 3, 3]}, None, r"may be 'same' or 'conv'"),
    "another shape": ({"w": numbers(3, 4)}, {"w": [3, 5]}, None, r"\(3, 4\) is not \(3, 5\) in any layout"),
    "a layout that is wrong": (
        {"w": numbers(3, 4)},
        {"w": [3, 4]},
        "dense",
        r"layout 'dense' makes \(4, 3\) of \(3, 4\)",
    ),
    "whole numbers": ({"w": np.ones(3, bool)}, {"w": [3]}, None, r"bool does not become float32"),
    "the kernel of an LSTM": (
        {"lstm_cell/kernel": numbers(5, 8)},
        {"lstm_cell/kernel": [8, 5]},
        None,
        r"\(5, 8\) may be 'dense' or 'lstm': say which, layout=\{'lstm_cell/kernel'",
    ),
    "the bias of an LSTM": (
        {"BasicLSTM/l0/biases": numbers(8)},
        {"BasicLSTM/l0/biases": [8]},
        None,
        r"may be 'same' or 'lstm'",
    ),
    "a layout for other arrays": (
        {"w": numbers(3, 6), "b": numbers(8)},
        {"w": [6, 3], "b": [8]},
        {"w": "lstm"},
        r"layout 'lstm' is for one or two axes, the last a multiple of 4, and this has shape \(3, 6\)",
    ),
    "a square matrix among kernels": (
        {"w": numbers(3, 3), "k": numbers(5, 5, 3, 4)},
        {"w": [3, 3], "k": [4, 3, 5, 5]},
        "conv",
        r"\(3, 3\) may be 'same' or 'dense'",
    ),
    "whole numbers for floating ones": (
        {"w": np.ones(3, np.int64)},
        {"w": [3]},
        None,
        r"int64 does not become float32",
    ),
    "a variable without an array": ({"w": numbers(3)}, {"w": [3], "v": [2]}, None, r"missing\s+v\s+no array is for it"),
    "a name like another": (
        {"a/weights": numbers(3)},
        {"a/weight": [3]},
        None,
        r"missing\s+a/weight\s+no array is for it\. The nearest: 'a/weights'\.",
    ),
    "an array without a variable": ({"w": numbers(3), "x": numbers(1)}, {"w": [3]}, None, r"unused\s+x\s+it is for no"),
}


@pytest.mark.parametrize("how", REFUSED)
def test_what_does_not_fit_raises_the_whole_report_and_changes_nothing(how: str, tmp_path: Path) -> None:
    arrays, shapes, layout, message = REFUSED[how]
    model = made(shapes)
    before = {path: variable.detach().clone() for path, variable in model.variables.items()}
    with pytest.raises(CheckpointError, match=message) as raised:
        load_checkpoint(model, saved(tmp_path, arrays), layout=layout)
    assert not raised.value.report.complete
    assert str(raised.value.report) in str(raised.value)
    assert all(torch.equal(model.variables[path].detach(), value) for path, value in before.items())
    if not raised.value.report.loaded:
        with pytest.raises(CheckpointError, match=message) as again:
            load_checkpoint(model, saved(tmp_path, arrays), layout=layout, strict=False)
        assert again.value.report == raised.value.report
        assert "strict=False" not in str(again.value)
        return
    report = load_checkpoint(model, saved(tmp_path, arrays), layout=layout, strict=False)
    assert report.done
    assert replace(report, done=False) == raised.value.report
    for path in before:
        assert torch.equal(model.variables[path].detach(), before[path]) is (path not in report.loaded)


def test_a_checkpoint_of_another_model_is_an_error_also_if_what_fits_would_do(tmp_path: Path) -> None:
    model = made({"encoder/w": [2], "encoder/b": [3]})
    with pytest.raises(CheckpointError, match="nothing was loaded") as raised:
        load_checkpoint(model, saved(tmp_path, {"decoder/w": np.ones(2), "decoder/b": np.ones(3)}), strict=False)
    assert "0 fit, 0 refused, 2 missing, 2 unused" in str(raised.value)


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_a_file_of_the_modules_own_state_dict_is_loaded(suffix: str, tmp_path: Path) -> None:
    def forward() -> None:
        get_variable("a/w", [2])
        get_module("layer", torch.nn.Linear, 2, 2)

    model, other = ScopedModule(forward, seed=0).build(), ScopedModule(forward, seed=1).build()
    state = model.state_dict()
    if suffix == "pt":
        torch.save(state, tmp_path / "model.pt")
    else:
        save_file(dict(state), tmp_path / "model.safetensors")
    report = load_checkpoint(other, tmp_path / f"model.{suffix}")
    assert report.loaded.keys() == {"a/w", "layer.weight", "layer.bias"}
    assert all(torch.equal(value, state[key]) for key, value in other.state_dict().items())


@pytest.mark.parametrize("strict", [True, False])
def test_however_many_arrays_do_not_fit_the_nearest_are_looked_for_among_a_bounded_number(
    strict: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each missing variable has an array that is like it, under another name."""
    compared = 0

    def close(word: str, possibilities: Any, n: int) -> list[str]:
        nonlocal compared
        compared += len(possibilities)
        return [next(iter(possibilities))]

    count = 5000
    model = ScopedModule(lambda: None)
    for number in range(count):
        model.variables[f"encoder/layer_{number}/kernel"] = torch.nn.Parameter(torch.zeros(1))
    model.variables.set_built(True)
    torch.save({f"bert/layer_{number}/dense/kernel": torch.zeros(1) for number in range(count)}, tmp_path / "file.pt")
    monkeypatch.setattr("difflib.get_close_matches", close)
    with pytest.raises(CheckpointError, match=f"{count} missing, {count} unused") as raised:
        load_checkpoint(model, tmp_path / "file.pt", strict=strict)
    assert str(raised.value).count("The nearest: 'bert/layer_0/dense/kernel'.") == 50
    assert compared <= 50 * 2000


def test_a_damaged_array_leaves_all_variables_as_they_were(tmp_path: Path) -> None:
    for file in HERE.glob("image_filters.ckpt.*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    data = tmp_path / "image_filters.ckpt.data-00000-of-00001"
    held = bytearray(data.read_bytes())
    held[Bundle(str(FILTERS)).stored[f"{PATHS[3]}/ExponentialMovingAverage"].offset] ^= 1  # in the last that is loaded
    data.write_bytes(held)
    for model in (filters(), ScopedModule(lambda: None)):
        before = {path: variable.detach().clone() for path, variable in model.variables.items()}
        with pytest.raises(CheckpointError, match="damaged"):
            load_checkpoint(model, tmp_path / "image_filters.ckpt", layout="conv", prefer_ema=True)
        assert list(model.variables) == list(before)
        assert all(torch.equal(model.variables[path].detach(), value) for path, value in before.items())


def test_floating_dtypes_are_converted_to_the_variables() -> None:
    model = filters(torch.bfloat16)
    report = load_checkpoint(model, FILTERS)
    assert report.loaded[PATHS[1]][1] == "float32 -> bfloat16"
    assert torch.equal(model.variables[PATHS[1]].detach().cpu(), open_checkpoint(FILTERS)[PATHS[1]].read().bfloat16())


# Names -------------------------------------------------------------------------------------------------------------

MAPS: dict[str, tuple[Any, Any]] = {
    "scopes with slashes": ({"old/scope/": "new/"}, {"new/w": 1, "new/deep/b": 2}),
    "scopes without": ({"old/scope": "new"}, {"new/w": 1, "new/deep/b": 2}),
    "name to name": ({"old/scope/w": "new/w"}, {"new/w": 1}),
    "everything below a scope": ({"/": "all/"}, {"all/old/scope/w": 1, "all/old/scope/deep/b": 2, "all/v": 3}),
    "a scope to the root": ({"old/scope/": "/"}, {"w": 1, "deep/b": 2}),
    "several": ({"v": "u", "old/scope/deep": "x"}, {"u": 3, "x/b": 2}),
}


@pytest.mark.parametrize("built", [True, False])
@pytest.mark.parametrize("how", MAPS)
def test_an_assignment_map_maps_as_tensorflows(how: str, built: bool, tmp_path: Path) -> None:
    given, expected = MAPS[how]
    file = saved(tmp_path, {"old/scope/w": np.ones(2), "old/scope/deep/b": np.full(2, 2.0), "v": np.full(2, 3.0)})
    model = made({path: [2] for path in expected}) if built else ScopedModule(lambda: None)
    report = load_checkpoint(model, file, given)
    assert report.complete
    assert {path: float(variable.detach()[0]) for path, variable in model.variables.items()} == expected


def test_a_map_may_name_a_variable_or_a_scope(tmp_path: Path) -> None:
    scopes: list[Any] = []

    def forward() -> None:
        with variable_scope("inside") as scope:
            scopes.append(scope)
            get_variable("w", [2])

    model = ScopedModule(forward).build()
    file = saved(tmp_path, {"a/w": np.ones(2)})
    load_checkpoint(model, file, {"a": scopes[0]})
    assert model.variables["inside/w"].tolist() == [1.0, 1.0]
    load_checkpoint(model, file, {"a/w": model.variables["inside/w"]})


def test_renames_are_for_version_drift(tmp_path: Path) -> None:
    model = made({"a/kernel": [2], "a/bias": [2]})
    file = saved(tmp_path, {"m/a/weights": np.ones(2), "m/a/biases": np.full(2, 2.0)})
    report = load_checkpoint(model, file, rename={"weights$": "kernel", "biases$": "bias", "^m/": ""})
    assert report.loaded["a/kernel"] == ("m/a/weights", "float64 -> float32")
    assert model.variables["a/bias"].tolist() == [2.0, 2.0]


def test_a_rename_to_nothing_leaves_arrays_out_and_names_them(tmp_path: Path) -> None:
    model = made({"a/w": [2]})
    file = saved(tmp_path, {"a/w": np.ones(2), "b/w": np.ones(3), "b/Adam": np.ones(3)})
    report = load_checkpoint(model, file, rename={"^b/": None})
    assert (list(report.loaded), report.skipped) == (["a/w"], dict.fromkeys(["b/w", "b/Adam"], "left out by rename"))


def test_a_report_says_under_which_name_an_array_was_of_no_use(tmp_path: Path) -> None:
    model = made({"a/weights": [2]})
    with pytest.raises(CheckpointError) as raised:
        load_checkpoint(model, saved(tmp_path, {"a/weights": np.ones(2)}), rename={"weights$": "kernel"})
    assert re.search(r"unused\s+a/weights\s+it is for no variable, by the name 'a/kernel'", str(raised.value))


def test_a_report_of_nothing_loaded_shows_what_is_in_the_way_and_counts_the_rest() -> None:
    model = made({**SHAPES, "more": [3]})
    with pytest.raises(CheckpointError) as raised:
        load_checkpoint(model, FILTERS)
    assert "4 fit, 0 refused, 1 missing, 0 unused, 9 skipped\nmissing  more    no array is for it.\n" in str(
        raised.value
    )
    assert len(raised.value.report.skipped) == 9


ROLES = {
    "w/Adam_1": "a slot of an optimizer",
    "w/Nadam": "a slot of an optimizer",
    "w_slot_vr": "a slot of an optimizer",
    "OptimizeLoss/learning_rate": "a setting of training",
    "w/ExponentialMovingAverage/biased": "a moving average",
    "w/ExponentialMovingAverage/local_step": "a moving average",
    "global_step": "a count of steps",
}


@pytest.mark.parametrize("name", ROLES)
def test_what_only_training_needs_is_left_out_and_named(name: str, tmp_path: Path) -> None:
    report = load_checkpoint(made({"w": [2]}), saved(tmp_path, {"w": np.ones(2), name: np.ones(2)}))
    assert report.skipped == {name: ROLES[name]}


def test_object_checkpoints_load_by_the_paths_of_attributes() -> None:
    model = ScopedModule(
        lambda: (get_variable("model/kernel", [2, 1]), get_buffer("model/step", [], torch.int64))
    ).build()
    report = load_checkpoint(model, HERE / "objects.ckpt")
    assert report.loaded["model/step"][0] == "model/step/.ATTRIBUTES/VARIABLE_VALUE"
    assert (model.variables["model/kernel"].tolist(), int(model.variables["model/step"])) == ([[1.0], [2.0]], 3)
    assert "the graph of objects" in report.skipped.values()


load: Any = load_checkpoint  # also with what its types refuse
BAD: dict[str, tuple[Callable[[ScopedModule, Path], Any], type[Exception], str]] = {
    "no module": (lambda m, p: load(nn.Linear(1, 1), p), ArgumentTypeError, "Give a ScopedModule"),
    "no such rule": (
        lambda m, p: load(m, p, layout="hwio"),
        ArgumentValueError,
        "layout='hwio' is not allowed here.\nThe rules are 'same', 'dense'",
    ),
    "no such rule for a pattern": (
        lambda m, p: load(m, p, layout={"a/*": "hwio"}),
        ArgumentValueError,
        "layout={'a/*': 'hwio'} is not allowed here.\nThe rules are 'same', 'dense'",
    ),
    "no layout": (lambda m, p: load(m, p, layout=3), ArgumentTypeError, "Give the name of a rule"),
    "no such scope": (lambda m, p: load(m, p, {"b": "a"}), ArgumentValueError, "has no 'b', neither array nor"),
    "no such variable": (lambda m, p: load(m, p, {"a/w": "a/v"}), ArgumentValueError, "no variable 'a/v'"),
    "nothing below": (lambda m, p: load(m, p, {"a": "b"}), ArgumentValueError, "no variables below 'b'"),
    "no expression": (lambda m, p: load(m, p, rename={"(": ""}), ArgumentValueError, "no regular expression"),
    "no group": (lambda m, p: load(m, p, rename={"a": r"\1"}), ArgumentValueError, "no regular expression"),
    "a layout for nothing": (
        lambda m, p: load(m, p, layout={"**/v": "same"}),
        ArgumentValueError,
        "layout={'**/v': 'same'} is not allowed here.\nThe pattern selects none of the 1 variables.",
    ),
    "two names in one": (lambda m, p: load(m, p, rename={"^.*": "w"}), ArgumentValueError, "makes 'w' of both"),
    "a map of nothing": (lambda m, p: load(m, p, {}), ArgumentTypeError, "Give a dict from names or scopes"),
    "a map that is a list": (lambda m, p: load(m, p, ["a"]), ArgumentTypeError, "Give a dict from names or scopes"),
    "two arrays for one variable": (
        lambda m, p: load(m, p, {"a/w": "a/w", "x": "a/w"}),
        ArgumentValueError,
        "Both 'a/w' and 'x' would go to 'a/w'",
    ),
    "a rename that is no text": (lambda m, p: load(m, p, rename={"a": 3}), ArgumentTypeError, "to the text that takes"),
    "a rename that is one text": (lambda m, p: load(m, p, rename="ab"), ArgumentTypeError, "to the text that takes"),
    "a rule that is a list": (lambda m, p: load(m, p, layout={"a": ["same"]}), ArgumentTypeError, "both as text"),
    "a pattern that is a number": (lambda m, p: load(m, p, layout={1: "same"}), ArgumentTypeError, "both as text"),
    "a module without numbers": (
        lambda m, p: load(ScopedModule(lambda: None, device="meta"), p),
        ArgumentValueError,
        "It is on the meta device and not built: build it, then call to_empty",
    ),
    "a key that is no name": (lambda m, p: load(m, p, {3: "a"}), ArgumentTypeError, "Its keys are names"),
    "a value that is no name": (lambda m, p: load(m, p, {"a": 3}), ArgumentTypeError, "Its values are"),
}


@pytest.mark.parametrize("how", BAD)
def test_a_bad_argument_says_how_to_mend_it(how: str, tmp_path: Path) -> None:
    call, kind, message = BAD[how]
    model = made({"a/w": [2]})
    with pytest.raises(kind, match=re.escape(message)):
        call(model, saved(tmp_path, {"a/w": np.ones(2), "x": np.ones(2)}))


def test_layers_of_get_module_load_by_their_parameters_names(tmp_path: Path) -> None:
    model = ScopedModule(lambda x: get_module("dense", nn.Linear, 3, 2)(x)).build(torch.ones(1, 3))
    file = saved(tmp_path, {"dense/kernel": numbers(3, 2), "dense/bias": np.ones(2)})
    report = load_checkpoint(model, file, rename={"/kernel$": ".weight", "/bias$": ".bias"})
    assert report.complete
    assert np.array_equal(
        dict(model.named_parameters())["variables.dense.weight"].detach().cpu().numpy(), numbers(3, 2).T
    )


def test_a_variable_in_parts_takes_the_whole_array(tmp_path: Path) -> None:
    def forward() -> None:
        with variable_scope("", partitioner=lambda shape, dtype: [1] * (len(shape) - 1) + [3]):
            get_variable("rows", [3, 7])
            get_variable("whole", [4])

    model = ScopedModule(forward).build()
    rename = {"^columns$": "rows"}
    report = load_checkpoint(model, HERE / "partitioned.ckpt", rename={"^rows$": "other", **rename}, strict=False)
    assert report.refused == {"rows": ("columns", "(2, 9) is not (3, 7) in any layout that could be meant")}
    report = load_checkpoint(model, HERE / "partitioned.ckpt", {"rows": "rows", "whole": "whole"})
    assert report.loaded["rows"] == ("rows", "dense: (7, 3) -> (3, 7), in 3 parts")
    raw = open_checkpoint(HERE / "partitioned.ckpt")
    parts = [model.variables[f"rows/part_{n}"].detach().cpu() for n in range(3)]
    assert torch.equal(torch.cat(parts, 1), raw["rows"].read().T)
    np.savez(tmp_path / "parts.npz", **{path: v.detach().cpu().numpy() for path, v in model.variables.items()})
    assert load_checkpoint(model, tmp_path / "parts.npz", layout="same").complete


def test_a_computed_variable_is_refused(tmp_path: Path) -> None:
    model = made({"w": [3]})
    torch.nn.utils.parametrize.register_parametrization(model.variables, "w", nn.Identity())
    with pytest.raises(CheckpointError, match="the variable is computed"):
        load_checkpoint(model, saved(tmp_path, {"w": np.ones(3)}))


def test_it_loads_below_a_default_device_and_into_meta_nothing(tmp_path: Path) -> None:
    file = saved(tmp_path, {"w": numbers(2, 3)})
    model = made({"w": [3, 2]})
    with torch.device("meta"):
        load_checkpoint(model, file)
    assert model.variables["w"].tolist() == numbers(2, 3).T.tolist()
    with pytest.raises(CheckpointError, match="is on the meta device: call to_empty"):
        load_checkpoint(model.to("meta"), file)


AVERAGED = {"l/weights": np.zeros(3, np.float32), "l/weights/ExponentialMovingAverage": np.ones(3, np.float32)}


def test_a_rename_brings_the_moving_average_along(tmp_path: Path) -> None:
    model = made({"l/kernel": [3]})
    report = load_checkpoint(model, saved(tmp_path, AVERAGED), rename={"weights$": "kernel"}, prefer_ema=True)
    assert model.variables["l/kernel"].tolist() == [1.0, 1.0, 1.0]
    assert report.skipped == {"l/weights": "its moving average is taken"}


@pytest.mark.parametrize("how", [{"prefer_ema": True}, {"rename": {"/ExponentialMovingAverage$": ""}}], ids=str)
def test_averages_alone_build_a_module(how: Any, tmp_path: Path) -> None:
    average = {name: array for name, array in AVERAGED.items() if name.endswith("Average")}
    model = ScopedModule(lambda: get_variable("l/weights", [3]))
    assert load_checkpoint(model, saved(tmp_path, average), **how).complete
    assert model().tolist() == [1.0, 1.0, 1.0]


def test_a_strict_load_of_nothing_is_refused(tmp_path: Path) -> None:
    model = ScopedModule(lambda: get_variable("w", [3]))
    with pytest.raises(CheckpointError, match="0 fit, 0 refused, 0 missing, 0 unused, 1 skipped"):
        load_checkpoint(model, saved(tmp_path, {"global_step": np.ones(1)}))


def test_a_scope_is_meant_by_its_slash_where_an_array_has_its_name(tmp_path: Path) -> None:
    file = saved(tmp_path, {"h": np.ones(1, np.float32), "h/w": np.zeros(1, np.float32)})
    model = made({"x/w": [1]})
    assert list(load_checkpoint(model, file, {"h/": "x/"}).loaded) == ["x/w"]
    model = made({"x": [1]})
    assert load_checkpoint(model, file, {"h": "x"}).loaded["x"][0] == "h"


def test_arrays_of_a_mapped_scope_that_no_variable_takes_are_named(tmp_path: Path) -> None:
    file = saved(tmp_path, {"l/w": np.ones(1), "l/extra": np.ones(1), "l/w/Adam": np.ones(1), "else": np.ones(1)})
    model = made({"l/w": [1]})
    with pytest.raises(CheckpointError, match=r"unused\s+l/extra"):
        load_checkpoint(model, file, {"l/": "l/"})
    report = load_checkpoint(model, file, {"l/": "l/"}, strict=False)
    assert (report.unused, list(report.skipped)) == (["l/extra"], ["l/w/Adam"])
    assert load_checkpoint(model, file, {"l/w": "l/w"}).complete


def test_a_later_load_of_a_part_leaves_the_promise_of_a_strict_one(tmp_path: Path) -> None:
    model = ScopedModule(lambda: (get_variable("w", [2]), get_variable("v", [2])))
    file = saved(tmp_path, {"w": np.ones(2, np.float32)})
    load_checkpoint(model, file)
    load_checkpoint(model, file, {"w": "w"})
    with pytest.raises(ValueError, match="'v'"):
        model()


def test_a_number_that_the_variable_cannot_hold_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    model = made({"a": [2], "b": [2]}, torch.float16)
    before = {path: variable.tolist() for path, variable in model.variables.items()}
    file = saved(tmp_path, {"a": np.ones(2), "b": np.array([1e9, np.inf])})
    with pytest.raises(CheckpointError, match=r"entry 'b': it holds 1e\+09, and 'b' of float16 at most 65504"):
        load_checkpoint(model, file)
    assert {path: variable.tolist() for path, variable in model.variables.items()} == before
    load_checkpoint(model, saved(tmp_path, {"a": np.ones(2), "b": np.array([1.0, np.inf])}))
    assert model.variables["b"].tolist() == [1.0, float("inf")]


def test_an_interrupt_while_it_writes_leaves_nothing_half_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = made({"a": [2], "b": [2]})
    written: list[str] = []

    def write(rule: str, value: Tensor, into: Tensor) -> None:
        written.append(rule)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.05)  # the main thread has time to notice
        into.copy_(value)

    monkeypatch.setattr(_write, "write", write)
    with pytest.raises(KeyboardInterrupt):
        load_checkpoint(model, saved(tmp_path, {"a": np.ones(2), "b": np.ones(2)}))
    assert [v.tolist() for v in model.variables.values()] == [[1.0, 1.0], [1.0, 1.0]]


def test_after_an_interrupt_just_when_the_thread_that_writes_has_started_it_writes_all_before_or_nothing_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = saved(tmp_path, {"a": np.ones(2), "b": np.ones(2)})
    writers: list[int] = []
    start = _thread.start_new_thread

    def write(rule: str, value: Tensor, into: Tensor) -> None:
        time.sleep(0.05)
        writers.append(_thread.get_ident())
        into.copy_(value)

    def start_and_interrupt(*args: Any) -> int:
        identity = start(*args)
        if not interrupts:
            return identity
        time.sleep(interrupts.pop())
        raise KeyboardInterrupt  # as by a signal before the caller has the result

    monkeypatch.setattr(_write, "write", write)
    monkeypatch.setattr(_thread, "start_new_thread", start_and_interrupt)
    for seconds in (0.0, 0.02):  # before the thread has taken the work, perhaps, and after that
        model, interrupts = made({"a": [2], "b": [2]}), [seconds]
        with pytest.raises(KeyboardInterrupt):
            load_checkpoint(model, file)
        at_once = [v.tolist() for v in model.variables.values()]
        time.sleep(0.2)
        assert [v.tolist() for v in model.variables.values()] == at_once, "nothing is written later"
        assert len(writers) in (0, 2)
        assert writers == writers[:1] * len(writers), "each is written once, by one thread"
        assert (at_once == [[1.0, 1.0], [1.0, 1.0]]) == bool(writers)
        writers.clear()


def test_an_interrupt_while_variables_are_made_leaves_the_file_to_be_all_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = saved(tmp_path, {"a": np.ones(2)})
    start, begun = _thread.start_new_thread, threading.Event()

    def write(rule: str, value: Tensor, into: Tensor) -> None:
        begun.set()
        into.data.copy_(value)

    def start_and_interrupt(*args: Any) -> int:
        start(*args)
        monkeypatch.setattr(_thread, "start_new_thread", start)
        assert begun.wait(30)
        raise KeyboardInterrupt

    monkeypatch.setattr(_write, "write", write)

    model = ScopedModule(lambda: (get_variable("a", [2]), get_variable("b", [2])))
    monkeypatch.setattr(_thread, "start_new_thread", start_and_interrupt)
    with pytest.raises(KeyboardInterrupt):
        load_checkpoint(model, file)
    assert list(model.variables) == ["a"]
    with pytest.raises(VariableNotFoundError):
        model()


class Stop(BaseException):
    """What a program's own handler of a signal raises."""


def test_whatever_a_signal_raises_while_it_writes_waits_for_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise Stop

    def write(rule: str, value: Tensor, into: Tensor) -> None:
        os.kill(os.getpid(), signal.SIGUSR1)
        time.sleep(0.05)
        into.copy_(value)

    model, before = made({"a": [2], "b": [2]}), signal.signal(signal.SIGUSR1, stop)
    monkeypatch.setattr(_write, "write", write)
    try:
        with pytest.raises(Stop):
            load_checkpoint(model, saved(tmp_path, {"a": np.ones(2), "b": np.ones(2)}))
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert [v.tolist() for v in model.variables.values()] == [[1.0, 1.0], [1.0, 1.0]]


def test_of_an_interrupt_and_an_error_while_it_writes_none_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(rule: str, value: Tensor, into: Tensor) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.05)
        raise RuntimeError("the disk")

    monkeypatch.setattr(_write, "write", write)
    with pytest.raises(KeyboardInterrupt) as caught:
        load_checkpoint(made({"a": [2]}), saved(tmp_path, {"a": np.ones(2)}))
    assert str(caught.value.__cause__) == "the disk"


def test_a_module_that_is_built_while_its_file_is_checked_keeps_its_parameters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, checks = ScopedModule(lambda: (get_variable("a", [2]), get_variable("b", [2]))), _write._refuse_overflow
    built: list[nn.Parameter] = []

    def build_meanwhile(*args: Any) -> None:
        if not built:
            built.extend(model.build().parameters())
        checks(*args)

    monkeypatch.setattr(_write, "_refuse_overflow", build_meanwhile)
    report = load_checkpoint(model, saved(tmp_path, {"a": np.ones(2), "b": np.ones(2)}))
    assert report.done
    assert all(mine is theirs for mine, theirs in zip(model.parameters(), built, strict=True))
    assert [v.tolist() for v in built] == [[1.0, 1.0], [1.0, 1.0]]


def test_it_loads_in_an_initializer_of_the_same_module(tmp_path: Path) -> None:
    file = saved(tmp_path, {"a": np.ones(2)})

    def pretrained(tensor: Tensor) -> None:
        nn.init.zeros_(tensor)
        load_checkpoint(model, file, {"a": "a"})

    model = ScopedModule(lambda: (get_variable("a", [2]), get_variable("b", [2], initializer=pretrained)))
    model.build()
    assert {path: v.tolist() for path, v in model.variables.items()} == {"a": [1.0, 1.0], "b": [0.0, 0.0]}


def test_it_loads_what_was_made_in_inference_mode(tmp_path: Path) -> None:
    with torch.inference_mode():
        model = ScopedModule(lambda: (get_variable("a", [2]), get_buffer("b", [2]))).build().half()
        load_checkpoint(model, saved(tmp_path, {"a": np.ones(2), "b": np.ones(2)}))
        assert [v.tolist() for v in model.variables.values()] == [[1.0, 1.0], [1.0, 1.0]]


def test_an_expanded_tensor_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    model = made({"a": [2], "b": [2]})
    before = model.variables["a"].tolist()
    model.variables["b"] = nn.Parameter(torch.zeros(1).expand(2))
    with pytest.raises(CheckpointError, match="the variable is an expanded tensor"):
        load_checkpoint(model, saved(tmp_path, {"a": np.ones(2), "b": np.ones(2)}))
    assert model.variables["a"].tolist() == before


def test_a_variable_in_parts_of_which_one_is_computed_is_refused(tmp_path: Path) -> None:
    model = ScopedModule(lambda: get_variable("w", [4, 2], partitioner=lambda shape, dtype: [2, 1])).build()
    torch.nn.utils.parametrize.register_parametrization(model.variables, "w/part_0", nn.Identity())
    with pytest.raises(CheckpointError, match="the variable is computed"):
        load_checkpoint(model, saved(tmp_path, {"w": numbers(4, 2)}))


def test_an_array_does_not_take_the_place_of_a_layer(tmp_path: Path) -> None:
    model = ScopedModule()
    with model.as_default():
        get_module("dense", nn.Linear, 2, 2)
    with pytest.raises(CheckpointError, match="a module that get_module made lives there"):
        load_checkpoint(model, saved(tmp_path, {"dense": np.ones(2)}))


def test_a_layout_for_all_leaves_the_rest_to_be_inferred(tmp_path: Path) -> None:
    model = made({"k": [4, 3, 5, 5], "w": [3, 2], "b": [3]})
    file = saved(tmp_path, {"k": numbers(5, 5, 3, 4), "w": numbers(2, 3), "b": numbers(3)})
    report = load_checkpoint(model, file, layout="conv")
    assert [how.partition(":")[0] for _, how in report.loaded.values()] == ["conv", "dense", ""]


def test_after_a_strict_load_the_first_call_makes_nothing_that_was_missing(tmp_path: Path) -> None:
    model = ScopedModule(lambda: (get_variable("w", [2]), get_variable("v", [2])))
    load_checkpoint(model, saved(tmp_path, {"w": np.ones(2, np.float32)}))
    with pytest.raises(ValueError, match="'v'"):
        model()


def test_two_checkpoints_build_one_module(tmp_path: Path) -> None:
    model = ScopedModule(lambda: (get_variable("a/w", [2]), get_variable("b/w", [2])))
    file = saved(tmp_path, {"w": np.ones(2, np.float32)})
    load_checkpoint(model, file, {"/": "a"})
    load_checkpoint(model, file, {"/": "b"})
    assert [v.tolist() for v in model()] == [[1.0, 1.0], [1.0, 1.0]]
