"""``compile_once``: one graph for all scopes that a block runs in; for the call, it is as if it had run eagerly."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounterWithBackend
from torch.func import functional_call

from torchscope import (
    AUTO_REUSE,
    ArgumentTypeError,
    NoActiveModuleError,
    ScopedModule,
    TracingError,
    VariableExistsError,
    VariableNotFoundError,
    VariableShapeError,
    compile_once,
    get_buffer,
    get_module,
    get_name_scope,
    get_variable,
    get_variable_scope,
    make_template,
    name_scope,
    op_name,
    unique_name,
    variable_scope,
)
from torchscope.recompute import checkpoint

from ..releases.limits import beyond_torch_before

Block = Callable[..., Tensor]
SIZE = 4


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.fixture
def counter() -> CompileCounterWithBackend:
    return CompileCounterWithBackend("aot_eager")


def dense(x: Tensor) -> Tensor:
    kernel = get_variable("kernel", [SIZE, SIZE])
    return torch.tanh(x @ kernel + get_variable("bias", [SIZE], initializer=nn.init.zeros_))


def rich(x: Tensor) -> Tensor:
    """A bit of everything: scopes, default names, a buffer that changes, a layer, names of operations."""
    with variable_scope("attention"), name_scope("scores"):
        x = x + dense(x)
    for _ in range(2):
        with variable_scope(None, "mlp"):
            x = x + dense(x)
    mean = get_buffer("mean", [SIZE], initializer=nn.init.zeros_)
    mean.lerp_(x.detach().mean(0), 0.5)
    x = get_module("norm", nn.LayerNorm, SIZE)(x - mean)
    with variable_scope("a/b", reuse=AUTO_REUSE):
        return get_module("dropout", nn.Dropout, 0.5)(x) * get_variable("scale", [])


def stack(block: Block, layers: int = 12) -> ScopedModule:
    def forward(x: Tensor) -> Tensor:
        for layer in range(layers):
            with variable_scope(f"layer_{layer}"):
                x = block(x)
        return x

    return ScopedModule(forward, seed=1).build(torch.ones(2, SIZE))


def events(model: ScopedModule) -> list[object]:
    """What the model's last call has noted, and the next one is held against."""
    (plan,) = model.variables.entered.values()
    return [getattr(event, "prefix", event) for event in plan.events]  # type: ignore[attr-defined]


def test_a_block_in_twelve_scopes_is_one_graph(counter: CompileCounterWithBackend) -> None:
    model = stack(compile_once(dense, backend=counter, fullgraph=True))
    x = torch.ones(2, SIZE, requires_grad=True)
    for _ in range(3):
        model(x)
    assert counter.frame_count == 1


@pytest.mark.parametrize("block", [dense, rich])
def test_it_gives_what_the_block_gives_eagerly(block: Block, counter: CompileCounterWithBackend) -> None:
    eager, compiled = stack(block), stack(compile_once(block, backend=counter, fullgraph=True))
    inputs = [torch.randn(2, SIZE, requires_grad=True) for _ in range(3)]
    for train in (True, False):
        for x in inputs:
            results = []
            for model in (eager, compiled):
                model.train(train)
                torch.manual_seed(0)
                results.append(model(x))
                model.zero_grad()
                results[-1].square().sum().backward()
            torch.testing.assert_close(results[0], results[1])
            torch.testing.assert_close(eager.state_dict(), compiled.state_dict())
            for one, other in zip(eager.parameters(), compiled.parameters(), strict=True):
                torch.testing.assert_close(one.grad, other.grad)
    assert counter.frame_count == (1 if block is dense else 2)  # in training and not
    assert events(eager) == events(compiled)


def test_what_comes_after_a_block_sees_what_it_has_opened_and_got() -> None:
    def names(block: Block) -> list[str]:
        def forward(x: Tensor) -> list[str]:
            found = []
            for name in ("a", "a", "b"):
                with variable_scope(name, reuse=AUTO_REUSE):
                    block(x)
                    with variable_scope(None, "mlp") as scope, name_scope("scores") as scores:
                        found += [scope.name, scope.original_name_scope, scores]
            with variable_scope("b"), variable_scope(None, "attention") as scope:
                return [*found, scope.name, scope.original_name_scope, get_name_scope()]

        model = ScopedModule(forward).build(torch.ones(2, SIZE))
        model(torch.ones(2, SIZE))
        found: list[str] = model(torch.ones(2, SIZE))
        return found

    assert names(compile_once(rich, backend="eager")) == names(rich)


def test_a_variable_that_the_block_got_is_got() -> None:
    def forward(x: Tensor) -> Tensor:
        with variable_scope("a"):
            y = block(x)
            return y * get_variable("bias") if again else y

    again, block = False, compile_once(dense, backend="eager")
    model = ScopedModule(forward).build(torch.ones(2, SIZE))
    again = True
    with pytest.raises(VariableExistsError, match="a/bias"):
        model(torch.ones(2, SIZE))


def test_a_variable_that_was_got_before_the_block_is_got() -> None:
    def forward(x: Tensor) -> Tensor:
        with variable_scope("a", reuse=reuse):
            return block(x * get_variable("bias") if before else x)

    before, reuse, block = False, False, compile_once(dense, backend="eager")
    model = ScopedModule(forward).build(torch.ones(2, SIZE))
    before = True
    with pytest.raises(VariableExistsError, match="'bias' was already got in this call of a block of") as caught:
        model(torch.ones(2, SIZE))
    assert caught.value.__notes__ == ["in a block of compile_once: paths are those inside 'a'"]
    reuse = True
    model(torch.ones(2, SIZE))


def test_blocks_that_share_have_one_graph(counter: CompileCounterWithBackend) -> None:
    def forward(x: Tensor) -> Tensor:
        for _ in range(4):
            with variable_scope("shared", reuse=AUTO_REUSE):
                x = block(x)
        return x

    block = compile_once(dense, backend=counter)
    model = ScopedModule(forward).build(torch.ones(2, SIZE))
    assert len(list(model.parameters())) == 2
    model(torch.ones(2, SIZE, requires_grad=True))
    assert counter.frame_count == 1


def wrong_shape(x: Tensor) -> Tensor:
    return get_variable("kernel", [SIZE + 1])


def unknown(x: Tensor) -> Tensor:
    return get_variable("kernl", [SIZE])


lost = beyond_torch_before(2, 12, "Dynamo stops at the formatting of a message, and the error that it is of is lost")
ERRORS = [
    pytest.param(wrong_shape, VariableShapeError, True, marks=lost),
    (wrong_shape, VariableShapeError, False),
    (unknown, VariableNotFoundError, True),
    (unknown, VariableNotFoundError, False),
]


@pytest.mark.parametrize(("block", "error", "fullgraph"), ERRORS)
def test_errors_of_scopes_come_out_with_their_text(block: Block, error: type[Exception], fullgraph: bool) -> None:
    run: Block = dense

    def forward(x: Tensor) -> Tensor:
        with variable_scope("a"):
            return run(x)

    model = ScopedModule(forward).build(torch.ones(2, SIZE))
    run = compile_once(block, backend="eager", fullgraph=fullgraph)
    with pytest.raises(Exception, match="'kern") as caught:
        model(torch.ones(2, SIZE))
    assert isinstance(caught.value, error) or f"raised exception {error.__name__}(" in str(caught.value)
    run = dense
    model(torch.ones(2, SIZE))  # nothing is left open


outside: dict[str, Any] = {}


def opens(scope: object) -> str:
    with variable_scope(scope):  # type: ignore[arg-type]
        return "opened"


def enters(name: str | None) -> str:
    with name_scope(name) as entered:
        return entered


DIFFERS: dict[str, Callable[[], object]] = {
    "name": lambda: get_variable_scope().name,
    "original_name_scope": lambda: get_variable_scope().original_name_scope,
    "name scope": get_name_scope,
    "name from the top": lambda: enters("top/"),
    "the top": lambda: enters(None),
    "name of an operation": lambda: unique_name("x"),
    "op_name": lambda: op_name(get_variable("kernel")),
    "scope from outside": lambda: opens(outside["scope"]),
    "get in a scope from outside": lambda: outside["scope"].get_variable("kernel"),
    "setting of the scope around": lambda: get_variable_scope().reuse_variables(),
    "setting of a scope from outside": lambda: outside["scope"].set_dtype(torch.float64),
    "template": lambda: outside["template"](),
    "name that a getter is given": lambda: get_variable(
        "kernel", custom_getter=lambda getter, *a, **k: getter(*a, **k)
    ),
    "collection": lambda: outside["model"].get_collection("losses"),
    "collection of a scope": lambda: get_variable_scope().trainable_variables(),
}


@pytest.mark.parametrize("what", DIFFERS)
def test_what_differs_from_scope_to_scope_is_refused(what: str) -> None:
    run: Block = dense

    def forward(x: Tensor) -> Tensor:
        with variable_scope("a") as scope:
            outside.update(scope=scope, model=model, template=make_template("t", lambda: 1))
            return run(x)

    model = ScopedModule(forward)
    model.build(torch.ones(2, SIZE))
    run = compile_once(lambda x: (DIFFERS[what](), x)[1], backend="eager")
    with pytest.raises(TracingError, match="not known in a block that is compiled once") as caught:
        model(torch.ones(2, SIZE))
    assert "user code" not in str(caught.value)


def by_the_same_block(run: Block, x: Tensor) -> Tensor:
    with variable_scope("a"):
        return run(run(x))


def by_its_path(run: Block, x: Tensor) -> Tensor:
    with variable_scope("a/dense"):
        pass
    with variable_scope("a"):
        return run(x)


@pytest.mark.parametrize("opened", [by_the_same_block, by_its_path], ids=lambda opened: opened.__name__)
def test_a_default_name_is_refused_where_others_were_opened_before_the_block(opened: Callable[..., Tensor]) -> None:
    run: Block = default_named
    model = ScopedModule(lambda x: opened(run, x)).build(torch.ones(2, SIZE))
    assert "a/dense_1/bias" in model.variables
    run = compile_once(default_named, backend="eager")
    with pytest.raises(TracingError, match="default name"):
        model(torch.ones(2, SIZE))


def test_as_a_decorator_it_takes_the_options_of_torch_compile(counter: CompileCounterWithBackend) -> None:
    @compile_once(backend=counter, fullgraph=True)
    def block(x: Tensor) -> Tensor:
        return dense(x)

    model = stack(block, 3)
    x = torch.ones(2, SIZE, requires_grad=True)
    assert torch.equal(model(x), stack(dense, 3)(x))
    assert counter.frame_count == 1


@beyond_torch_before(2, 12, "an exception that is caught behind a graph break fails inside Dynamo")
def test_what_a_block_adds_to_a_collection_is_in_it() -> None:
    def block(x: Tensor) -> Tensor:
        with variable_scope("inner"):
            model.add_to_collection("losses", x.sum())
        model.add_to_collection("losses", x.mean())
        return dense(x)

    def forward(x: Tensor) -> Tensor:
        with variable_scope("a"):
            return compiled(x)

    compiled, model = compile_once(block, backend="eager"), ScopedModule(forward)
    model.build(torch.ones(2, SIZE))
    model(torch.full((2, SIZE), 3.0))
    assert model.get_collection("losses") == [torch.tensor(24.0), torch.tensor(3.0)]
    assert model.get_collection("losses", "a/inner") == [torch.tensor(24.0)]


class Method(ScopedModule):
    def __init__(self) -> None:
        super().__init__(seed=0)
        self.gain = 2.0
        self.bound = compile_once(self.layer, backend="eager")

    def layer(self, x: Tensor) -> Tensor:
        return dense(x) * self.gain

    unbound = compile_once(layer, backend="eager")

    def forward(self, x: Tensor) -> Tensor:
        with variable_scope("a"):
            x = self.bound(x)
        with variable_scope("b"):
            return self.unbound(x)


def test_methods_are_blocks_too_and_a_copy_runs_its_own() -> None:
    x = torch.ones(2, SIZE)
    model = Method().build(x)
    expected = model(x)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(other(x), expected)
        other.gain = 3.0
        assert not torch.equal(other(x), expected)
        assert torch.equal(model(x), expected)


def test_a_pickled_model_gets_back_what_pickle_lost() -> None:
    model = pickle.loads(pickle.dumps(Lost().build(torch.ones(2, SIZE))))
    model(torch.ones(2, SIZE))
    model.reset_parameters()
    assert torch.equal(model(torch.ones(2, SIZE)), torch.full((2, SIZE), 3.0))


class Lost(ScopedModule):
    @compile_once
    def forward(self, x: Tensor) -> Tensor:
        return x * get_variable("scale", [], initializer=lambda t: t.fill_(3.0))


def test_a_layer_that_takes_the_place_of_another_is_used() -> None:
    def block(x: Tensor) -> Tensor:
        return get_module("linear", nn.Linear, SIZE, SIZE)(x)

    model, x = stack(compile_once(block, backend="eager"), 2), torch.ones(2, SIZE)
    model(x)
    model.set_submodule("variables.layer_1/linear", nn.Sequential(nn.Linear(SIZE, SIZE), nn.Flatten(0)))
    assert model(x).shape == (2 * SIZE,)


def test_settings_of_the_scope_around_are_those_of_the_block() -> None:
    def block(x: Tensor) -> Tensor:
        weights = get_variable("w", [SIZE])
        regularizer = get_variable_scope().regularizer
        assert regularizer is not None
        found = regularizer(weights)
        assert found is not None
        return x * found

    def forward(x: Tensor) -> Tensor:
        with variable_scope("a", regularizer=lambda w: w.square().sum(), initializer=nn.init.ones_, dtype=x.dtype):
            return run(x)

    run: Block = block
    x = torch.ones(2, SIZE)
    model = ScopedModule(forward).build(x)
    run = compile_once(block, backend="eager", fullgraph=True)
    assert torch.equal(model(x), torch.full((2, SIZE), 4.0))


def test_a_scope_object_does_not_leave_the_block() -> None:
    kept: list[Any] = []

    def block(x: Tensor) -> Tensor:
        with variable_scope("up") as scope:
            kept.append(scope)
            return x * get_variable("w", [SIZE])

    def forward(x: Tensor) -> Tensor:
        with variable_scope("up"):
            get_variable("w", [SIZE])
        with variable_scope("a"):
            x = run(x)
        with variable_scope(kept[-1], reuse=True):
            return x * get_variable("w")

    run: Block = block
    model = ScopedModule(forward).build(torch.ones(2, SIZE))
    run = compile_once(block, backend="eager")
    with pytest.raises(TracingError, match="Outside of the block, the path of a scope object"):
        model(torch.ones(2, SIZE))
    assert repr(kept[-1]) == "<VariableScope 'up' reuse=False>"


def test_a_call_does_not_complete_after_a_block_that_failed() -> None:
    def block(x: Tensor) -> Tensor:
        y = x * get_variable("w", [SIZE])
        if fails:
            raise ZeroDivisionError
        return y

    def forward(x: Tensor) -> Tensor:
        with variable_scope("a"):
            try:
                return run(x)
            except ZeroDivisionError:
                return x

    fails, run = False, compile_once(block, backend="eager")
    model = ScopedModule(forward).build(torch.ones(2, SIZE))
    fails = True
    with pytest.raises(TracingError, match="raised an exception in 'a'"):
        model(torch.ones(2, SIZE))
    fails = False
    model(torch.ones(2, SIZE))


def test_a_layer_that_was_got_before_is_got() -> None:
    def block(x: Tensor) -> Tensor:
        return get_module("norm", nn.LayerNorm, SIZE)(x)

    def forward(x: Tensor) -> Tensor:
        with variable_scope("a"):
            return run(run(x)) if twice else run(x)

    twice, run = False, compile_once(block, backend="eager")
    model = ScopedModule(forward).build(torch.ones(2, SIZE))
    twice = True
    with pytest.raises(VariableExistsError, match="'norm'"):
        model(torch.ones(2, SIZE))


def test_an_error_that_is_handled_outside_is_not_taken_for_the_blocks() -> None:
    def block(x: Tensor) -> Tensor:
        if fails:
            raise ZeroDivisionError("mine")
        return x

    def forward(x: Tensor) -> Tensor:
        try:
            raise TracingError("another")
        except TracingError:
            return run(x)

    fails, run = False, compile_once(block, backend="eager")
    model = ScopedModule(forward).build(torch.ones(2, SIZE))
    fails = True
    with pytest.raises(ZeroDivisionError, match="mine"):
        model(torch.ones(2, SIZE))


@compile_once
def decorated(x: Tensor) -> Tensor:
    return get_module("linear", lambda: nn.Linear(SIZE, SIZE))(x)


def test_a_decorated_function_is_pickled_by_its_name_and_its_layers_can_be_reset_after_a_call() -> None:
    model = pickle.loads(pickle.dumps(ScopedModule(decorated, seed=0).build(torch.ones(2, SIZE))))
    assert model.fn is decorated
    model(torch.ones(2, SIZE))
    model.reset_parameters()


def test_a_name_scope_around_a_block_does_not_keep_it_from_default_names() -> None:
    def forward(x: Tensor) -> Tensor:
        with variable_scope("a"), name_scope("scores"), name_scope("more"):
            return run(x)

    x, run = torch.ones(2, SIZE), compile_once(default_named, backend="eager")
    model = ScopedModule(forward).build(x)
    assert list(model.variables) == ["a/dense/kernel", "a/dense/bias"]
    model(x)


def test_a_block_behind_the_compiler_in_a_block_knows_what_was_opened_before() -> None:
    def forward(x: Tensor) -> Tensor:
        with variable_scope("a", reuse=AUTO_REUSE):
            return outer(outer(x))

    inner = compile_once(default_named, backend="eager")
    off: Any = torch._dynamo.disable(lambda x: inner(x))
    outer = compile_once(lambda x: off(x), backend="eager")
    model = ScopedModule(forward).build(torch.ones(2, SIZE))
    assert "a/dense_1/bias" in model.variables
    with pytest.raises(TracingError, match="default name"):
        model(torch.ones(2, SIZE))


def test_tensors_that_take_the_place_of_others_are_used() -> None:
    model = stack(compile_once(dense, backend="eager"), 2)
    eager = stack(dense, 2)
    x = torch.ones(2, SIZE)
    model(x)
    other = {name: torch.randn_like(value) for name, value in model.state_dict().items()}
    torch.testing.assert_close(functional_call(model, other, (x,)), functional_call(eager, other, (x,)))
    torch.testing.assert_close(model(x), eager(x))
    model.load_state_dict(other), eager.load_state_dict(other)
    torch.testing.assert_close(model(x), eager(x))
    torch.testing.assert_close(model.double()(x.double()), eager.double()(x.double()))
    for one in (model, eager):
        with one.building():
            one.fn, kept = (lambda x: get_variable("more", [3])), one.fn
            one(x)
            one.fn = kept
    torch.testing.assert_close(model(x.double()), eager(x.double()))


def test_a_checkpointed_block_is_recomputed_in_its_scope() -> None:
    def grads(block: Block) -> list[Tensor | None]:
        def forward(x: Tensor) -> Tensor:
            for layer in range(2):
                with variable_scope(f"layer_{layer}"):
                    x = checkpoint(block, x, use_reentrant=False)
            return x

        model = ScopedModule(forward, seed=0).build(torch.ones(2, SIZE))
        torch.manual_seed(0)
        model(torch.ones(2, SIZE)).sum().backward()
        return [p.grad for p in model.parameters()]

    for one, other in zip(grads(compile_once(rich, backend="aot_eager")), grads(rich), strict=True):
        torch.testing.assert_close(one, other)


def test_inside_a_model_that_is_compiled_as_a_whole_it_is_a_part_of_that() -> None:
    counter = CompileCounterWithBackend("eager")
    model = stack(compile_once(dense, backend="inductor"), 3)
    x = torch.ones(2, SIZE)
    torch.testing.assert_close(torch.compile(model, backend=counter, fullgraph=True)(x), model(x))
    assert counter.frame_count == 1


def test_where_a_getter_is_in_force_it_runs_as_it_is_and_says_so() -> None:
    def doubled(getter: Callable[..., Tensor], *args: object, **kwargs: object) -> Tensor:
        return getter(*args, **kwargs) * 2

    def forward(x: Tensor) -> Tensor:
        with variable_scope("a", custom_getter=doubled):
            return block(x)

    x, block = torch.ones(2, SIZE), dense
    model = ScopedModule(forward).build(x)
    expected = model(x)
    block = compile_once(dense, backend="eager")
    with pytest.warns(UserWarning, match="does not compile in 'a': a custom getter"):
        assert torch.equal(model(x), expected)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model(x)


def test_in_a_block_of_as_default_it_may_create() -> None:
    model = ScopedModule()
    with model.as_default():
        compile_once(dense, backend="eager")(torch.ones(2, SIZE))
    assert list(model.variables) == ["kernel", "bias"]


def test_outside_of_a_module_and_for_what_is_no_function_it_says_so() -> None:
    with pytest.raises(NoActiveModuleError):
        compile_once(dense, backend="eager")(torch.ones(2, SIZE))
    with pytest.raises(ArgumentTypeError, match="function"):
        compile_once(3)  # type: ignore[call-overload]


def nested(block: Block) -> tuple[ScopedModule, Tensor]:
    """A model whose block is a region that torch compiles once, inside the model; and its input."""
    return stack(torch.compiler.nested_compile_region(block), 4), torch.randn(2, SIZE)


def default_named(x: Tensor) -> Tensor:
    with variable_scope(None, "dense"):
        return dense(x)


@pytest.mark.parametrize("block", [dense, default_named])
def test_a_nested_region_of_torch_gives_the_numbers_of_eager_code(block: Block) -> None:
    model, x = nested(block)
    results = []
    for run in (model, torch.compile(model, fullgraph=True)):
        model.zero_grad()
        y = run(x)
        y.sum().backward()
        results.append((y, [p.grad for p in model.parameters()]))
    torch.testing.assert_close(results[0], results[1])


def test_in_a_nested_region_of_torch_the_name_of_a_scope_is_refused() -> None:
    """Torch computes the gradient of one branch for all scopes, also if a number that is no scope's decides."""

    def block(x: Tensor) -> Tensor:
        return dense(x) * (2 if get_variable_scope().name == "layer_2" else 1)

    model, x = nested(block)
    with pytest.raises(Exception, match="The name of a scope is not known in a block that is compiled once"):
        torch.compile(model, backend="aot_eager", fullgraph=True)(x)
