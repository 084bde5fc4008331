"""``get_module``: the rules of ``get_variable`` for a whole module."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from torchscope import (
    AUTO_REUSE,
    ArgumentTypeError,
    InitializerError,
    InvalidNameError,
    NoActiveModuleError,
    ScopedModule,
    TracingError,
    VariableExistsError,
    VariableKindError,
    VariableNotFoundError,
    get_buffer,
    get_module,
    get_variable,
    variable_scope,
)


def linear(name: str = "linear", reuse: Any = None) -> nn.Linear:
    with variable_scope("a", reuse=reuse):
        return get_module(name, nn.Linear, 3, 2)


# reuse: what a get gives that comes second in its call; one of a path in the model; one of a path that is nowhere
RULES: dict[Any, tuple[Any, Any, Any]] = {
    None: (VariableExistsError, "the same", "new"),
    False: (VariableExistsError, "the same", "new"),
    True: ("the same", "the same", VariableNotFoundError),
    AUTO_REUSE: ("the same", "the same", "new"),
}


def seen(get: Callable[[], nn.Module], known: nn.Module | None) -> Any:
    try:
        return "the same" if get() is known else "new"
    except (VariableExistsError, VariableNotFoundError) as error:
        return type(error)


@pytest.mark.parametrize("reuse", RULES, ids=str)
def test_the_rules_are_those_of_variables_in_the_first_call_and_the_third(reuse: Any) -> None:
    second, there, nowhere = RULES[reuse]
    model = ScopedModule()
    with model.as_default():
        made = linear()
    with model.as_default():
        assert seen(lambda: linear(reuse=reuse), made) == there
    with model.as_default():
        linear()
        assert seen(lambda: linear(reuse=reuse), made) == second
        assert seen(lambda: linear("other", reuse), None) == nowhere

    def forward() -> Any:
        first = linear()
        return seen(lambda: linear(reuse=reuse), first)

    model = ScopedModule(forward).build()
    assert [model() for _ in range(3)] == [second] * 3


class Net(ScopedModule):
    def forward(self, x: Tensor) -> Tensor:
        with variable_scope("a"):
            x = get_module("linear", nn.Linear, 3, 3)(x)
            x = get_module("norm", nn.BatchNorm1d, 3)(x)
        with variable_scope("b"):
            return x * get_variable("scale", [3], initializer=nn.init.ones_)


def x() -> Tensor:
    return torch.linspace(-1, 1, 12).reshape(4, 3)


def test_a_module_is_a_child_of_the_variables() -> None:
    model = Net().build(x())
    assert [name for name, _ in model.named_parameters()] == [
        "variables.b/scale",
        "variables.a/linear.weight",
        "variables.a/linear.bias",
        "variables.a/norm.weight",
        "variables.a/norm.bias",
    ]
    assert list(model.variables) == ["b/scale"]
    assert len(model.trainable_variables("a")) == 4
    assert len(model.trainable_variables()) == 5
    assert len(model.global_variables()) == 5 + 3
    norm = model.get_submodule("variables.a/norm")
    assert model.variable_name(norm.weight) == "a/norm.weight"  # type: ignore[arg-type]


def test_it_trains_saves_loads_copies_and_compiles() -> None:
    model = Net(seed=0).build(x())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        loss = model(x()).square().mean()
        loss.backward()
        optimizer.step()
    expected = model.eval()(x())
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    loaded = Net().build(x())
    loaded.load_state_dict(torch.load(file))
    assert torch.equal(loaded.eval()(x()), expected)
    assert torch.equal(copy.deepcopy(model)(x()), expected)
    torch._dynamo.reset()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    for _ in range(3):
        torch.testing.assert_close(compiled(x()), expected)


def test_build_leaves_its_buffers_alone() -> None:
    model = Net().build(x())
    state = model.state_dict()
    assert state["variables.a/norm.running_mean"].tolist() == [0.0] * 3
    assert state["variables.a/norm.num_batches_tracked"].item() == 0


def test_a_seed_gives_the_same_numbers_whatever_the_order() -> None:
    def forward(order: str) -> None:
        for name in order:
            get_module(name, nn.Linear, 3, 2)

    one, other = ScopedModule(forward, seed=3).build("ab"), ScopedModule(forward, seed=3).build("ba")
    states = [model.state_dict() for model in (one, other)]
    for name, value in states[0].items():
        assert torch.equal(states[1][name], value)
    assert not torch.equal(states[0]["variables.a.weight"], states[0]["variables.b.weight"])
    with torch.no_grad():
        for parameter in one.parameters():
            parameter.zero_()
    one.reset_parameters()
    for name, value in one.state_dict().items():
        assert torch.equal(states[1][name], value)
    state = torch.get_rng_state()
    ScopedModule(forward, seed=3).build("ab")
    assert torch.equal(torch.get_rng_state(), state)


def test_dtype_and_device_are_the_scopes_or_the_modules() -> None:
    def forward() -> None:
        get_module("a", nn.Linear, 3, 2)
        with variable_scope("s", dtype=torch.float16, device="meta"):
            get_module("b", nn.Linear, 3, 2)

    model = ScopedModule(forward, seed=0, dtype=torch.float64).build()
    kinds = {name: (p.dtype, p.is_meta) for name, p in model.named_parameters() if name.endswith("weight")}
    assert kinds == {"variables.a.weight": (torch.float64, False), "variables.s/b.weight": (torch.float16, True)}
    with torch.inference_mode():
        made = ScopedModule(forward).build()
    assert not next(iter(made.parameters())).is_inference()


def test_a_path_is_one_thing() -> None:
    model = ScopedModule()
    with model.as_default():
        get_module("m", nn.Linear, 3, 2), get_variable("v", [1]), get_buffer("b", [1])
        for get in (lambda: get_variable("m", [1]), lambda: get_buffer("m", [1])):
            with pytest.raises(
                VariableKindError, match=r"'m': asked for a .*, found a module \(made at .*test_submodule"
            ):
                get()
        for name in "vb":
            with pytest.raises(VariableKindError, match=f"'{name}': asked for a module, found a "):
                get_module(name, nn.Linear, 3, 2)


def test_a_call_that_fails_takes_its_modules_back() -> None:
    def forward(fail: bool) -> None:
        linear()
        if fail:
            raise KeyError("late")

    model = ScopedModule(forward)
    with pytest.raises(KeyError):
        model(True)
    assert not list(model.variables.children())
    assert not model.built
    model(False)
    assert len(list(model.parameters())) == 2


def test_a_built_module_makes_no_more_and_names_the_nearest() -> None:
    name = "linear"
    model = ScopedModule(lambda: linear(name)).build()
    name = "linaer"
    with pytest.raises(VariableNotFoundError, match=r"'a/linaer'.*\n?.*'a/linear'"):
        model()
    with model.building():
        model()
    assert [path for path, _ in model.variables.named_children()] == ["a/linear", "a/linaer"]


def test_a_scoped_module_may_be_one() -> None:
    inner = ScopedModule(lambda x: x * get_variable("w", [3], initializer=nn.init.ones_))
    model = ScopedModule(lambda x: get_module("inner", lambda: inner)(x))
    assert torch.equal(model(x()), x())
    assert [name for name, _ in model.named_parameters()] == ["variables.inner.variables.w"]


def no_module() -> Any:
    return 3


WRONG: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "no module": (lambda: get_module("m", no_module), ArgumentTypeError, "the factory's result cannot be 3"),
    "a number": (lambda: get_module("m", 3), ArgumentTypeError, "factory cannot be 3"),  # type: ignore[arg-type]
    "a name with a dot": (lambda: get_module("m.n", nn.Linear, 3, 2), InvalidNameError, "m.n"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_says_so_and_leaves_nothing(what: str) -> None:
    get, error, message = WRONG[what]
    model = ScopedModule(get)
    with pytest.raises(error, match=message):
        model()
    assert not list(model.variables.children())


def test_it_needs_a_module_and_no_tracer() -> None:
    with pytest.raises(NoActiveModuleError, match=r"get_module\(\) needs a module"):
        get_module("m", nn.Linear, 3, 2)
    model = Net()
    with pytest.raises(TracingError, match="Build the module first"):
        torch.func.vmap(model)(x()[None])
    assert not list(model.variables.children())


def test_loading_into_an_unbuilt_module_says_that_a_layer_needs_building_first() -> None:
    built = ScopedModule(lambda x: get_module("linear", nn.Linear, 3, 2)(x)).build(torch.ones(1, 3))
    unbuilt = ScopedModule(built.fn)
    with pytest.raises(RuntimeError, match="Unexpected key") as raised:
        unbuilt.load_state_dict(built.state_dict())
    (note,) = raised.value.__notes__
    assert "'variables.linear.weight' belongs to a layer that get_module makes" in note
    assert "build the module first" in note
    unbuilt.build(torch.ones(1, 3)).load_state_dict(built.state_dict())
    assert torch.equal(unbuilt(torch.ones(1, 3)), built(torch.ones(1, 3)))


def test_a_module_instead_of_what_makes_one_is_refused() -> None:
    linear = nn.Linear(4, 2)
    with pytest.raises(
        ArgumentTypeError, match=r"of type Linear\.\nIt is a module .*: get_module\('l', Linear, \.\.\.\) makes it"
    ):
        ScopedModule(lambda: get_module("l", linear)).build()


# Filled anew


def head(inputs: int, outputs: int) -> nn.Module:
    layer = nn.Linear(inputs, outputs)
    nn.init.zeros_(layer.weight)
    return layer


class Filled(nn.Module):
    """A module whose own initialization comes after that of its parts, and a parameter that only it knows of."""

    def __init__(self) -> None:
        super().__init__()
        self.part = nn.Linear(4, 4)
        self.own = nn.Parameter(torch.rand(2))
        nn.init.constant_(self.part.weight, 3.0)


LAYERS: dict[str, Callable[..., Any]] = {
    "a layer": lambda: get_module("l", nn.Linear, 4, 4),
    "a factory that fills": lambda: get_module("l", head, 4, 4),
    "a whole that fills its parts": lambda: get_module("l", Filled),
    "parts without reset_parameters": lambda: get_module("l", nn.MultiheadAttention, 4, 2),
    "many parts": lambda: get_module("l", nn.TransformerEncoderLayer, 4, 2, 8),
    "buffers": lambda: get_module("l", nn.BatchNorm1d, 4),
}


@pytest.mark.parametrize("dtype", [None, torch.float64])
@pytest.mark.parametrize("layer", LAYERS)
def test_reset_parameters_gives_a_layer_its_first_numbers_also_after_meta(
    layer: str, dtype: torch.dtype | None
) -> None:
    model = ScopedModule(LAYERS[layer], seed=3, dtype=dtype).build()
    first = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with torch.device("meta"):
        meta = ScopedModule(LAYERS[layer], seed=3, dtype=dtype).build()
    meta.to_empty(device=torch.get_default_device())
    for filled in (model, meta, copy.deepcopy(model)):
        with torch.no_grad():
            for tensor in filled.state_dict().values():
                tensor.fill_(77)
        filled.reset_parameters()
        for name, tensor in filled.state_dict().items():
            assert torch.equal(tensor, first[name]), name


def test_reset_parameters_leaves_a_scoped_module_in_a_layer_alone() -> None:
    class Holder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = ScopedModule(lambda: get_variable("w", [2]), seed=1)
            self.scale = nn.Parameter(torch.rand(2))

        def forward(self) -> Any:
            return self.inner() * self.scale

    model = ScopedModule(lambda: get_module("h", Holder)(), seed=2).build()
    holder: Any = model.variables._modules["h"]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(7.0)
    model.reset_parameters()
    assert holder.inner.variables["w"].tolist() == [7.0, 7.0]
    assert 7.0 not in holder.scale.tolist()


def test_a_layer_with_other_tensors_than_its_factory_makes_is_not_reset() -> None:
    model = ScopedModule(lambda: get_module("l", nn.Linear, 2, 2)).build()
    nn.utils.parametrizations.weight_norm(model.variables._modules["l"])
    with pytest.raises(InitializerError, match="'l'.*other tensors now than its factory makes"):
        model.reset_parameters()


def test_a_layer_whose_factory_pickle_lost_is_reset_once_its_code_ran() -> None:
    def forward() -> nn.Module:
        return get_module("l", lambda: nn.Linear(2, 2))

    class Model(ScopedModule):
        pass

    model = Model(seed=1)
    with model.as_default():
        forward()
    state = pickle.dumps(model.variables)
    loaded = Model(seed=1)
    loaded.variables = pickle.loads(state)
    first = model.variables._modules["l"].weight.clone()  # type: ignore[union-attr,operator]
    with pytest.raises(InitializerError, match="call the module once before resetting"):
        loaded.reset_parameters()
    with loaded.as_default():
        layer: Any = forward()
    with torch.no_grad():
        layer.weight.zero_()
    loaded.reset_parameters()
    assert torch.equal(layer.weight, first)


def test_a_lazy_layer_is_reset_by_its_own_means() -> None:
    model = ScopedModule(lambda: get_module("l", nn.LazyLinear, 3)(torch.ones(1, 2))).build()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(7.0)
    model.reset_parameters()
    assert all(7.0 not in parameter.flatten().tolist() for parameter in model.parameters())


def test_a_tensor_does_not_take_the_place_of_a_layer() -> None:
    model = ScopedModule(lambda: get_module("l", nn.Linear, 2, 2)).build()
    with pytest.raises(VariableKindError, match="'l'"):
        model.variables["l"] = torch.ones(2)


def forward_with_state(x: Tensor) -> Tensor:
    x = get_module("norm", nn.BatchNorm1d, 2)(x)
    return get_module("drop", nn.Dropout, 0.5)(x)


@pytest.mark.parametrize("training", [True, False])
def test_a_layer_is_made_in_the_mode_that_the_model_is_in(training: bool) -> None:
    x = torch.arange(8.0).reshape(4, 2)
    model = ScopedModule(forward_with_state).train(training).build(x)
    assert [layer.training for layer in model.modules()] == [training] * 4
    if not training:
        by_hand = nn.BatchNorm1d(2).eval()
        assert torch.equal(model(x), by_hand(x))
        assert torch.equal(model.variables.get_submodule("norm").running_mean, torch.zeros(2))


def test_a_factory_may_make_a_layer_that_stays_in_eval_mode() -> None:
    model = ScopedModule(lambda: get_module("norm", lambda: nn.BatchNorm1d(2).eval()))
    assert not model().training


def test_a_layer_without_state_need_not_be_in_the_state_dict_that_a_module_is_made_from() -> None:
    def forward(x: Tensor) -> Tensor:
        return get_module("relu", nn.ReLU)(x * get_variable("w", [2]))

    x = torch.ones(2)
    saved = ScopedModule(forward).build(x)
    model = ScopedModule(forward)
    model.load_state_dict(saved.state_dict())
    assert torch.equal(model(x), saved(x))


def test_a_layer_with_state_has_to_be_in_it() -> None:
    def forward() -> None:
        get_variable("w", [2])
        get_module("linear", nn.Linear, 2, 2)

    model = ScopedModule(forward)
    model.load_state_dict({"variables.w": torch.ones(2)})
    with pytest.raises(VariableNotFoundError, match="'linear' was not in the state_dict"):
        model()
    assert list(model.variables) == ["w"]


def in_parts(shape: Any, dtype: Any) -> list[int]:
    return [2] + [1] * (len(shape) - 1)


@pytest.mark.parametrize("first", ["module", "parts"])
def test_a_path_is_a_layer_or_a_variable_in_parts(first: str) -> None:
    gets = {
        "module": lambda: get_module("w", nn.Linear, 2, 2),
        "parts": lambda: get_variable("w", [4, 2], partitioner=in_parts),
    }

    def forward() -> None:
        gets.pop(first)()
        gets.popitem()[1]()

    with pytest.raises(VariableKindError, match="'w': asked for a"):
        ScopedModule(forward)()
