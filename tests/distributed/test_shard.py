"""``shard``: the numbers of the unsharded model, born in parts; rules that do not fit are refused."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard

from tests.distributed import models
from tests.distributed.models import AXES, CUTS_WORDS, RULES, assert_same_start, loss, reference, tokens, train, whole
from tests.distributed.processes import assert_passed, mesh_of, refused
from tests.releases.limits import beyond_torch_before
from torchscope import ScopedModule, get_buffer, get_module, get_variable, variable_scope
from torchscope.distributed import redistribute, shard
from torchscope.errors import ArgumentTypeError, ArgumentValueError

pytestmark = pytest.mark.no_cover


def same_training(model: ScopedModule, run: Callable[[Tensor], Tensor] | None = None) -> None:
    """20 steps of the model give the losses of the unsharded one."""
    expected = reference()
    assert_same_start(model, expected)
    batch = tokens()
    found = train(model if run is None else run, list(model.parameters()), batch)
    assert found == pytest.approx(train(expected, list(expected.parameters()), batch), rel=1e-5)


def parts_of(model: ScopedModule) -> dict[str, tuple[int, ...]]:
    return {path: tuple(tensor.to_local().shape) for path, tensor in model.variables.items()}


def before_building(folder: Path) -> None:
    model = shard(ScopedModule(loss, seed=0), mesh_of(tp=dist.get_world_size()), RULES).build(tokens())
    count = dist.get_world_size()
    found = parts_of(model)
    assert found["h0/mlp/up"] == (8, 32 // count)
    assert found["h0/attention/out"] == (8 // count, 8)
    assert found["words"] == (16 // count if CUTS_WORDS else 16, 8)
    assert found["positions"] == (9, 8)
    same_training(model)


def after_building(folder: Path) -> None:
    model = reference()
    if dist.get_rank() == 1:  # the numbers of the first process are taken
        for parameter in model.parameters():
            parameter.detach().zero_()
    same_training(shard(model, mesh_of(tp=2), RULES))


def by_axes(folder: Path) -> None:
    model = shard(ScopedModule(loss, seed=0), mesh_of(tp=2), axes=AXES).build(tokens())
    assert model.specs["h0/mlp/up"].axes == ("embed", "mlp")
    assert parts_of(model)["h0/mlp/up"] == (8, 16)
    same_training(model)


def rules_before_axes(folder: Path) -> None:
    model = shard(ScopedModule(loss, seed=0), mesh_of(tp=2), {"h0/mlp/up": Replicate()}, axes=AXES).build(tokens())
    assert parts_of(model)["h0/mlp/up"] == (8, 32)
    assert parts_of(model)["h1/mlp/down"] == (16, 8)
    same_training(model)


def by_scope(folder: Path) -> None:
    mesh = mesh_of(tp=2)

    def wide(spec):
        return Shard(1) if spec.path.endswith("up") else Shard(0)

    def forward(x):
        with variable_scope("mlp", partitioner=shard(mesh, wide)):
            up, down = get_variable("up", [4, 8]), get_variable("down", [8, 4])
        return x @ up @ down + get_variable("bias", [4]) + get_variable("row", [4], partitioner=shard(mesh, Shard(0)))

    x = torch.ones(3, 4)
    model = shard(ScopedModule(forward, seed=0), mesh).build(x)
    found = {path: tensor.placements[0] for path, tensor in model.variables.items()}
    assert found == {"mlp/up": Shard(1), "mlp/down": Shard(0), "bias": Replicate(), "row": Shard(0)}
    expected = ScopedModule(lambda x: x @ _get("mlp/up", 4, 8) @ _get("mlp/down", 8, 4) + _rows(), seed=0).build(x)
    torch.testing.assert_close(model(x), expected(x))


def _get(path: str, *shape: int) -> Tensor:
    return get_variable(path, shape)


def _rows() -> Tensor:
    return get_variable("bias", [4]) + get_variable("row", [4])


def a_scope_of_a_module_that_is_not_laid_out(folder: Path) -> None:
    mesh = mesh_of(tp=2)
    model = ScopedModule(lambda: get_variable("w", [4], partitioner=shard(mesh, Shard(0))))
    refused(lambda: model.build(), r"'w' would be laid out over a mesh, .* Call shard\(model, mesh\) first")
    assert not model.specs
    other = shard(ScopedModule(lambda: get_variable("w", [4], partitioner=shard(mesh, Shard(0)))), mesh_of(dp=1, tp=2))
    refused(lambda: other.build(), "'w' is asked for on this mesh, and its module is on")


def compiled(folder: Path) -> None:
    model = shard(ScopedModule(loss, seed=0), mesh_of(tp=2), RULES).build(tokens())
    run = torch.compile(model, backend="aot_eager", fullgraph=True)
    run(tokens()).backward()
    for path, parameter in model.variables.items():
        assert parameter.grad.placements == parameter.placements, path
    same_training(model, run)


def two_dimensions(folder: Path) -> None:
    rules = {pattern: {"tp": how} for pattern, how in RULES.items()}
    model = shard(ScopedModule(loss, seed=0), mesh_of(dp=2, tp=2), rules, inputs={"dp": Shard(0)}).build(tokens())
    expected, batch = reference(), tokens()
    mine = batch.chunk(2)[dist.get_rank() // 2]
    found = train(model, list(model.parameters()), mine)
    assert found == pytest.approx(train(expected, list(expected.parameters()), batch), rel=1e-5)


def sequence_parallel_norms(folder: Path) -> None:
    models.SEQUENCE["tp"] = Shard(1)
    try:
        same_training(shard(ScopedModule(loss, seed=0), mesh_of(tp=2), RULES).build(tokens()))
    finally:
        models.SEQUENCE.clear()


def uneven(folder: Path) -> None:
    def forward(x):
        return torch.tanh(x @ get_variable("up", [4, 5])) @ get_variable("down", [5, 4])

    x = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    model = shard(ScopedModule(forward, seed=0), mesh_of(tp=2), {"up": Shard(1), "down": Shard(0)}).build(x)
    expected = ScopedModule(forward, seed=0).build(x)
    assert parts_of(model)["up"] == ((4, 3) if dist.get_rank() == 0 else (4, 2))
    for run in (model, expected):
        run(x).square().sum().backward()
    torch.testing.assert_close(model(x), expected(x))
    for path in expected.variables:
        torch.testing.assert_close(whole(model.variables[path].grad), expected.variables[path].grad)


def gradients_are_laid_out_as_their_parameters(folder: Path) -> None:
    """Also those that come as sums to be made, of a variable that two places use; and when more are added to them."""
    for model in (
        shard(ScopedModule(loss, seed=0), mesh_of(tp=2), RULES).build(tokens()),
        shard(reference(), mesh_of(tp=2), RULES),
    ):
        expected = reference()
        for _ in range(2):
            model(tokens()).backward()
            expected(tokens()).backward()
        for path, parameter in model.variables.items():
            assert parameter.grad.placements == parameter.placements, path
            torch.testing.assert_close(whole(parameter.grad), expected.variables[path].grad, rtol=1e-4, atol=1e-6)


def gradients_flow_into_the_inputs(folder: Path) -> None:
    def forward(x, mask):
        hidden = torch.tanh(x @ get_variable("up", [4, 6])) * mask  # a plain tensor beside one that is laid out
        return hidden @ get_variable("down", [6, 4]) * torch.arange(4.0)

    mask = torch.tensor([1.0, 0.0, 1.0, 1.0, 0.0, 1.0])
    x, y = (torch.ones(3, 4, requires_grad=True) for _ in range(2))
    model = shard(ScopedModule(forward, seed=0), mesh_of(tp=2), {"up": Shard(1), "down": Shard(0)}).build(x, mask)
    expected = ScopedModule(forward, seed=0).build(y, mask)
    for run, given in ((model, x), (expected, y)):
        run(given, mask).square().sum().backward()
    torch.testing.assert_close(x.grad, y.grad)


def buffers_layers_and_modules_inside(folder: Path) -> None:
    class Inner(ScopedModule):
        def forward(self, x):
            return x @ get_variable("w", [4, 4])

    class Outer(ScopedModule):
        def __init__(self, **options):
            super().__init__(**options)
            self.inner = Inner(**options)

        def forward(self, x):
            x = get_module("dense", nn.Linear, 4, 4)(x)
            return self.inner(x) - get_buffer("mean", [4], initializer=torch.nn.init.ones_)

    x = torch.ones(2, 4)
    rules = {"**/dense.weight": Shard(0), "inner": Shard(1), "mean": Shard(0), "**": Replicate()}
    expected = Outer(seed=0).build(x)
    for model in (
        shard(Outer(seed=0), mesh_of(tp=2), rules).build(x),
        shard(Outer(seed=0).build(x), mesh_of(tp=2), rules),
    ):
        found = {name: getattr(tensor, "placements", None) for name, tensor in model.named_parameters()}
        assert found["inner.variables.w"] == (Shard(1),)
        assert found["variables.dense.weight"] == (Shard(0),)
        assert model.variables["mean"].placements == (Shard(0),)
        assert not isinstance(model.variables["mean"], nn.Parameter)
        torch.testing.assert_close(model(x), expected(x))
        assert list(model.state_dict()) == list(expected.state_dict())


def an_unseeded_module_starts_alike(folder: Path) -> None:
    torch.manual_seed(dist.get_rank())  # each process would draw its own numbers
    model = shard(ScopedModule(loss), mesh_of(tp=2), RULES).build(tokens())
    for path in ("positions", "h0/mlp/up"):
        everywhere = [torch.empty_like(whole(model.variables[path])) for _ in range(2)]
        dist.all_gather(everywhere, whole(model.variables[path]).contiguous())
        assert torch.equal(*everywhere), path
    before = {path: whole(tensor).clone() for path, tensor in model.variables.items()}
    model.reset_parameters()
    assert all(torch.equal(whole(tensor), before[path]) for path, tensor in model.variables.items())


def a_tied_variable(folder: Path) -> None:
    def forward(x):
        return F.embedding(x, get_variable("into", [8, 4])) @ get_variable("out", [8, 4]).mT

    x = torch.tensor([1, 2])
    built = ScopedModule(forward, seed=0).build(x)
    built.tie("out", "into")
    expected = built(x)
    other = copy.deepcopy(built)
    model = shard(built, mesh_of(tp=2), {"**": Shard(0)})
    assert len(list(model.parameters())) == 1
    torch.testing.assert_close(model(x), expected)
    refused(lambda: shard(other, mesh_of(tp=2), {"out": Shard(0), "**": Shard(1)}), "'out' and 'into' are one variable")


def build_laid_out(model: ScopedModule, mesh: DeviceMesh, rules: dict[str, Any]) -> None:
    shard(model, mesh, rules).build(tokens())


def rules_that_do_not_fit(folder: Path) -> None:
    mesh = mesh_of(tp=2)
    plane = mesh_of(dp=1, tp=2)
    model = reference()
    cases = [
        (mesh, {"**/upp": Shard(0), "**": Replicate()}, r"'\*\*/upp'.*selects none of the .*[Nn]earest.*up"),
        (mesh, {"**/up": Shard(2), "**": Replicate()}, r"'h0/mlp/up' has the shape \(8, 32\): an axis from 0 to 1"),
        (mesh, {"**/up": Shard(1)}, r'None of them selects .* Add a last one for the rest, such as "\*\*": Replicate'),
        (mesh, {"**": Replicate(), "**/up": Shard(1)}, r"'\*\*' comes before it and takes .* more special rule first"),
        (
            mesh,
            {"h0/mlp": Shard(0), "**/up": Shard(1), "**": Replicate()},
            "Both select 'h0/mlp/up', for .* and neither is",
        ),
        (mesh, {"**": {"dp": Shard(0)}}, "'dp' is not allowed here.\\sThe mesh has tp of 2"),
        (plane, {"**": Shard(0)}, r"The mesh has dp of 1, tp of 2. Say along which: \{'tp': Shard\(dim=0\)\}"),
        (plane, {"**": (Shard(0),)}, "The mesh has dp of 1, tp of 2. Give one placement for each"),
        (mesh, {"**": Partial()}, r"A variable has its values: use Shard\(axis\) and Replicate\(\)"),
    ]
    for on, rules, message in cases:
        unbuilt = ScopedModule(loss, seed=0)
        refused(functools.partial(shard, model, on, rules), message)
        refused(functools.partial(build_laid_out, unbuilt, on, rules), message)
        assert not unbuilt.variables.specs
    assert not any(isinstance(tensor, DTensor) for tensor in model.variables.values())
    anything: Any = shard
    refused(
        lambda: anything(model, mesh, {"**": "tp"}), "Give a placement of torch.distributed.tensor", ArgumentTypeError
    )
    refused(lambda: shard(model, mesh, {}), "Give a dict of patterns and placements", ArgumentTypeError)
    refused(lambda: anything(model, 2), "Give a DeviceMesh", ArgumentTypeError)
    refused(lambda: anything(nn.Linear(1, 1), mesh), "Give a ScopedModule", ArgumentTypeError)
    shard(model, mesh, RULES)
    refused(lambda: shard(model, mesh, RULES), "are laid out already")


def axes_that_do_not_fit(folder: Path) -> None:
    mesh = mesh_of(tp=2)
    refused(
        lambda: shard(reference(), mesh, axes={**AXES, "mlp": "dp"}), "'dp' is not allowed here.\\sThe mesh has tp of 2"
    )
    less = {name: how for name, how in AXES.items() if name != "mlp"}
    refused(
        lambda: shard(reference(), mesh, axes=less), "'mlp' is not allowed.*an axis of 'h0/mlp/up'.*heads, vocabulary"
    )
    refused(lambda: shard(reference(), mesh, axes={**AXES, "embed": "tp"}), r"Two axes of .* are on 'tp'")
    with pytest.raises(ArgumentValueError, match="give a name, or None, for each of its 2 axes"):
        ScopedModule(lambda: get_variable("w", [2, 3], axes=("a",))).build()
    with pytest.raises(ArgumentTypeError, match="Give a name or None for each axis"):
        ScopedModule(lambda: get_variable("w", [2, 3], axes="ab")).build()


def no_process_has_the_whole(folder: Path) -> None:
    """Of a module that is loaded; and where it is built, one variable at a time is there as a whole."""
    largest = [0]
    real = torch.empty

    def counting(*args, **kwargs):
        made = real(*args, **kwargs)
        largest[0] = max(largest[0], made.numel())
        return made

    def forward():
        for n in range(4):
            get_variable(f"w{n}", [64, 64])

    torch.empty = counting
    try:
        model = shard(ScopedModule(forward, seed=0), mesh_of(tp=2), {"**": Shard(0)}).build()
        assert largest[0] == 64 * 64
        state = model.state_dict()
        largest[0] = 0
        other = shard(ScopedModule(forward, seed=0), mesh_of(tp=2), {"**": Shard(0)})
        other.load_state_dict(state)
        assert largest[0] <= 32 * 64
    finally:
        torch.empty = real
    for path, tensor in model.variables.items():
        assert torch.equal(other.variables[path].to_local(), tensor.to_local())
        assert tensor.to_local().untyped_storage().nbytes() == 32 * 64 * 4


def copies_and_pickles(folder: Path) -> None:
    model = shard(ScopedModule(loss, seed=0), mesh_of(tp=2), RULES)
    built = copy.deepcopy(model).build(tokens())
    assert built.variables["h0/mlp/down"].placements == (Shard(0),)
    with pytest.raises(TypeError, match="A mesh belongs to running processes: save the state_dict"):
        torch.save(built, folder / "model.pt")


def a_function_that_redistributes_runs_anywhere(folder: Path) -> None:
    x = torch.ones(2, 4)
    assert redistribute(x, {"tp": Shard(1)}) is x
    laid = shard(ScopedModule(lambda x: redistribute(x, {"tp": Shard(1)}), seed=0), mesh_of(tp=2)).build(x)
    assert torch.equal(laid(x), x)
    other = shard(ScopedModule(lambda x: redistribute(x, {"dp": Shard(1)}), seed=0), mesh_of(tp=2)).build(x)
    assert torch.equal(other(x), x)  # on a mesh without that dimension too
    wrong = shard(ScopedModule(lambda x: redistribute(x, {"tp": Shard(2)}), seed=0), mesh_of(tp=2))
    refused(lambda: wrong.build(x), r"'x' has the shape \(2, 4\): an axis from 0 to 1")


CASES = {
    "tensor-parallel, sharded before it is built": (2, before_building),
    "tensor-parallel on four": (4, before_building),
    "tensor-parallel, sharded when it is built": (2, after_building),
    "by names of axes": (2, by_axes),
    "rules come before axes": (2, rules_before_axes),
    "by scope, by variable, by a function of the spec": (2, by_scope),
    "a scope of a module that is not laid out is refused": (2, a_scope_of_a_module_that_is_not_laid_out),
    "compiled as one graph": (2, compiled),
    "the batch along one dimension of the mesh, variables along the other": (4, two_dimensions),
    "norms in parts of the sequence": (2, sequence_parallel_norms),
    "axes that do not divide": (2, uneven),
    "gradients are laid out as their parameters": (2, gradients_are_laid_out_as_their_parameters),
    "gradients flow into inputs, past plain tensors": (2, gradients_flow_into_the_inputs),
    "buffers, layers and modules inside": (2, buffers_layers_and_modules_inside),
    "an unseeded module starts alike": (2, an_unseeded_module_starts_alike),
    "a tied variable stays one": (2, a_tied_variable),
    "rules that do not fit are refused, and nothing is changed": (2, rules_that_do_not_fit),
    "axes that do not fit are refused": (2, axes_that_do_not_fit),
    "no process has more than one variable as a whole": (2, no_process_has_the_whole),
    "copies share the mesh, and pickle says why it cannot": (2, copies_and_pickles),
    "redistribute does nothing to plain tensors": (2, a_function_that_redistributes_runs_anywhere),
}


BEYOND = {"norms in parts of the sequence": beyond_torch_before(2, 12, "a product of what is cut along the sequence")}


@pytest.mark.parametrize("case", [pytest.param(case, marks=BEYOND.get(case, ())) for case in CASES])
def test_sharded_variables(case: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert_passed(__file__, CASES, case, tmp_path_factory)
