"""What two readers found wrong in the tools: each stays right."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad
from torch.nn.utils import parametrizations

from torchscope import (
    ArgumentTypeError,
    ArgumentValueError,
    ScopedModule,
    ScopeNestingError,
    VariableNotFoundError,
    get_module,
    get_variable,
    layers,
    variable_scope,
)
from torchscope.tools import capture, ema, layer, lora, spectral_norm, weight_norm

X = torch.ones(1, 3)
TOKENS = torch.tensor([1, 3])
GETTERS: dict[str, Callable[[], Any]] = {
    "lora": lambda: lora(2),
    "weight_norm": weight_norm,
    "spectral_norm": spectral_norm,
    "ema": lambda: ema(0.5),
}
each = pytest.mark.parametrize("name", GETTERS)


def kernel(x: Tensor) -> Tensor:
    return F.linear(x, get_variable("k", [3, 3]))


def under(getter: Any, **options: Any) -> Any:
    def forward(x: Tensor) -> Tensor:
        with variable_scope("a", custom_getter=getter):
            return kernel(x)

    return ScopedModule(forward, seed=0, **options)


def tied() -> Any:
    def forward(tokens: Tensor) -> Tensor:
        return F.linear(get_variable("e", [10, 4])[tokens], get_variable("o", [10, 4]))

    model = ScopedModule(forward, seed=0).build(TOKENS)
    model.tie("o", "e")
    return model


# Getters --------------------------------------------------------------------------------------------------------------


def test_a_merge_counts_each_update_as_it_was_made() -> None:
    model = ScopedModule(lambda x: F.linear(F.linear(x, get_variable("p", [3, 3])), get_variable("q", [3, 3])), seed=0)
    model.build(X)
    first, second = lora(2, alpha=2), lora(2, alpha=20)
    first.apply(model, "p")
    second.apply(model, "q")
    with torch.no_grad():
        for path, b in model.select("**/lora_b").items():
            b.fill_(0.1 if path.startswith("p") else 0.2)
    expected = model(X)
    first.merge(model)
    torch.testing.assert_close(model(X), expected)


def test_an_update_is_the_same_whatever_alpha_it_is_loaded_with() -> None:
    saved, other = under(lora(2, alpha=8)).build(X), under(lora(2)).build(X)
    with torch.no_grad():
        saved.variables["a/k/lora_b"].fill_(0.3)
    state = lora(2).state_dict(saved)
    lora(2).load_state_dict(other, state)
    torch.testing.assert_close(other(X), saved(X))
    before = {path: value.clone() for path, value in state.items()}
    lora(1).merge(saved)
    torch.testing.assert_close(saved(X), other(X))
    assert all(torch.equal(state[path], value) for path, value in before.items()), "the state is a copy"


@pytest.mark.parametrize("name", ["lora", "weight_norm", "spectral_norm"])
def test_a_tied_variable_is_not_computed_at_one_of_its_paths_alone(name: str) -> None:
    model = tied()
    with pytest.raises(ArgumentValueError, match="'e' and 'o' are one variable"):
        GETTERS[name]().apply(model, "**")
    assert model.variables["e"] is model.variables["o"]


def test_averages_of_a_tied_variable_are_of_what_it_is() -> None:
    average = ema(0.5)

    def forward(tokens: Tensor) -> Tensor:
        with variable_scope("s", custom_getter=average):
            return F.linear(get_variable("e", [10, 4])[tokens], get_variable("o", [10, 4]))

    model = ScopedModule(forward, seed=0).build(TOKENS)
    model.tie("s/o", "s/e")
    expected = model(TOKENS)
    with average.applied(model):
        torch.testing.assert_close(model(TOKENS), expected)


def test_averages_are_not_applied_by_two_threads_at_once() -> None:
    model = ScopedModule(lambda x: x * get_variable("w", [1], initializer=nn.init.zeros_)).build(torch.ones(1))
    average, errors = ema(0.5), []
    average.apply(model, "w")
    with torch.no_grad():
        model.variables["w"].fill_(1.0)

    def other() -> None:
        try:
            with average.applied(model):
                pass
        except ScopeNestingError as error:
            errors.append(error)

    with average.applied(model):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert len(errors) == 1
    assert model.variables["w"].item() == 1.0
    with average.applied(model):
        pass


def test_an_interrupt_while_values_come_back_keeps_none_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    model = ScopedModule(lambda x: x * get_variable("v", [1]) * get_variable("w", [1]), seed=0).build(torch.ones(1))
    average, copies = ema(0.5), []
    average.apply(model, "**")
    with torch.no_grad():
        model.variables["v"].fill_(1.0), model.variables["w"].fill_(2.0)
    copy = Tensor.copy_

    def interrupted(self: Tensor, value: Tensor) -> Tensor:
        copies.append(value)
        if len(copies) == 3:  # the first that comes back
            raise KeyboardInterrupt
        return copy(self, value)

    monkeypatch.setattr(Tensor, "copy_", interrupted)
    with pytest.raises(KeyboardInterrupt), average.applied(model):
        pass
    monkeypatch.undo()
    assert [model.variables[name].item() for name in "vw"] == [1.0, 2.0]


def test_a_number_of_updates_is_none_or_more() -> None:
    model, average = ScopedModule(kernel).build(X), ema(0.5)
    average.apply(model, "**")
    with pytest.raises(ArgumentValueError, match="Give how many updates there were"):
        average.update(model, num_updates=-1)


def test_an_average_whose_variable_is_computed_now_is_told() -> None:
    model, average = ScopedModule(kernel).build(X), ema(0.5)
    average.apply(model, "**")
    weight_norm().apply(model, "k")
    with pytest.raises(ArgumentValueError, match="'k' has an average and is no variable any more"):
        average.update(model)


@each
def test_nothing_is_applied_twice(name: str) -> None:
    model = ScopedModule(kernel).build(X)
    GETTERS[name]().apply(model, "k")
    paths = list(model.select("**"))
    with pytest.raises(ArgumentValueError, match="already"):
        GETTERS[name]().apply(model, "k")
    assert list(model.select("**")) == paths


def test_two_averages_have_names_of_their_own() -> None:
    model = ScopedModule(kernel).build(X)
    ema(0.5).apply(model, "k")
    ema(0.9, name="slow").apply(model, "k")
    assert {"k/ema", "k/slow"} <= set(model.variables)


def test_an_average_takes_no_place_of_a_parameter() -> None:
    model = ScopedModule(lambda: get_variable("w", [2]) * get_variable("w/ema", [2])).build()
    with pytest.raises(ArgumentValueError, match="'w/ema' is a parameter already"):
        ema(0.5).apply(model, "w")


@each
@pytest.mark.parametrize("convert", ["half", "double", "bfloat16"])
def test_a_converted_model_runs(name: str, convert: str) -> None:
    model = getattr(under(GETTERS[name]()).build(X), convert)()
    model(getattr(X, convert)())


@each
def test_a_model_runs_and_is_built_under_autocast(name: str) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        model = under(GETTERS[name]()).build(X)
        assert model(X).dtype is torch.bfloat16


@each
def test_a_model_of_meta_is_filled_later(name: str) -> None:
    expected = under(GETTERS[name]()).build(X)
    model = under(GETTERS[name](), device="meta").build(X.to("meta"))
    model.to_empty(device="cpu").reset_parameters()
    for path, value in expected.variables.items():
        torch.testing.assert_close(model.variables[path], value, msg=path)


@each
def test_loaded_tensors_are_what_is_filled_anew(name: str) -> None:
    model, expected = under(GETTERS[name]()).build(X), under(GETTERS[name]()).build(X)
    model.load_state_dict({key: torch.randn_like(value) for key, value in model.state_dict().items()}, assign=True)
    model.reset_parameters()
    for path, value in expected.variables.items():
        torch.testing.assert_close(model.variables[path], value, msg=path)


@each
def test_a_functional_call_has_gradients(name: str) -> None:
    model = under(GETTERS[name]()).build(X).eval()
    given = {key: p.detach() for key, p in model.named_parameters()}
    found = grad(lambda p: functional_call(model, p, (X,)).square().sum())(given)
    assert set(found) == set(given)


def in_parts(getter: Any) -> Any:
    def forward(x: Tensor) -> Tensor:
        with variable_scope("a", custom_getter=getter, partitioner=lambda shape, dtype: [2, 1]):
            return F.linear(x, get_variable("k", [4, 3]))

    return ScopedModule(forward)


def test_a_variable_in_parts_has_one_update() -> None:
    model = in_parts(lora(2)).build(X)
    model(X).sum().backward()
    trained = {path for path, v in model.select("**", trainable=True).items() if v.grad is not None}
    assert trained == {"a/k/lora_a", "a/k/lora_b"}


@pytest.mark.parametrize("name", ["weight_norm", "spectral_norm"])
def test_a_norm_of_a_variable_in_parts_is_refused(name: str) -> None:
    with pytest.raises(ArgumentValueError, match="'a/k' is made in parts"):
        in_parts(GETTERS[name]()).build(X)


def test_averages_of_parts_are_refused_by_name() -> None:
    with pytest.raises(ArgumentValueError, match="'a/k' is computed from others"):
        in_parts(ema(0.5)).build(X)


def test_averages_are_of_variables_and_not_of_what_is_computed() -> None:
    def forward(x: Tensor) -> Tensor:
        with variable_scope("a", custom_getter=weight_norm()), variable_scope("b", custom_getter=ema(0.5)):
            return kernel(x)

    with pytest.raises(ArgumentValueError, match="'a/b/k' is computed from others. Open the scope of ema outside"):
        ScopedModule(forward).build(X)


@each
def test_a_getter_works_for_a_scope_that_is_not_the_open_one(name: str) -> None:
    def forward(x: Tensor) -> Tensor:
        with variable_scope("a", custom_getter=GETTERS[name]()) as scope:
            pass
        with variable_scope("b"):
            return F.linear(x, scope.get_variable("k", [3, 3]))

    model = ScopedModule(forward).build(X)
    model(X)
    assert all(path.startswith("a/k") for path in model.variables)


@each
def test_empty_variables_are_left_alone(name: str) -> None:
    def forward(x: Tensor) -> Tensor:
        with variable_scope("a", custom_getter=GETTERS[name]()):
            get_variable("z", [0, 3])
            return kernel(x)

    model = ScopedModule(forward).build(X)
    plain = ScopedModule(lambda x: get_variable("z", [0, 3]).sum() + kernel(x).sum()).build(X)
    GETTERS[name]().apply(plain, "**")
    assert not any(path.startswith("z/") or "/z/" in path for path in (*model.variables, *plain.variables))


def test_a_scope_and_a_module_of_one_name_have_updates_of_their_own() -> None:
    class Both(ScopedModule):
        def __init__(self) -> None:
            super().__init__()
            self.a = ScopedModule(kernel, seed=1)

        def forward(self, x: Tensor) -> Any:
            with variable_scope("a"):
                return kernel(self.a(x))

    model, other, adapter = Both().build(X), Both().build(X), lora(2)
    other.load_state_dict(model.state_dict())
    for one in (model, other):
        adapter.apply(one, "**")
    with torch.no_grad():
        for number, b in enumerate(model.select("**/lora_b").values()):
            b.fill_(number + 1.0)
    state = adapter.state_dict(model)
    assert len(state) == 4
    adapter.load_state_dict(other, state)
    torch.testing.assert_close(other(X), model(X))
    with pytest.raises(ArgumentValueError, match="Two variables would have the average"):
        ema(0.5).apply(Both().build(X), "**")


def test_spectral_norm_of_complex_weights_is_one() -> None:
    def forward() -> Tensor:
        with variable_scope("a", custom_getter=spectral_norm()):
            return get_variable("k", [4, 4], torch.complex64, initializer=nn.init.normal_)

    torch.manual_seed(0)
    model = ScopedModule(forward).build()
    for _ in range(100):
        weight = model()
    torch.testing.assert_close(torch.linalg.svdvals(weight).max(), torch.tensor(1.0), rtol=1e-3, atol=1e-3)


def test_spectral_norm_of_a_transposed_convolution_is_torchs() -> None:
    def made() -> Any:
        torch.manual_seed(0)
        return nn.ConvTranspose2d(4, 8, 3)

    class Holder(ScopedModule):
        def __init__(self) -> None:
            super().__init__()
            self.conv = made()

        def forward(self, x: Tensor) -> Any:
            return self.conv(x * get_variable("w", [], initializer=nn.init.ones_))

    x = torch.rand(1, 4, 5, 5)
    model = Holder().build(x)
    torch.manual_seed(1)
    spectral_norm(n_power_iterations=30).apply(model, "conv/weight")
    torch.manual_seed(1)
    theirs = parametrizations.spectral_norm(made(), n_power_iterations=30)
    torch.testing.assert_close(model(x), theirs(x))


def test_two_uses_in_one_call_have_one_norm_and_train_compiled() -> None:
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        with variable_scope("d", custom_getter=spectral_norm()) as scope:
            first = kernel(x)
        with variable_scope(scope, reuse=True):
            return first, kernel(x)

    model = ScopedModule(forward, seed=0).build(X)
    first, second = model(X)
    assert torch.equal(first, second)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    (compiled(X)[0].sum() + compiled(X)[1].sum()).backward()  # two calls before backward


def test_axes_that_a_weight_does_not_have_are_refused() -> None:
    with pytest.raises(ArgumentValueError, match="'a/k' has 2 axes, counted from 0"):
        under(weight_norm(5)).build(X)


# Selections -----------------------------------------------------------------------------------------------------------


def test_a_name_that_is_a_scope_and_a_layer_selects_both() -> None:
    def forward(x: Tensor) -> Tensor:
        with variable_scope("cell"):
            x = x * get_variable("w", [3])
        return get_module("cell", nn.Linear, 3, 3)(x)

    model = ScopedModule(forward).build(torch.ones(3))
    assert list(model.select("cell")) == ["cell/w", "cell.weight", "cell.bias"]
    assert list(model.select("cell.weight")) == ["cell.weight"]
    assert list(model.select(["cell.*"])) == ["cell/w", "cell.weight", "cell.bias"]


def test_a_pattern_of_a_last_name_alone_is_told_how_it_is_meant() -> None:
    with pytest.raises(ArgumentValueError, match=r"At any depth it is '\*\*/k'"):
        under(None).build(X).select("k")


def test_rules_of_one_name_are_rules() -> None:
    model = under(None).build(X)
    with pytest.raises(ArgumentValueError, match="rules='a' .*\n.*earlier rules have them: 'a'"):
        model.param_groups({("a",): {}, "a": {"lr": 1.0}})


def test_what_is_no_own_variable_is_told_as_such() -> None:
    model = ScopedModule(lambda x: get_module("head", nn.Linear, 3, 3)(kernel(x))).build(X)
    with pytest.raises(VariableNotFoundError, match="'head.weight' is no variable of .* itself"):
        model.tie("head.weight", "k")


@pytest.mark.parametrize(
    "run", [lambda: lora(2).apply(3, "**"), lambda: ema(0.5).update(3), lambda: lora(2).state_dict(3)]
)
def test_what_is_no_module_is_refused(run: Callable[[], object]) -> None:
    with pytest.raises(ArgumentTypeError, match="model cannot be 3"):
        run()


# Summaries and plans --------------------------------------------------------------------------------------------------


def test_reads_of_a_plan_are_of_the_variables_and_not_of_what_lay_there_before() -> None:
    def forward(x: Tensor) -> Tensor:
        for number in range(60):
            with variable_scope(f"l{number}"):
                x = (x @ get_variable("k", [8, 8])).relu() * 2 + get_variable("b", [8])
        return x

    plan = ScopedModule(forward).plan(torch.ones(2, 8))
    assert {node.reads for node in plan.tree.walk() if node.is_variable} == {1}


def test_a_plan_of_a_built_module_knows_ties_and_what_is_frozen() -> None:
    model = tied()
    model.select("e").freeze()
    plan = model.plan(TOKENS, optimizer="Adam")
    assert plan.to_dict()["elements"] == model.summary().parameters == 40
    assert plan.training is not None
    assert (plan.tree.trained, plan.training.state) == (0, 0)


def test_a_plan_of_an_adapted_module_trains_the_updates_alone() -> None:
    model = ScopedModule(kernel).build(X)
    lora(2).apply(model, "k")
    assert model.plan(X).tree.trained == model.summary().tree.trained == 12


def test_a_plan_leaves_nothing_in_attributes_and_buffers() -> None:
    class Caching(ScopedModule):
        def __init__(self) -> None:
            super().__init__()
            self.mask: Tensor | None = None

        def forward(self, x: Tensor) -> Tensor:
            if self.mask is None:
                self.mask = torch.ones(x.shape[-1])
                self.register_buffer("cache", torch.ones(3))
            return kernel(x * self.mask)

    model = Caching()
    model.plan(X)
    assert model.mask is None
    assert "cache" not in model._buffers
    model(X)


def test_a_module_that_is_held_outside_of_the_tree_counts_where_it_is_called() -> None:
    inner = ScopedModule(lambda x: x @ get_variable("w", [3, 3])).build(X)

    def forward(x: Tensor) -> Tensor:
        with variable_scope("a"):
            return inner(x) @ get_variable("w", [3, 3])

    summary = ScopedModule(forward).build(X).summary(X)
    assert summary.flops == 2 * (2 * 9)


def test_attention_costs_the_same_in_a_summary_and_in_a_plan() -> None:
    model = ScopedModule(lambda x: layers.attention(x, 2, causal=True)[0])
    x = torch.rand(1, 64, 32)
    by_hand = 4 * 2 * 64 * 32 * 32 + 2 * 2 * 64 * 64 * 32
    assert model.plan(x).flops == model.build(x).summary(x).flops == by_hand


# Captures -------------------------------------------------------------------------------------------------------------


def test_operations_of_modules_inside_have_their_path() -> None:
    class Outer(ScopedModule):
        def __init__(self) -> None:
            super().__init__()
            self.a = ScopedModule(kernel)

        def forward(self, x: Tensor) -> Any:
            return kernel(self.a(x))

    model = Outer().build(X)
    with capture("a/*", operations=True) as got:
        model(X)
    assert list(got) == ["a.linear"]


def test_a_capture_of_nothing_says_what_may_be_the_reason() -> None:
    model = ScopedModule(lambda x: layers.dense(x, 2).relu()).build(X)
    with pytest.raises(ArgumentValueError, match="none of the 1 layers and modules") as error, capture("relu"):
        model(X)
    assert "operations=True" in error.value.__notes__[0]
    with capture("dense") as got:
        model(X)
    with pytest.raises(KeyError, match="'dens' was not captured. The nearest: 'dense'"):
        got["dens"]


def test_a_scope_by_its_place_is_the_scope() -> None:
    @layer
    def scaled(x: Tensor, scope: str | None = None) -> Tensor:
        assert scope is None
        return x * get_variable("w", [3])

    assert list(ScopedModule(lambda x: scaled(x, "out")).build(torch.ones(3)).variables) == ["out/w"]
