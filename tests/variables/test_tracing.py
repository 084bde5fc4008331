"""Built modules trace; unbuilt ones say "build first", and nothing that is not real is ever kept."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounter
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.overrides import TorchFunctionMode

from tests.models.image_filters import ImageFilters, images
from torchscope import (
    AUTO_REUSE,
    ScopedModule,
    TracingError,
    VariableNotFoundError,
    VariableShapeError,
    get_buffer,
    get_variable,
    scoped,
    variable_scope,
    zeros_initializer,
)

Model = Callable[[], tuple[nn.Module, tuple[Tensor, ...]]]


def dense(x: Tensor, units: int) -> Tensor:
    return x @ get_variable("kernel", [units, x.shape[-1]]).T + get_variable("bias", [units])


class Everything(ScopedModule):
    """All that a model may do in its forward once it is built."""

    @scoped
    def encode(self, x: Tensor) -> Tensor:
        for _ in range(3):
            with variable_scope(None, default_name="block"):
                x = dense(x, 4)
        return x

    def forward(self, x: Tensor) -> Tensor:
        with variable_scope("shared", reuse=AUTO_REUSE) as scope:
            x = dense(dense(x, 4), 4)
        with variable_scope("getter", custom_getter=self.doubled, dtype=torch.float32):
            x = dense(x, 4)
        with variable_scope("other"), variable_scope(scope, reuse=True):
            x = dense(x, 4)
        with variable_scope("deep/er"):
            seen = get_buffer("seen", [], initializer=zeros_initializer())
            x = self.encode(x) + seen
        scope.reuse_variables()
        return torch.relu(x) * scope.get_variable("bias")

    @staticmethod
    def doubled(getter: Any, name: str, *args: Any, **kwargs: Any) -> Tensor:
        variable: Tensor = getter(name, *args, **kwargs)
        return variable * 2


def everything() -> tuple[nn.Module, tuple[Tensor, ...]]:
    x = torch.rand(2, 4)
    return Everything(seed=0).build(x), (x,)


def filters() -> tuple[nn.Module, tuple[Tensor, ...]]:
    batch = images()
    return ImageFilters(seed=0).build(*batch), batch


def child() -> tuple[nn.Module, tuple[Tensor, ...]]:
    model, inputs = everything()
    return nn.Sequential(nn.Linear(4, 4), model, nn.ReLU()), inputs


def first(output: Any) -> Tensor:
    return torch.cat(output) if isinstance(output, tuple) else output


@pytest.mark.parametrize("make", [everything, filters, child])
def test_a_built_module_compiles_whole_without_recompiling_or_warning(make: Model) -> None:
    torch._dynamo.reset()
    model, inputs = make()
    counter = CompileCounter()
    compiled = torch.compile(model, fullgraph=True, backend=counter)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "Guards may run slower on Python 3.13.0")
        for _ in range(5):
            assert torch.allclose(first(compiled(*inputs)), first(model(*inputs)))
    assert counter.frame_count == 1


def test_more_classes_compile_in_one_process_than_torch_compiles_one_piece_of_code() -> None:
    torch._dynamo.reset()
    one = torch.ones(3)
    for n in range(torch._dynamo.config.recompile_limit + 2):
        there: dict[str, Any] = {"ScopedModule": ScopedModule, "get_variable": get_variable}
        exec(
            "class Model(ScopedModule):\n"
            f"    def forward(self, x):\n        return x * get_variable('scale_{n}', []) + {n}\n",
            there,
        )
        model = there["Model"](seed=n).build(one)
        assert torch.equal(torch.compile(model, fullgraph=True, backend="eager")(one), model(one))


@pytest.mark.parametrize("make", [everything, filters, child])
@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.filterwarnings("ignore:While compiling, we found certain side effects")
def test_a_built_module_exports(make: Model, strict: bool) -> None:
    torch._dynamo.reset()
    model, inputs = make()
    exported = torch.export.export(model, inputs, strict=strict)
    assert torch.allclose(first(exported.module()(*inputs)), first(model(*inputs)))
    assert exported.state_dict.keys() == model.state_dict().keys()


@pytest.mark.parametrize("make", [everything, filters])
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_a_built_module_is_traced_by_jit(make: Model) -> None:
    model, inputs = make()
    traced = torch.jit.trace(model, inputs)
    assert torch.allclose(first(traced(*inputs)), first(model(*inputs)))


def test_a_built_module_runs_under_torch_func() -> None:
    model, (x,) = everything()
    parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}

    def loss(parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        return torch.func.functional_call(model, parameters, (x,)).square().sum()

    gradients = torch.func.grad(loss)(parameters, x)
    model(x).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None
        assert torch.allclose(gradients[name], parameter.grad)
    each = torch.func.vmap(lambda row: model(row[None]))(x)
    assert torch.allclose(each[:, 0], model(x))


# Creating while something is tracing


def scale(x: Tensor) -> Tensor:
    return x * get_variable("w", [])


def by_compile(model: Any, x: Tensor) -> None:
    torch._dynamo.reset()
    torch.compile(model, fullgraph=True, backend="eager")(x)


def by_compile_in_parts(model: Any, x: Tensor) -> None:
    torch._dynamo.reset()
    torch.compile(model, backend="eager")(x)


def by_export(model: Any, x: Tensor) -> None:
    torch.export.export(model, (x,), strict=False)


def by_jit(model: Any, x: Tensor) -> None:
    torch.jit.trace(model, (x,))


def by_fake(model: Any, x: Tensor) -> None:
    with FakeTensorMode() as mode:
        model(mode.from_tensor(x))


def by_make_fx(model: Any, x: Tensor) -> None:
    make_fx(model)(x)


def by_vmap(model: Any, x: Tensor) -> None:
    torch.func.vmap(model)(x)


def by_grad(model: Any, x: Tensor) -> None:
    torch.func.grad(lambda x: model(x).sum())(x)


def by_fx(model: Any, x: Tensor) -> None:
    class Whole(torch.fx.Tracer):
        def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
            return False

    Whole().trace(nn.Sequential(model))


TRACERS: dict[Callable[[Any, Tensor], None], str] = {
    by_compile: r"torch\.compile or torch\.export",
    by_compile_in_parts: r"torch\.compile or torch\.export",
    by_export: r"torch\.compile or torch\.export",
    by_jit: r"torch\.jit\.trace",
    by_fake: "fake tensors",
    by_make_fx: "make_fx",
    by_vmap: r"a torch\.func transform",
    by_grad: r"a torch\.func transform",
    by_fx: r"torch\.fx\.symbolic_trace",
}


@pytest.mark.parametrize("trace", TRACERS, ids=lambda trace: trace.__name__)
@pytest.mark.parametrize("state", ["unbuilt", "unbuilt with a variable", "made from a state_dict", "as_default"])
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_creating_while_tracing_says_build_first_and_keeps_nothing(
    trace: Callable[[Any, Tensor], None], state: str
) -> None:
    model = ScopedModule(scale)
    x = torch.rand(3)
    if state == "unbuilt with a variable":
        with model.as_default():
            get_variable("v", [])
    if state == "made from a state_dict":
        model.load_state_dict({"variables.w": torch.ones(())})
    runs: Any = model
    if state == "as_default":
        runs = ScopedModule(scale).build(x[0])
        runs.fn = lambda x: AsDefault(model)(x)
    before = list(model.variables)
    # Dynamo wraps what a traced call raises in an error of its own; the message goes through.
    with pytest.raises((TracingError, RuntimeError)) as raised:
        trace(runs, x)
    said = str(raised.value)
    # A compiler that looks at the module first meets the check for unbuilt parameters, which says the same.
    assert "Build the module first, outside of it" in said or "Build it first with module.build" in said
    if "Build it first" not in said:
        assert re.search(f"'[wv]' of ScopedModule.* is not declared yet and cannot be under {TRACERS[trace]}", said)
    assert list(model.variables) == before
    assert not model.built
    model.build(x[0])
    assert all(type(variable) is nn.Parameter for variable in model.variables.values())


class AsDefault:
    def __init__(self, model: ScopedModule) -> None:
        self.model = model

    def __call__(self, x: Tensor) -> Tensor:
        with self.model.as_default():
            return scale(x)


@pytest.mark.parametrize("trace", TRACERS, ids=lambda trace: trace.__name__)
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_a_path_that_a_built_module_lacks_is_missing_also_while_tracing(trace: Callable[[Any, Tensor], None]) -> None:
    model = ScopedModule(scale).build(torch.ones(()))
    model.fn = lambda x: x * get_variable("ww", [])
    with pytest.raises((VariableNotFoundError, RuntimeError)) as raised:
        trace(model, torch.ones(3))
    assert "'ww' does not exist in ScopedModule(scale), which is already built" in str(raised.value)
    assert "The nearest existing paths: 'w'" in str(raised.value)


def test_a_function_compiled_under_as_default_gets_what_exists() -> None:
    torch._dynamo.reset()
    model = ScopedModule(scale).build(torch.ones(()))
    compiled = torch.compile(scale, fullgraph=True, backend="eager")
    with model.as_default():
        assert torch.equal(compiled(torch.ones(3)), torch.ones(3) * model.variables["w"])


def test_a_tensor_of_another_type_is_never_kept() -> None:
    class Strange(Tensor):
        pass

    class Mode(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = func(*args, **(kwargs or {}))
            return result.as_subclass(Strange) if func is torch.empty else result

    model = ScopedModule(scale)
    with Mode(), pytest.raises(TracingError, match="cannot be under tensors of type Strange"):
        model(torch.ones(3))
    assert list(model.variables) == []


def test_a_call_that_traces_builds_nothing_and_a_fake_call_of_a_built_module_runs() -> None:
    model = ScopedModule(scale).build(torch.ones(()))
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        assert model(mode.from_tensor(torch.ones(3))).shape == (3,)
    empty = ScopedModule(lambda x: x)
    torch.func.vmap(empty)(torch.ones(3))
    assert not empty.built


# Modes in which creating is safe


@pytest.mark.parametrize(
    "mode",
    [
        torch.inference_mode,
        torch.no_grad,
        lambda: torch.autocast("cpu", torch.bfloat16),
        lambda: torch.device("meta"),
        torch.enable_grad,
    ],
    ids=["inference_mode", "no_grad", "autocast", "meta", "enable_grad"],
)
def test_a_variable_made_under_a_mode_is_a_trainable_leaf(mode: Any) -> None:
    def project(tensor: Tensor) -> Tensor:  # autocast would round this product
        return tensor.copy_(torch.eye(3, device=tensor.device) @ torch.full((3, 3), 1 / 3, device=tensor.device))

    model = ScopedModule(lambda: (get_variable("w", [3, 3], initializer=project), get_buffer("b", [2])))
    with mode():
        model()
    weight, buffer = model.variables["w"], model.variables["b"]
    assert (weight.is_leaf, weight.requires_grad, weight.dtype, weight.is_inference()) == (
        *(True, True, torch.float32),
        False,
    )
    assert not buffer.is_inference()
    if not weight.is_meta:
        assert torch.equal(weight, torch.full((3, 3), 1 / 3))
        (weight * 2).sum().backward()
        buffer.add_(1)


def test_a_shape_is_held_against_the_declaration_in_eager_code_and_against_the_tensor_when_compiled() -> None:
    def forward(x: Tensor) -> Tensor:
        with variable_scope("a"):
            return x * get_variable("w", [x.shape[-1]])

    model, x = ScopedModule(forward).build(torch.ones(4)), torch.ones(3)
    other = {"variables.a/w": torch.ones(3)}
    with pytest.raises(VariableShapeError):
        torch.func.functional_call(model, other, (x,))
    torch._dynamo.reset()
    compiled = torch.compile(lambda: torch.func.functional_call(model, other, (x,)), fullgraph=True, backend="eager")
    assert torch.equal(compiled(), x)


@pytest.mark.parametrize("breaks", ["a branch on data", "graph_break", "reuse_variables before it"])
def test_a_graph_break_inside_a_scope_gives_the_numbers_of_eager_code(breaks: str) -> None:
    class Breaks(ScopedModule):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            with variable_scope("k") as scope:
                x = x * get_variable("a", [2])
                if breaks == "reuse_variables before it":
                    scope.reuse_variables()
                if breaks == "a branch on data":
                    x = x + 1 if x.sum() > 0 else x - 1
                else:
                    torch._dynamo.graph_break()
                with variable_scope("inner", reuse=AUTO_REUSE):
                    x = x * get_variable("b", [2])
                return x + get_variable("c" if breaks != "reuse_variables before it" else "a", [2])

    x = torch.ones(2)
    model = Breaks(seed=0)
    if breaks == "reuse_variables before it":
        model.variables["k/inner/b"] = torch.nn.Parameter(torch.ones(2))
    model.build(x)
    torch._dynamo.reset()
    torch.testing.assert_close(torch.compile(model, backend="eager")(x), model(x))
