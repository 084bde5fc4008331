"""``fully_shard_scopes``: FSDP2 by scope gives the losses of one process, and leaves names as they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import MixedPrecisionPolicy
from torch.distributed.tensor import DTensor, Shard
from torch.nn.parallel import DistributedDataParallel

from tests.distributed.models import RULES, assert_same_start, block, loss, reference, tokens, train, whole
from tests.distributed.processes import assert_passed, mesh_of, refused
from torchscope import ScopedModule, current_module, get_module, get_variable, make_template, variable_scope
from torchscope.distributed import fully_shard_scopes, shard
from torchscope.errors import ArgumentTypeError
from torchscope.recompute import checkpoint
from torchscope.tools import layer

pytestmark = pytest.mark.no_cover


def same_losses(
    model: ScopedModule, mesh: DeviceMesh, run: Callable[[Tensor], Tensor] | None = None, rel: float = 1e-5
) -> None:
    """Twenty steps, each process with its part of the batch, give the losses of one process with all of it."""
    expected = reference()
    batch = tokens()
    mine = batch.chunk(mesh.size())[mesh.get_local_rank()]
    found = torch.tensor(train(model if run is None else run, list(model.parameters()), mine))
    dist.all_reduce(found, group=mesh.get_group())
    wanted = train(expected, list(expected.parameters()), batch)
    assert (found / mesh.size()).tolist() == pytest.approx(wanted, rel=rel)


def by_scope(folder: Path) -> None:
    mesh = mesh_of(dp=dist.get_world_size())
    expected = reference()
    model = fully_shard_scopes(ScopedModule(loss, seed=0).build(tokens()), "h*", mesh=mesh)
    assert_same_start(model, expected)
    for names in ("parameters", "named_parameters", "named_buffers", "state_dict"):
        found, wanted = (list(getattr(each, names)()) for each in (model, expected))
        assert len(found) == len(wanted), names
    assert list(model.state_dict()) == list(expected.state_dict())
    assert len(list(model.named_parameters(remove_duplicate=False))) == len(list(expected.parameters()))
    assert list(model.select("h0/mlp")) == list(expected.select("h0/mlp"))
    same_losses(model, mesh)


def units_are_gathered_one_by_one(folder: Path) -> None:
    mesh = mesh_of(dp=2)
    gathered: list[list[str]] = []

    @layer
    def seen(x, scope=None):
        w = get_variable("w", [4, 4])
        variables = current_module().variables
        gathered.append([path for path, tensor in variables.items() if not isinstance(tensor, DTensor)])
        return x @ w

    def forward(x):
        return seen(seen(x, scope="a"), scope="b") @ get_variable("out", [4, 4])

    x = torch.ones(2, 4)
    model = ScopedModule(forward, seed=0).build(x)
    gathered.clear()
    fully_shard_scopes(model, ["a", "b"], mesh=mesh, reshard_after_forward=True)(x)
    assert gathered == [["a/w", "out"], ["b/w", "out"]]


def on_meta(folder: Path) -> None:
    mesh = mesh_of(dp=2)
    with torch.device("meta"):
        model = ScopedModule(loss, seed=0).build(tokens().to("meta"))
    fully_shard_scopes(model, "h*", mesh=mesh)
    model.to_empty(device="cpu").reset_parameters()
    assert_same_start(model, reference())
    same_losses(model, mesh)


def with_tensor_parallel(folder: Path) -> None:
    mesh = mesh_of(dp=2, tp=2)
    model = shard(ScopedModule(loss, seed=0), mesh["tp"], RULES).build(tokens())
    fully_shard_scopes(model, "h*", mesh=mesh["dp"])
    assert tuple(model.variables["h0/mlp/up"].to_local().shape) == (4, 16)
    assert_same_start(model, reference())
    same_losses(model, mesh["dp"])
    model.load_state_dict(reference().state_dict())  # plain tensors, which all processes have
    assert_same_start(model, reference())


def with_tensor_parallel_on_meta(folder: Path) -> None:
    mesh = mesh_of(dp=2, tp=2)
    with torch.device("meta"):
        model = shard(ScopedModule(loss, seed=0), mesh["tp"], RULES).build(tokens().to("meta"))
    fully_shard_scopes(model, "h*", mesh=mesh["dp"])
    model.to_empty(device="cpu").reset_parameters()
    assert_same_start(model, reference())


def compiled(folder: Path) -> None:
    mesh = mesh_of(dp=2)
    model = fully_shard_scopes(ScopedModule(loss, seed=0).build(tokens()), "h*", mesh=mesh)
    same_losses(model, mesh, torch.compile(model, backend="aot_eager"))


def recomputed(folder: Path) -> None:
    """A unit inside of what is recomputed, and what is recomputed inside of a unit."""

    @layer
    def outer(x, scope=None):
        return checkpoint(block, x, scope="inner", use_reentrant=False)

    def inside(x):
        for n in range(2):
            x = checkpoint(block, x, scope=f"h{n}", use_reentrant=False)
        return x

    def outside(x):
        return outer(outer(x, scope="h0"), scope="h1")

    x = torch.randn(4, 9, 8, generator=torch.Generator().manual_seed(0))
    for forward in (inside, outside):
        model = fully_shard_scopes(ScopedModule(forward, seed=0).build(x), "h*", mesh=mesh_of(dp=2))
        expected = ScopedModule(forward, seed=0).build(x)
        model(x).square().mean().backward()
        expected(x).square().mean().backward()
        for path, tensor in expected.variables.items():
            torch.testing.assert_close(whole(model.variables[path].grad), tensor.grad)


def mixed_precision_and_accumulation(folder: Path) -> None:
    mesh = mesh_of(dp=2)
    policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    model = fully_shard_scopes(ScopedModule(loss, seed=0).build(tokens()), "h*", mesh=mesh, mp_policy=policy)
    same_losses(model, mesh, rel=5e-2)
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())
    batch = tokens()
    model = fully_shard_scopes(ScopedModule(loss, seed=0).build(batch), "h*", mesh=mesh)
    expected = reference()
    for part in batch.chunk(2):
        (expected(part) / 2).backward()
    for last, part in enumerate(batch.chunk(2)):
        model.set_requires_gradient_sync(bool(last))  # type: ignore[operator]  # of FSDP2's modules
        (model(part) / 2).backward()
    for path, tensor in expected.variables.items():
        torch.testing.assert_close(whole(model.variables[path].grad), tensor.grad, rtol=1e-4, atol=1e-6)


def templates_decorated_functions_and_layers(folder: Path) -> None:
    @variable_scope("decorated")
    def decorated(x):
        return x @ get_variable("w", [4, 4])

    def inner(x):
        return x @ get_variable("w", [4, 4])

    class Child(ScopedModule):
        def forward(self, x):
            return x @ get_variable("w", [4, 4])

    class Model(ScopedModule):
        def __init__(self, **options):
            super().__init__(**options)
            self.child = Child(**options)

        def forward(self, x):
            template = make_template("template", inner)
            x = template(template(decorated(x)))  # used twice
            child: Any = dict(self.named_children())["child"]
            return child(get_module("dense", nn.Linear, 4, 4)(x))

    x = torch.ones(2, 4)
    model, expected = Model(seed=0).build(x), Model(seed=0).build(x)
    fully_shard_scopes(model, ["decorated", "template", "dense"], mesh=mesh_of(dp=2))
    torch.testing.assert_close(model(x), expected(x))
    model(x).sum().backward()
    expected(x).sum().backward()
    grads = {name: parameter.grad for name, parameter in expected.named_parameters()}
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(whole(parameter.grad), grads[name])


def units_inside_of_units(folder: Path) -> None:
    @layer
    def inner(x, scope=None):
        return x @ get_variable("w", [4, 4])

    @layer
    def outer(x, scope=None):
        return inner(x, scope="inner") + get_variable("bias", [4])

    def forward(x):
        return outer(x, scope="o0") + outer(x, scope="o1")

    x = torch.ones(2, 4)
    model = ScopedModule(forward, seed=0).build(x)
    expected = model(x).detach()
    fully_shard_scopes(model, ["o*", "o*/inner"], mesh=mesh_of(dp=2))
    assert set(model.variables.fsdp_units) == {"o0", "o1", "o0/inner", "o1/inner"}
    torch.testing.assert_close(model(x), expected)


def refusals(folder: Path) -> None:
    mesh = mesh_of(dp=2)

    def forward(x):
        with variable_scope("h0"):
            return x @ get_variable("w", [4, 4])

    x = torch.ones(2, 4)
    model = ScopedModule(forward, seed=0)
    refused(lambda: fully_shard_scopes(model, "h0", mesh=mesh), "build the model first, on the meta device")
    model.build(x)
    refused(
        lambda: fully_shard_scopes(model, "h0", mesh=mesh),
        "No function opens 'h0'.*@torchscope.tools.layer.*scope='h0'",
    )
    refused(lambda: fully_shard_scopes(model, "g*", mesh=mesh), r"'g\*'.*selects none of the 1 scopes of ScopedModule")
    assert not any(isinstance(parameter, DTensor) for parameter in model.parameters())
    with pytest.raises(ArgumentTypeError, match="Give a ScopedModule"):
        fully_shard_scopes(nn.Linear(1, 1), "a")  # type: ignore[type-var]
    other = fully_shard_scopes(ScopedModule(loss, seed=0).build(tokens()), "h*", mesh=mesh)
    refused(lambda: fully_shard_scopes(other, "h*", mesh=mesh), "FSDP2 has it already. Name all units in one call")
    refused(lambda: shard(other, mesh, {"**": Shard(0)}), "laid out already: shard a module once, and before FSDP2")


def a_shared_variable_is_reduced_once(folder: Path) -> None:
    """Under DDP too, whose hooks count each parameter."""
    batch = tokens()
    mine = batch.chunk(2)[dist.get_rank()]
    expected = reference()
    expected(batch).backward()
    wrapped = DistributedDataParallel(ScopedModule(loss, seed=0).build(batch))
    wrapped(mine).backward()
    fsdp = fully_shard_scopes(ScopedModule(loss, seed=0).build(batch), "h*", mesh=mesh_of(dp=2))
    fsdp(mine).backward()
    for model in (wrapped.module, fsdp):
        torch.testing.assert_close(whole(model.variables["words"].grad), expected.variables["words"].grad)


CASES = {
    "by scope, the losses and names of one process": (2, by_scope),
    "on four": (4, by_scope),
    "a unit is gathered while it runs": (2, units_are_gathered_one_by_one),
    "built on meta": (2, on_meta),
    "with tensor parallel": (4, with_tensor_parallel),
    "with tensor parallel, built on meta": (4, with_tensor_parallel_on_meta),
    "compiled": (2, compiled),
    "recomputed": (2, recomputed),
    "mixed precision, accumulated gradients": (2, mixed_precision_and_accumulation),
    "templates, decorated functions, layers of get_module": (2, templates_decorated_functions_and_layers),
    "units inside of units": (2, units_inside_of_units),
    "what cannot be a unit is refused": (2, refusals),
    "a shared variable is reduced once": (2, a_shared_variable_is_reduced_once),
}


@pytest.mark.parametrize("case", CASES)
def test_units_of_fsdp2(case: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert_passed(__file__, CASES, case, tmp_path_factory)
