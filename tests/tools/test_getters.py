"""Getters that are ready to use: each against torch's own or its formula, as a getter and on a built module."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import parametrizations
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tests.tools.models import everything, in_a_process_group
from torchscope import (
    ArgumentTypeError,
    ArgumentValueError,
    NotBuiltError,
    ScopedModule,
    VariableNotFoundError,
    get_buffer,
    get_module,
    get_variable,
    variable_scope,
)
from torchscope.tools import ema, lora, spectral_norm, weight_norm

Getter = Callable[..., Tensor]
X = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))


def two_layers(x: Tensor) -> Tensor:
    for name, units in (("first", 4), ("second", 2)):
        with variable_scope(name):
            x = F.linear(x, get_variable("kernel", [units, x.shape[-1]]), get_variable("bias", [units])).tanh()
    return x


def by_getter(getter: Getter | None = None, body: Callable[..., Tensor] = two_layers) -> ScopedModule:
    """A model whose variables a getter makes."""

    def forward(x: Tensor) -> Tensor:
        with variable_scope("net", custom_getter=getter):
            return body(x)

    return ScopedModule(forward, seed=1).build(X)


def by_pattern(getter: Any) -> ScopedModule:
    """The same model, to which it is applied after building."""
    model = by_getter()
    getter.apply(model, "**/kernel")
    return model


GETTERS: dict[str, Callable[[], Any]] = {
    "lora": lambda: lora(2, alpha=3),
    "weight_norm": weight_norm,
    "spectral_norm": spectral_norm,
    "ema": lambda: ema(0.9),
}
WAYS = {"as a getter": by_getter, "by a pattern": by_pattern}
both = pytest.mark.parametrize("way", WAYS)
each = pytest.mark.parametrize("name", GETTERS)


def step(model: nn.Module, x: Tensor = X) -> Tensor:
    """A step of training, with a large rate."""
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.5)
    optimizer.zero_grad()
    loss: Tensor = model(x).square().sum() + model(x).sum()
    loss.backward()
    optimizer.step()
    return loss.detach()


def floating_dtypes(model: ScopedModule) -> set[torch.dtype]:
    return {variable.dtype for variable in model.variables.values() if variable.is_floating_point()}


# What all of them do --------------------------------------------------------------------------------------------------


@each
@both
def test_nothing_changes_at_first_but_the_length_of_a_normed_weight(name: str, way: str) -> None:
    model, plain = WAYS[way](GETTERS[name]()), by_getter()
    if name == "spectral_norm":
        with torch.no_grad():
            for scope in ("first", "second"):
                kernel = plain.variables[f"net/{scope}/kernel"]
                kernel /= torch.linalg.matrix_norm(kernel, 2)
        torch.testing.assert_close(model(X), plain(X), rtol=0.02, atol=0.02)
    else:
        torch.testing.assert_close(model(X), plain(X))


@each
@both
def test_it_trains_eager_and_compiled_alike(name: str, way: str) -> None:
    torch.compiler.reset()
    model = WAYS[way](GETTERS[name]())
    twin = copy.deepcopy(model)
    compiled = torch.compile(twin, fullgraph=True, backend="aot_eager")
    for _ in range(3):
        torch.testing.assert_close(step(model), step(compiled))
    for (path, ours), theirs in zip(model.state_dict().items(), twin.state_dict().values(), strict=True):
        torch.testing.assert_close(ours, theirs, msg=path)


@each
def test_what_it_makes_has_the_dtype_of_the_weights(name: str) -> None:
    def forward(x: Tensor) -> Tensor:
        with variable_scope("net", custom_getter=GETTERS[name]()):
            return x @ get_variable("kernel", [3, 4], torch.float64)

    model = ScopedModule(forward, seed=1).build(X.double())
    assert floating_dtypes(model) == {torch.float64}


@each
@both
def test_a_model_that_is_converted_goes_on_in_its_new_dtype(name: str, way: str) -> None:
    model = WAYS[way](GETTERS[name]())
    step(model)
    model.double()
    step(model, X.double())
    assert model(X.double()).dtype == torch.float64
    assert floating_dtypes(model) == {torch.float64}


@each
@both
def test_copies_and_pickles_compute_the_same_and_are_apart(name: str, way: str) -> None:
    model = WAYS[way](GETTERS[name]())
    step(model)
    model.eval()
    expected = model(X)
    file = io.BytesIO()
    copies = [copy.deepcopy(model)]
    if way == "as a getter":  # a function of this test cannot be pickled, and torch's parametrizations neither
        model.fn = copies[0].fn = Forward(GETTERS[name]())
        copies.append(pickle.loads(pickle.dumps(model)))
        torch.save(model, file)
        file.seek(0)
        copies.append(torch.load(file, weights_only=False))
    for other in copies:
        torch.testing.assert_close(other.eval()(X), expected)
        step(other.train())
    torch.testing.assert_close(model(X), expected)


class Forward:
    """The model as an object that can be pickled."""

    def __init__(self, getter: Getter) -> None:
        self.getter = getter

    def __call__(self, x: Tensor) -> Tensor:
        with variable_scope("net", custom_getter=self.getter):
            return two_layers(x)


@each
@both
def test_its_state_loads_into_another(name: str, way: str) -> None:
    model, other = WAYS[way](GETTERS[name]()), WAYS[way](GETTERS[name]())
    step(model), step(model)
    other.load_state_dict(model.state_dict())
    torch.testing.assert_close(other.eval()(X), model.eval()(X))


@each
def test_a_module_that_is_not_built_takes_the_state(name: str) -> None:
    model = by_getter(getter := GETTERS[name]())
    step(model)
    other = ScopedModule(Forward(getter))
    other.load_state_dict(model.state_dict())
    torch.testing.assert_close(other.eval()(X), model.eval()(X))
    assert list(other.state_dict()) == list(model.state_dict())


@each
def test_a_weight_that_is_shared_is_one(name: str) -> None:
    def shared(x: Tensor) -> Tensor:
        with variable_scope("one") as scope:
            x = F.linear(x, get_variable("kernel", [3, 3]))
            scope.reuse_variables()
            return F.linear(x, get_variable("kernel", [3, 3]))

    model = by_getter(GETTERS[name](), shared)
    kernels = [path for path in model.variables if path.endswith("kernel")]
    assert kernels == ["net/one/kernel"]
    step(model), step(model)


@each
def test_biases_buffers_and_integers_are_left_alone(name: str) -> None:
    def others(x: Tensor) -> Tensor:
        get_variable("steps", [2, 2], torch.int64)
        get_buffer("mean", [2, 2])
        return x + get_variable("bias", [3])

    model = by_getter(GETTERS[name](), others)
    more = ["net/bias/ema"] if name == "ema" else []
    assert list(model.variables) == ["net/steps", "net/mean", "net/bias", *more]


@each
def test_a_build_that_fails_leaves_nothing(name: str) -> None:
    def fails(x: Tensor) -> Tensor:
        F.linear(x, get_variable("kernel", [4, 3]))
        raise RuntimeError("after the kernel")

    with pytest.raises(RuntimeError, match="after the kernel"):
        by_getter(GETTERS[name](), fails)


@each
def test_reset_parameters_begins_anew(name: str) -> None:
    model = by_getter(GETTERS[name]())
    expected = copy.deepcopy(model)
    step(model), step(model)
    model.reset_parameters()
    for path, value in model.variables.items():
        torch.testing.assert_close(value, expected.variables[path], msg=path)


@each
def test_layers_and_other_modules_are_reached_by_a_pattern(name: str) -> None:
    model, x = everything(), torch.ones(3, 4)
    before = model.eval()(x)
    GETTERS[name]().apply(model, ["head/weight", "encoder/inner/kernel", "tower/first/kernel"])
    if name != "spectral_norm":
        torch.testing.assert_close(model(x), before)
    step(model.train(), x)


@each
def test_a_pattern_that_selects_nothing_or_nothing_of_use_is_refused(name: str) -> None:
    model = by_getter()
    with pytest.raises(ArgumentValueError, match="pattern='\\*\\*/kernl' .*\n.*nearest"):
        GETTERS[name]().apply(model, "**/kernl")
    with pytest.raises(NotBuiltError):
        GETTERS[name]().apply(ScopedModule(two_layers), "**")
    if name != "ema":
        with pytest.raises(ArgumentValueError, match="no floating parameter of ScopedModule with 2 axes"):
            GETTERS[name]().apply(model, "**/bias")


@each
def test_it_trains_under_ddp(name: str, tmp_path: Path) -> None:
    def run() -> None:
        model, plain = by_getter(GETTERS[name]()), by_getter(GETTERS[name]())
        wrapped = DistributedDataParallel(model)
        for _ in range(2):
            torch.testing.assert_close(step(wrapped), step(plain))

    in_a_process_group(tmp_path, run)


def test_two_getters_are_one_inside_the_other() -> None:
    average = ema(0.5)

    def forward(x: Tensor) -> Tensor:
        with variable_scope("a", custom_getter=average), variable_scope("b", custom_getter=weight_norm()):
            return F.linear(x, get_variable("kernel", [2, 3]))

    model = ScopedModule(forward).build(X)
    assert set(model.variables) == {f"a/b/kernel{end}" for end in ("", "/ema", "/g", "/g/ema")}


# Each against its formula ---------------------------------------------------------------------------------------------


@both
def test_lora_is_its_formula_and_trains_the_update_alone(way: str) -> None:
    adapter = lora(2, alpha=3)
    model, plain = WAYS[way](adapter), by_getter()
    step(model)
    state = adapter.state_dict(model)
    assert list(state) == [f"net/{s}/kernel/lora_{ab}" for s in ("first", "second") for ab in "ab"]
    assert [list(t.shape) for t in state.values()] == [[2, 3], [4, 2], [2, 4], [2, 2]]
    with torch.no_grad():
        for scope in ("first", "second"):
            a, b = (state[f"net/{scope}/kernel/lora_{ab}"] for ab in "ab")
            plain.variables[f"net/{scope}/kernel"] += b @ a  # the state has alpha / rank in b
            plain.variables[f"net/{scope}/bias"].copy_(model.variables[f"net/{scope}/bias"])
    torch.testing.assert_close(model(X), plain(X))


@both
def test_lora_merges_into_the_weights(way: str) -> None:
    adapter = lora(2)
    model = WAYS[way](adapter)
    step(model)
    expected = model(X)
    adapter.merge(model)
    torch.testing.assert_close(model(X), expected)
    if way == "by a pattern":
        assert list(model.state_dict()) == list(by_getter().state_dict())
        assert all(p.requires_grad for p in model.parameters())
        with pytest.raises(ArgumentValueError, match="It has no low-rank update"):
            adapter.merge(model)
    else:
        assert not any(v.any() for path, v in adapter.state_dict(model).items() if path.endswith("b"))


def test_an_update_goes_from_either_way_to_the_other() -> None:
    adapter = lora(2)
    trained, other = by_getter(adapter), by_pattern(adapter)
    step(trained)
    with torch.no_grad():
        for path, bias in trained.select("**/bias").items():
            other.variables[path].copy_(bias)
    adapter.load_state_dict(other, adapter.state_dict(trained))
    torch.testing.assert_close(other(X), trained(X))


def test_an_update_of_another_model_is_refused() -> None:
    model = by_getter(lora(2))
    state = lora(2).state_dict(model)
    with pytest.raises(ArgumentValueError, match="make lora of the same rank"):
        lora(3).load_state_dict(by_getter(lora(3)), state)
    with pytest.raises(VariableNotFoundError, match="'net/first/kernel/lora_a' is no variable of the state"):
        lora(2).load_state_dict(model, {k: v for k, v in state.items() if "first/kernel/lora_a" not in k})
    with pytest.raises(VariableNotFoundError, match="'net/third/kernel/lora_a' is no variable of"):
        lora(2).load_state_dict(model, {**state, "net/third/kernel/lora_a": torch.ones(1)})
    with pytest.raises(ArgumentValueError, match="It has no low-rank update"):
        lora(2).state_dict(by_getter())


def test_lora_of_a_convolution_is_its_formula() -> None:
    x = torch.randn(1, 3, 5, 5)
    model = ScopedModule(lambda x: F.conv2d(x, get_variable("k", [4, 3, 2, 2], custom_getter=lora(2))), seed=1).build(x)
    with torch.no_grad():
        model.variables["k/lora_b"].normal_()
    v = model.variables
    kernel = v["k"] + (v["k/lora_b"] @ v["k/lora_a"]).view(4, 3, 2, 2)
    torch.testing.assert_close(model(x), F.conv2d(x, kernel))


def test_weights_of_a_pretrained_model_load_below_an_update() -> None:
    plain, model = by_getter(), by_getter(lora(2))
    with torch.no_grad():
        for variable in plain.variables.values():
            variable.normal_()
    missing = model.load_state_dict(plain.state_dict(), strict=False).missing_keys
    assert all("lora_" in key for key in missing)
    torch.testing.assert_close(model(X), plain(X))


def hand_made(normalize: Callable[[nn.Module], nn.Module]) -> nn.Sequential:
    plain = by_getter()
    network = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2), nn.Tanh())
    with torch.no_grad():
        for index, scope in ((0, "first"), (2, "second")):
            network[index].weight.copy_(plain.variables[f"net/{scope}/kernel"])  # type: ignore[union-attr, operator]
            network[index].bias.copy_(plain.variables[f"net/{scope}/bias"])  # type: ignore[union-attr, operator]
            normalize(network[index])
    return network


@both
def test_weight_norm_is_torchs_step_by_step(way: str) -> None:
    model, theirs = WAYS[way](weight_norm()), hand_made(parametrizations.weight_norm)
    for _ in range(3):
        torch.testing.assert_close(step(model), step(theirs))
    torch.testing.assert_close(model(X), theirs(X))


@pytest.mark.parametrize("dim", [0, 1, 2, None])
def test_weight_norm_of_an_axis_is_torchs(dim: int | None) -> None:
    conv = parametrizations.weight_norm(nn.Conv1d(3, 4, 2), dim=dim)
    model = ScopedModule(lambda x: F.conv1d(x, get_variable("k", [4, 3, 2], custom_getter=weight_norm(dim)))).build(
        torch.ones(1, 3, 5)
    )
    g, v = conv.parametrizations.weight.original0, conv.parametrizations.weight.original1  # type: ignore[union-attr]
    with torch.no_grad():
        model.variables["k"].copy_(v), model.variables["k/g"].copy_(g)  # type: ignore[arg-type]
    x = torch.randn(1, 3, 5)
    torch.testing.assert_close(model(x), F.conv1d(x, conv.weight))


@both
def test_spectral_norm_is_torchs_step_by_step(way: str) -> None:
    model, theirs = WAYS[way](spectral_norm()), hand_made(parametrizations.spectral_norm)
    if way == "as a getter":
        with torch.no_grad():
            for index, scope in ((0, "first"), (2, "second")):
                norm: Any = theirs[index].parametrizations.weight[0]  # type: ignore[union-attr, index]
                model.variables[f"net/{scope}/kernel/u"].copy_(norm._u)
                model.variables[f"net/{scope}/kernel/v"].copy_(norm._v)
        tolerance = {}
    else:
        tolerance = {"rtol": 0.05, "atol": 0.05}  # it began from other vectors
    for _ in range(3):
        torch.testing.assert_close(step(model), step(theirs), **tolerance)
    torch.testing.assert_close(model.eval()(X), theirs.eval()(X), **tolerance)


def test_spectral_norm_moves_its_vectors_only_while_training() -> None:
    model = by_getter(spectral_norm())
    with torch.no_grad():
        model.variables["net/first/kernel/u"].normal_()
    before = {path: v.clone() for path, v in model.select("**", kind="buffer").items()}
    model.eval()(X)
    assert all(torch.equal(model.variables[path], value) for path, value in before.items())
    model.train()(X)
    assert not torch.equal(model.variables["net/first/kernel/u"], before["net/first/kernel/u"])


@both
def test_averages_are_those_of_swa_utils(way: str) -> None:
    average = ema(0.9)
    model = WAYS[way](average)
    theirs: Any = AveragedModel(by_getter(), multi_avg_fn=get_ema_multi_avg_fn(0.9))
    theirs.update_parameters(by_getter())  # its first update copies
    plain = by_getter()
    for _ in range(4):
        step(model), step(plain)
        average.update(model)
        theirs.update_parameters(plain)
    for scope in ("first", "second"):
        expected = theirs.module.variables[f"net/{scope}/kernel"]
        torch.testing.assert_close(model.variables[f"net/{scope}/kernel/ema"], expected)


def test_averages_are_applied_for_a_block_and_go_also_after_an_exception() -> None:
    average = ema(0.0)
    model = by_getter(average)
    average.update(model)  # a decay of nothing: the variables as they are now
    expected = model(X).detach()
    step(model)
    after = model(X).detach()
    with average.applied(model):
        torch.testing.assert_close(model(X), expected)
        with average.applied(model):
            torch.testing.assert_close(model(X), expected)
    torch.testing.assert_close(model(X), after)
    with pytest.raises(RuntimeError, match="inside"), average.applied(model):
        raise RuntimeError("inside")
    torch.testing.assert_close(model(X), after)


def test_averages_of_a_selection_alone_are_applied() -> None:
    average = ema(0.5)
    model = by_getter(average)
    step(model)
    first, second = (model.variables[f"net/{scope}/kernel"].detach().clone() for scope in ("first", "second"))
    with average.applied(model, "net/first"):
        assert not torch.equal(model.variables["net/first/kernel"], first)
        assert torch.equal(model.variables["net/second/kernel"], second)
    with pytest.raises(ArgumentValueError, match="pattern='net/third'"), average.applied(model, "net/third"):
        pass


def test_averages_in_a_compiled_model() -> None:
    average = ema(0.5)
    model = by_getter(average)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    step(compiled)
    average.update(model)
    with average.applied(model):
        torch.testing.assert_close(compiled(X), model(X))


def test_the_decay_warms_up_with_the_number_of_updates() -> None:
    average = ema(0.999)
    model = ScopedModule(lambda: get_variable("w", [], initializer=nn.init.zeros_, custom_getter=average)).build()
    with torch.no_grad():
        model.variables["w"].fill_(1.0)
    average.update(model, num_updates=0)
    torch.testing.assert_close(model.variables["w/ema"], torch.tensor(0.9))  # 1 - 1 / 10


def test_averages_under_tensorflows_name_come_from_its_checkpoints(tmp_path: Path) -> None:
    from torchscope.checkpoint import load_checkpoint

    average = ema(0.9, name="ExponentialMovingAverage")
    model = ScopedModule(lambda: get_variable("w", [2], custom_getter=average)).build()
    import numpy as np

    np.savez(tmp_path / "weights.npz", **{"w": np.ones(2, "f"), "w/ExponentialMovingAverage": np.full(2, 3.0, "f")})
    load_checkpoint(model, tmp_path / "weights.npz")
    with average.applied(model):
        assert model().tolist() == [3.0, 3.0]
    assert model().tolist() == [1.0, 1.0]


# Bad input ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: lora(0), "rank=0 .*\nGive a positive int"),
        (lambda: lora(2, alpha=-1), "alpha=-1 .*\nGive a positive number"),
        (lambda: ema(1.0), "decay=1.0 .*\nGive a number from 0 up to 1"),
        (lambda: weight_norm("rows"), "dim='rows'"),
        (lambda: spectral_norm(0), "n_power_iterations=0"),
    ],
)
def test_bad_options_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ArgumentValueError, match=message):
        make()


def test_averages_want_a_scoped_module_that_has_some() -> None:
    with pytest.raises(ArgumentTypeError, match="Give a ScopedModule"):
        ema(0.9).apply(nn.Linear(2, 2), "weight")
    with pytest.raises(ArgumentValueError, match="No variable has an average 'ema'"):
        ema(0.9).update(by_getter())


def test_a_getter_that_renames_takes_the_buffers_along() -> None:
    def renamed(getter: Getter, name: str, *args: object, **kwargs: object) -> Tensor:
        return getter("elsewhere/" + name, *args, **kwargs)

    def forward(x: Tensor) -> Tensor:
        with variable_scope("a", custom_getter=spectral_norm()), variable_scope("b", custom_getter=renamed):
            return F.linear(x, get_variable("kernel", [2, 3]))

    model = ScopedModule(forward).build(X)
    assert list(model.variables) == [f"elsewhere/a/b/kernel{end}" for end in ("", "/u", "/v")]
    model(X)


def test_a_layer_of_get_module_gets_an_update() -> None:
    model = ScopedModule(lambda x: get_module("linear", nn.Linear, 3, 2)(x), seed=0).build(X)
    before = model(X)
    adapter = lora(1)
    adapter.apply(model, "linear/weight")
    torch.testing.assert_close(model(X), before)
    step(model)
    assert list(adapter.state_dict(model)) == ["linear.weight/lora_a", "linear.weight/lora_b"]
