"""ScopedModule: what a call is, building, collections, regularizers, constraints."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.models.image_filters import PATHS, ImageFilters, images
from torchscope import (
    AUTO_REUSE,
    ArgumentTypeError,
    ArgumentValueError,
    NotBuiltError,
    ScopedModule,
    ScopeNestingError,
    VariableExistsError,
    VariableNotFoundError,
    get_buffer,
    get_local_variable,
    get_variable,
    get_variable_scope,
    no_regularizer,
    scoped,
    variable_scope,
)


def w() -> Any:
    return get_variable("w", [2])


# The contract's example


def test_the_image_filters_have_four_shared_variables_in_every_call() -> None:
    model = ImageFilters()
    one, two = images()
    for _ in range(3):
        first, second = model(one, one)
        assert torch.equal(first, second)
        assert list(model.variables) == PATHS
    assert list(model.state_dict()) == [f"variables.{path}" for path in PATHS]
    other = model(one, two)
    assert torch.equal(other[0], first)
    assert not torch.equal(other[1], first)


def test_a_training_loop_just_works() -> None:
    model = ImageFilters(seed=0).build(*images())
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    batch = images()
    losses = []
    for _ in range(4):
        loss = sum(result.square().mean() for result in model(*batch))
        assert isinstance(loss, Tensor)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0]


def test_sharing_by_accident_fails_on_the_first_and_on_the_thousandth_call() -> None:
    model = ScopedModule(lambda share: [w()] if share else [w(), w()])
    with pytest.raises(VariableExistsError):
        model(False)
    for _ in range(3):
        model(True)
        with pytest.raises(VariableExistsError):
            model(False)


# What a call is


class Base(ScopedModule):
    def forward(self, log: list[str]) -> Any:
        log.append(get_variable_scope().name)
        return w()


class Sub(Base):
    def forward(self, log: list[str]) -> Any:
        with variable_scope("sub"):
            return super().forward(log)


class SubSub(Sub):
    def forward(self, log: list[str]) -> Any:
        with variable_scope("subsub"):
            return super().forward(log)


class Plain(Sub):
    pass


class Mixin:
    def forward(self, log: list[str]) -> Any:
        log.append("mixin")
        return w()


class Mixed(Mixin, ScopedModule):  # type: ignore[misc]
    pass


@pytest.mark.parametrize(
    ("kind", "path"), [(Base, "w"), (Sub, "sub/w"), (SubSub, "subsub/sub/w"), (Plain, "sub/w"), (Mixed, "w")]
)
def test_super_forward_goes_on_in_the_same_call(kind: type[ScopedModule], path: str) -> None:
    model = kind()
    for entry in (model, model.forward, model):
        variable = entry([])
        assert list(model.variables) == [path]
        assert variable is model.variables[path]


def test_a_base_forward_called_from_outside_starts_a_call() -> None:
    model = Sub()
    assert Base.forward(model, []) is model.variables["w"]


class Twice(Base):
    def forward(self, log: list[str]) -> Any:
        with variable_scope("twice"):
            super().forward(log)
            return super().forward(log)


def test_super_forward_twice_is_got_twice_in_one_call() -> None:
    with pytest.raises(VariableExistsError, match="'twice/w' was already got in this call of Twice"):
        Twice()([])


class Recursive(ScopedModule):
    def forward(self, depth: int) -> list[Any]:
        with variable_scope("here") as scope:
            variable = w()
            inner = [] if depth == 0 else self(depth - 1)
            assert get_variable_scope() is scope
            return [variable, *inner]


def test_a_module_that_calls_itself_starts_a_call_of_its_own() -> None:
    model = Recursive()
    assert len({id(variable) for variable in model(3)}) == 1
    assert list(model.variables) == ["here/w"]
    assert model.built


class Inner(ScopedModule):
    def forward(self) -> Any:
        assert get_variable_scope().name == ""
        assert get_variable_scope().reuse is False
        with variable_scope("inner"):
            return w()


class Outer(ScopedModule):
    def __init__(self) -> None:
        super().__init__()
        self.inner = Inner()
        self.sequential = nn.Sequential(nn.Linear(2, 2), nn.ReLU())

    def forward(self) -> Any:
        with variable_scope("outer", reuse=AUTO_REUSE) as scope:
            first = w()
            assert self.inner() is self.inner()
            assert get_variable_scope() is scope
            return first + self.inner() + self.sequential(torch.ones(2))


def test_a_module_inside_another_has_its_own_root_and_an_empty_scope() -> None:
    model = Outer()
    with pytest.raises(NotBuiltError):
        model.parameters()
    model()
    assert list(model.state_dict()) == [
        "variables.outer/w",
        "inner.variables.inner/w",
        "sequential.0.weight",
        "sequential.0.bias",
    ]
    assert model.inner.built
    assert len(list(model.parameters())) == 4


class Coder(ScopedModule):
    @scoped
    def encode(self) -> Any:
        with variable_scope("encoder"):
            return w()

    @scoped
    def decode(self, code: Any) -> Any:
        with variable_scope("decoder"):
            return code + w()

    def forward(self) -> Any:
        with variable_scope("both"):
            return self.decode(self.encode())


class BetterCoder(Coder):
    @scoped
    def encode(self) -> Any:
        with variable_scope("better"):
            return super().encode()


def test_a_scoped_method_starts_a_call_from_outside_and_goes_on_from_inside() -> None:
    model = Coder().build()
    assert list(model.variables) == ["both/encoder/w", "both/decoder/w"]
    with model.building():
        code = model.encode()
        model.decode(code)
    assert list(model.variables)[2:] == ["encoder/w", "decoder/w"]
    assert model.encode() is model.encode() is code
    better = BetterCoder().build()
    assert next(iter(better.variables)) == "both/better/encoder/w"


def test_the_first_complete_call_of_any_entry_builds() -> None:
    model = Coder()
    model.encode()
    assert model.built
    with pytest.raises(VariableNotFoundError, match=r"'decoder/w' does not exist in Coder, which is already built"):
        model.decode(0)


def test_a_wrapped_function_and_its_arguments() -> None:
    def scale(x: Tensor, *, by: float = 1.0) -> Any:
        return x * by * get_variable("w", [x.shape[-1]])

    model = ScopedModule(scale)
    assert torch.equal(model(torch.ones(3), by=2.0), 2 * model.variables["w"])
    wrapped = ScopedModule(nn.Linear(2, 2)).build(torch.ones(2))
    assert list(wrapped.state_dict()) == ["fn.weight", "fn.bias"]


def test_arguments_that_make_no_module_are_refused() -> None:
    with pytest.raises(ArgumentTypeError, match="fn cannot be 3"):
        ScopedModule(3)  # type: ignore[arg-type]
    with pytest.raises(ArgumentValueError, match="Base has a forward of its own"):
        Base(w)
    with pytest.raises(ArgumentTypeError, match="seed cannot be 'x'"):
        ScopedModule(w, seed="x")  # type: ignore[arg-type]
    with pytest.raises(ArgumentTypeError, match="dtype cannot be 'half'"):
        ScopedModule(w, dtype="half")  # type: ignore[arg-type]
    with pytest.raises(NotImplementedError, match="ScopedModule has no forward: write one in the subclass or wrap"):
        ScopedModule()()


# Building


def test_after_the_first_complete_call_nothing_new_is_made() -> None:
    model = ScopedModule(lambda name: get_variable(name, [1]))
    assert not model.built
    model("a")
    assert model.built
    with pytest.raises(VariableNotFoundError, match="which is already built"):
        model("b")
    with model.building():
        model("b")
    with pytest.raises(VariableNotFoundError):
        model("c")
    assert list(model.variables) == ["a", "b"]


def test_build_makes_the_variables_without_gradient_and_returns_the_module() -> None:
    def forward(x: Tensor) -> Tensor:
        assert not torch.is_grad_enabled()
        return x * w()

    model = ScopedModule(forward)
    assert model.build(torch.ones(2)) is model
    assert model.built
    assert model.variables["w"].requires_grad


def test_building_may_be_open_more_than_once() -> None:
    model = ScopedModule(lambda name: get_variable(name, [1])).build("a")
    with model.building():
        with model.building():
            model("b")
        model("c")
    with pytest.raises(VariableNotFoundError):
        model("d")


class Fails(ScopedModule):
    def forward(self, fail: bool, name: str = "a") -> None:
        with variable_scope(name):
            get_variable("w", [2], collections=["mine"], regularizer=torch.sum)
            get_buffer("b", [2])
            get_local_variable("l", [2])
            if fail:
                raise KeyboardInterrupt


@pytest.mark.parametrize("entry", ["call", "build", "building"])
def test_a_building_call_that_raises_leaves_the_module_as_it_was(entry: str) -> None:
    model = Fails()

    def attempt(name: str) -> None:
        if entry == "call":
            model(True, name)
        elif entry == "build":
            model.build(True, name)
        else:
            with model.building():
                model(True, name)

    def state() -> tuple[Any, ...]:
        store = model.variables
        return (
            *(list(model.variables), list(model.specs), list(model.state_dict()), model.built),
            *(list(store._parameters), list(store._buffers), set(store._non_persistent_buffers_set)),
        )

    before = state()
    with pytest.raises(KeyboardInterrupt):
        attempt("a")
    assert state() == before
    with pytest.raises(NotBuiltError):
        model.parameters()
    model(False)
    before = state()
    assert len(before[0]) == 3
    with pytest.raises((KeyboardInterrupt, VariableNotFoundError)):
        attempt("new")
    assert state() == before


class FailsOutside(ScopedModule):
    """Calls itself; the inner call completes, the outer one does not."""

    def forward(self, depth: int) -> None:
        with variable_scope(f"level_{depth}"):
            w()
        if depth:
            self(depth - 1)
            raise ValueError("outer")


def test_a_call_inside_a_building_call_of_the_same_module_is_undone_with_it() -> None:
    model = FailsOutside()
    with pytest.raises(ValueError, match="outer"):
        model(1)
    assert not model.built
    assert list(model.variables) == []
    model(0)
    assert model.built


class Child(ScopedModule):
    def forward(self, x: Tensor) -> Tensor:
        return x @ get_variable("w", [x.shape[-1], 2])


class Parent(ScopedModule):
    def __init__(self) -> None:
        super().__init__()
        self.child = Child()

    def forward(self, x: Tensor) -> Tensor:
        y = self.child(x)
        if x.shape[-1] != 3:
            raise ValueError("not 3")
        return y


def test_a_failing_call_undoes_the_modules_that_it_built_inside() -> None:
    model = Parent()
    for attempt in (model, model.build):
        with pytest.raises(ValueError, match="not 3"):
            attempt(torch.ones(1, 7))
        assert list(model.state_dict()) == []
        assert (model.built, model.child.built) == (False, False)
        with pytest.raises(NotBuiltError):
            model.child.parameters()
    model.build(torch.ones(1, 3))
    assert model.child.specs["w"].shape == (3, 2)
    assert model.child.built


def test_a_hook_that_fails_undoes_the_build() -> None:
    model = ScopedModule(w)

    def hook(*args: Any) -> None:
        raise ValueError("hook")

    handle = model.register_forward_hook(hook)
    with pytest.raises(ValueError, match="hook"):
        model.build()
    assert (model.built, list(model.variables)) == (False, [])
    handle.remove()
    assert model.build().built


def test_what_a_complete_call_got_stays_though_the_block_around_it_fails() -> None:
    model = ScopedModule(w)
    with pytest.raises(ValueError, match="later"), model.as_default():
        w()
        get_variable("other", [1])
        model()
        raise ValueError("later")
    assert (model.built, list(model.variables)) == (True, ["w"])
    assert model() is model.variables["w"]


def test_an_as_default_block_that_leaves_a_scope_open_is_undone() -> None:
    model = ScopedModule()
    with pytest.raises(ScopeNestingError):
        with model.as_default():
            variable_scope("a").__enter__()
            w()
    assert (list(model.variables), model.variables.building_calls) == ([], [])


def test_build_leaves_lazy_and_expanded_buffers_alone() -> None:
    norm = nn.LazyBatchNorm1d()
    model = ScopedModule(norm)
    model.register_buffer("expanded", torch.zeros(1).expand(4))
    model.build(torch.rand(4, 2))
    assert norm.running_mean is not None
    assert norm.running_mean.shape == (2,)


def test_as_default_makes_variables_and_does_not_build() -> None:
    model = ScopedModule(lambda: w())
    with model.as_default() as root:
        assert root is model
        first = w()
        with variable_scope("s"):
            w()
    assert not model.built
    assert model() is first
    assert model.built
    with model.as_default():
        get_variable("later", [1])
    assert list(model.variables) == ["w", "s/w", "later"]


def test_as_default_that_raises_takes_its_variables_back_but_not_on_ctrl_c() -> None:
    model = ScopedModule()
    with pytest.raises(ValueError, match="oops"), model.as_default():
        w()
        raise ValueError("oops")
    assert list(model.variables) == []
    with pytest.raises(KeyboardInterrupt), model.as_default():
        w()
        raise KeyboardInterrupt
    assert list(model.variables) == ["w"]


def test_one_as_default_may_be_entered_again_and_inside_itself() -> None:
    context = ScopedModule().as_default()
    with context:
        first = w()
        with context:
            assert w() is first
    with context:
        assert w() is first


def test_a_failing_build_puts_buffers_back() -> None:
    norm = nn.BatchNorm1d(2)

    def forward(fail: bool) -> None:
        norm(torch.rand(4, 2) + 5)
        assert not fail

    model = ScopedModule(forward)
    model.norm = norm
    with pytest.raises(AssertionError):
        model.build(True)
    model.build(False)
    assert norm.running_mean is not None
    assert norm.running_mean.tolist() == [0, 0]
    assert norm.num_batches_tracked is not None
    assert norm.num_batches_tracked.item() == 0


# Looking at the variables


class Gan(ScopedModule):
    def forward(self) -> None:
        for scope in ("D", "D_pre", "D/deep"):
            with variable_scope(scope):
                get_variable("w", [2])
                get_variable("frozen", [2], trainable=False, collections=["variables", "mine"])
                get_buffer("mean", [2])
                get_local_variable("seen", [2])


def names(model: ScopedModule, variables: list[Tensor]) -> list[str]:
    return [model.variable_name(variable) for variable in variables]


def test_variables_are_selected_by_scope_in_order_of_creation() -> None:
    model = Gan().build()
    assert names(model, model.trainable_variables()) == ["D/w", "D_pre/w", "D/deep/w"]
    assert names(model, model.trainable_variables("D")) == ["D/w", "D/deep/w"]
    assert names(model, model.global_variables("D_pre")) == ["D_pre/w", "D_pre/frozen", "D_pre/mean"]
    assert names(model, model.local_variables("*")) == ["D/seen", "D_pre/seen", "D/deep/seen"]
    assert names(model, model.get_collection("mine", "D/*")) == ["D/frozen", "D/deep/frozen"]
    assert names(model, model.get_collection("variables", "**/w")) == ["D/w", "D_pre/w", "D/deep/w"]
    with model.as_default(), variable_scope("D") as scope:
        assert model.trainable_variables(scope) == model.trainable_variables("D")
    with pytest.raises(ArgumentTypeError, match="scope cannot be 3"):
        model.trainable_variables(3)  # type: ignore[arg-type]


def test_freezing_a_variable_takes_it_out_of_the_trainable_ones() -> None:
    model = Gan().build()
    model.variables["D/w"].requires_grad_(False)
    assert names(model, model.trainable_variables("D")) == ["D/deep/w"]


def test_variable_name_goes_by_identity() -> None:
    model = Gan().build()
    assert [model.variable_name(variable) for variable in model.variables.values()] == list(model.variables)
    model.variables["D/w"] = nn.Parameter(torch.zeros(2))
    assert model.variable_name(model.variables["D/w"]) == "D/w"
    for foreign in (model.variables["D/w"].clone(), model.variables["D/w"].detach(), torch.zeros(2)):
        with pytest.raises(VariableNotFoundError, match="no variable of Gan"):
            model.variable_name(foreign)


def test_collections_declared_replace_the_default_one_as_in_tensorflow() -> None:
    model = ScopedModule(lambda: get_variable("w", [1], collections=["mine"])).build()
    held = model.variables["w"]
    assert model.global_variables() == []
    assert model.trainable_variables() == model.get_collection("mine") == [held]


def test_a_scope_object_selects_its_own_path_whatever_its_characters() -> None:
    def forward() -> list[str]:
        for name in ("h[0]", "h0", "h*"):
            with variable_scope(name) as scope:
                w()
                assert names(model, scope.trainable_variables()) == [f"{name}/w"]
                assert names(model, model.trainable_variables(scope)) == [f"{name}/w"]
        return names(model, model.trainable_variables("h[0]"))

    model = ScopedModule(forward)
    assert model() == ["h[0]/w"]
    assert names(model, model.trainable_variables("h?")) == ["h0/w", "h*/w"]
    with pytest.raises(ArgumentValueError, match="It is no glob"):
        model.trainable_variables("[z-a]")


def test_losses_that_are_added_count_as_regularization_losses() -> None:
    class Added(ScopedModule):
        def forward(self) -> None:
            get_variable("w", [2], initializer=nn.init.ones_, regularizer=torch.sum)
            self.add_to_collection("regularization_losses", torch.tensor(5.0))

    model = Added()
    model()
    assert [loss.item() for loss in model.get_collection("regularization_losses")] == [2, 5]
    assert model.regularization_loss().item() == 7


def test_values_that_a_call_adds_belong_to_the_call() -> None:
    class Loss(ScopedModule):
        def forward(self, x: float) -> None:
            with variable_scope("a"):
                variable = w()
                self.add_to_collection("losses", x)
                self.add_to_collection("seen", variable)
            with variable_scope("b"):
                self.add_to_collection("losses", -x)
            assert self.get_collection("losses") == [x, -x]
            assert get_variable_scope().get_collection("losses") == [x, -x]

    model = Loss()
    for x in (1.0, 2.0, 3.0):
        model(x)
        assert model.get_collection("losses") == [x, -x]
        assert model.get_collection("losses", "b") == [-x]
        assert model.get_collection("seen") == [model.variables["a/w"]]
    model.add_to_collection("losses", "by hand")
    assert model.get_collection("losses") == [3.0, -3.0, "by hand"]


# Regularizers and constraints


def test_a_regularizer_belongs_to_the_variable_once_however_often_it_is_shared() -> None:
    calls: list[int] = []

    def l2(variable: Tensor) -> Tensor:
        calls.append(1)
        return variable.square().sum()

    def forward() -> None:
        with variable_scope("a", regularizer=l2) as scope:
            get_variable("w", [2], initializer=nn.init.ones_)
            get_variable("own", [2], initializer=nn.init.ones_, regularizer=torch.sum)
            get_variable("none", [2], regularizer=no_regularizer)
            get_buffer("buffer", [2])
            with variable_scope("off", regularizer=no_regularizer):
                get_variable("bias", [2])
            scope.reuse_variables()
            for _ in range(3):
                get_variable("w", regularizer=l2)
        with variable_scope("b"):
            get_variable("w", [2])

    model = ScopedModule(forward).build()
    model(), model()
    assert [loss.item() for loss in model.regularization_losses()] == [2, 2]
    assert len(calls) == 1
    assert model.regularization_losses("b") == []
    assert [loss.item() for loss in model.get_collection("regularization_losses", "a")] == [2, 2]
    model.regularization_loss().backward()  # type: ignore[no-untyped-call]
    assert model.variables["a/w"].grad.tolist() == [2, 2]
    with torch.no_grad():
        model.variables["a/w"].mul_(3)
    assert model.regularization_loss().item() == 20
    assert model.regularization_loss().requires_grad


def test_without_regularizers_the_loss_is_zero() -> None:
    loss = ScopedModule(w).build().regularization_loss()
    assert (loss.item(), loss.shape) == (0, ())


def test_constraints_project_in_place_without_gradient() -> None:
    def clip(variable: Tensor) -> None:
        variable.clamp_(-0.5, 0.5)

    def forward() -> None:
        with variable_scope("", constraint=lambda variable: variable / variable.norm()):
            get_variable("unit", [2], initializer=nn.init.ones_)
            get_variable("clipped", [2], initializer=nn.init.ones_, constraint=clip)
        get_variable("free", [2], initializer=nn.init.ones_)

    model = ScopedModule(forward).build()
    before = dict(model.variables.items())
    model.apply_constraints()
    assert all(model.variables[path] is variable for path, variable in before.items())
    assert model.variables["unit"].norm().item() == pytest.approx(1)
    assert model.variables["clipped"].tolist() == [0.5, 0.5]
    assert model.variables["free"].tolist() == [1, 1]
    assert all(variable.grad_fn is None and variable.requires_grad for variable in model.variables.values())


@pytest.mark.parametrize("kind", ["wrapped", "forward", "scoped"])
def test_what_runs_late_cannot_be_a_call(kind: str) -> None:
    def generator(self: Any) -> Any:
        yield

    async def coroutine(self: Any) -> None: ...

    for function in (generator, coroutine):
        with pytest.raises(ArgumentTypeError, match="Its body runs after the scope is closed"):
            if kind == "wrapped":
                ScopedModule(function)
            elif kind == "forward":
                type("Late", (ScopedModule,), {"forward": function})
            else:
                scoped(function)


def test_trainable_variables_of_an_unbuilt_module_raise_outside_of_a_call() -> None:
    class Looks(ScopedModule):
        def forward(self) -> int:
            before = len(self.trainable_variables())
            w()
            return before

    model = Looks()
    with pytest.raises(NotBuiltError):
        model.trainable_variables("D")
    assert model() == 0


# As any nn.Module


def test_parameters_of_an_unbuilt_module_raise_wherever_it_sits() -> None:
    model = ScopedModule(w)
    for asks in (model, nn.Sequential(nn.Linear(1, 1), model), nn.ModuleList([nn.Sequential(model)])):
        with pytest.raises(NotBuiltError, match="was never built and holds no variable yet"):
            torch.optim.SGD(asks.parameters(), 0.1)
        with pytest.raises(NotBuiltError):
            dict(asks.named_parameters())
        assert list(asks.buffers()) == []
        assert "variables.w" not in asks.state_dict()
        asks.to(torch.float64).train().eval()
        assert len(list(asks.modules())) >= 2
        repr(asks)
    model.build()
    assert model.variables["w"].dtype is torch.float64
    assert [name for name, _ in model.named_parameters()] == ["variables.w"]


def test_a_built_module_without_variables_has_no_parameters() -> None:
    model = ScopedModule(lambda: None).build()
    assert list(model.parameters()) == list(nn.Sequential(model).parameters()) == []


def test_the_module_shows_its_variables() -> None:
    shown = repr(ScopedModule(w).build())
    assert "(w): Parameter containing:" in shown
    assert "of size 2" in shown


def test_specs_are_a_read_only_view() -> None:
    model = ScopedModule(w).build()
    with pytest.raises(TypeError):
        model.specs["w"] = None  # type: ignore[index]
    assert model.specs["w"].made_at is not None
    assert model.specs["w"].made_at.startswith("tests/modules/test_scoped_module.py:")


@pytest.mark.parametrize("held", [{}, ScopedModule(lambda: get_variable("w", [1])).state_dict()], ids=["{}", "unbuilt"])
def test_a_strict_load_of_nothing_leaves_nothing_to_be_made_in_silence(held: Any) -> None:
    model = ScopedModule(lambda: get_variable("w", [1]))
    model.load_state_dict(held, strict=True)
    with pytest.raises(VariableNotFoundError, match="'w' was not in the state_dict"):
        model()


def test_a_state_dict_of_bare_paths_is_told_what_a_key_is() -> None:
    model = ScopedModule(lambda: get_variable("w", [1])).build()
    with pytest.raises(RuntimeError) as raised:
        model.load_state_dict({"w": torch.ones(1)})
    assert raised.value.__notes__ == [
        "A key is 'variables.' and a path. Bare paths go to module.variables.load_state_dict."
    ]
    model.variables.load_state_dict({"w": torch.ones(1)})
    assert model.variables["w"].item() == 1


def test_a_module_says_what_it_wraps_and_whether_it_is_built() -> None:
    def forward() -> Any:
        return get_variable("w", [1])

    model = ScopedModule(forward)
    assert repr(model).startswith("ScopedModule(\n  forward, not built\n")
    assert repr(model.build()).startswith("ScopedModule(\n  forward\n")


@pytest.mark.parametrize(
    "method", ["regularization_loss", "regularization_losses", "apply_constraints", "reset_parameters"]
)
def test_what_would_do_nothing_before_the_module_is_built_says_so(method: str) -> None:
    with pytest.raises(NotBuiltError, match="was never built"):
        getattr(ScopedModule(lambda: get_variable("w", [1])), method)()
