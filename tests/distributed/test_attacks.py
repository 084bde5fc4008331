"""What went wrong without a word, or with one that did not help, when others tried."""

from __future__ import annotations

import copy
import dataclasses
import functools
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import get_model_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Replicate, Shard

from tests.distributed.models import whole
from tests.distributed.processes import assert_passed, mesh_of, refused
from torchscope import ScopedModule, get_module, get_variable, tools, variable_scope
from torchscope.checkpoint import load_checkpoint
from torchscope.distributed import Traffic, fully_shard_scopes, shard
from torchscope.errors import ArgumentTypeError, VariableNotFoundError
from torchscope.tools import layer

pytestmark = pytest.mark.no_cover
X = torch.arange(12.0).reshape(3, 4) / 12


def mlp(x: Tensor) -> Tensor:
    with variable_scope("mlp"):
        return torch.relu(x @ get_variable("up", [4, 6])) @ get_variable("down", [6, 4])


RULES: dict[Any, Any] = {"mlp/up": Shard(1), "mlp/down": Shard(0)}


@layer
def unit(x: Tensor, scope: str | None = None, function: str = "") -> Tensor:
    return torch.tanh(x @ get_variable("w", [4, 4], constraint=lambda w: w * 0.5)) if function != "none" else x


def units(x: Tensor) -> Tensor:
    return unit(unit(x, scope="h0"), scope="h1", function="named so") @ get_variable("out", [4, 2])


def by_fsdp(**options: Any) -> ScopedModule:
    return fully_shard_scopes(ScopedModule(units, seed=0).build(X), "h*", mesh=mesh_of(dp=2), **options)


def a_state_dict_while_parameters_are_gathered(folder: Path) -> None:
    """1: what was saved had no memory."""
    expected = ScopedModule(units, seed=0).build(X).state_dict()
    for options in ({}, {"reshard_after_forward": False}):
        model = by_fsdp(**options)
        with torch.no_grad():
            model(X)
        for state in (model.state_dict(), get_model_state_dict(model)):
            for key, tensor in expected.items():
                assert isinstance(state[key], DTensor), key
                assert torch.equal(whole(state[key]), tensor), key


def what_is_written_after_an_evaluation(folder: Path) -> None:
    """2: it went into gathered parameters, and was lost."""
    if dist.get_rank() == 0:
        state = ScopedModule(units).build(X).variables
        save_file({path: torch.ones_like(tensor) for path, tensor in state.items()}, folder / "ones.safetensors")
    dist.barrier()
    ones = {
        f"variables.{path}": torch.ones_like(t) for path, t in ScopedModule(units, seed=0).build(X).variables.items()
    }

    def reset(model: ScopedModule) -> None:
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.zero_()
        with torch.no_grad():
            model(X)
        model.reset_parameters()

    ways: dict[str, tuple[Callable[[ScopedModule], object], Callable[[Tensor, str], Tensor]]] = {
        "load_checkpoint": (
            lambda m: load_checkpoint(m, folder / "ones.safetensors", layout="same"),
            lambda t, p: t * 0 + 1,
        ),
        "load_state_dict": (lambda m: m.load_state_dict(ones), lambda t, p: t * 0 + 1),
        "reset_parameters": (reset, lambda t, p: t),
        "apply_constraints": (lambda m: m.apply_constraints(), lambda t, p: t if p == "out" else t * 0.5),
    }
    for options in ({}, {"reshard_after_forward": False}):
        for name, (change, wanted) in ways.items():
            model, expected = by_fsdp(**options), ScopedModule(units, seed=0).build(X)
            with torch.no_grad():
                model(X)
            change(model)
            model(X).sum().backward()
            for path, tensor in expected.variables.items():
                found = whole(model.state_dict()[f"variables.{path}"])
                torch.testing.assert_close(found, wanted(tensor.detach(), path), msg=f"{name}, {path}")


def random_generators_stay_alike(folder: Path) -> None:
    """3: a seed was drawn on one process alone."""
    torch.manual_seed(0)
    shard(ScopedModule(mlp), mesh_of(tp=2), RULES).build(X)
    draws = [torch.empty(4) for _ in range(2)]
    dist.all_gather(draws, torch.rand(4))
    assert torch.equal(*draws)


def a_reset_of_an_unseeded_module(folder: Path) -> None:
    """5: each process filled replicated variables with numbers of its own."""
    model = shard(ScopedModule(mlp).build(X), mesh_of(tp=2))
    torch.manual_seed(dist.get_rank() + 5)
    model.reset_parameters()
    both = [torch.empty(4, 6) for _ in range(2)]
    dist.all_gather(both, model.variables["mlp/up"].to_local())
    assert torch.equal(*both)


def parts_of_a_batch(folder: Path) -> None:
    """6 and 7: parts that are not equal, and parts in objects, gave a wrong loss."""
    model = shard(ScopedModule(mlp, seed=0), mesh_of(dp=2), inputs={"dp": Shard(0)}).build(X)
    mine = torch.ones(3 - dist.get_rank(), 4)
    refused(lambda: model(mine), "Processes have parts of different sizes, .*3.*2.*Drop or fill up the last batch")

    @dataclasses.dataclass
    class Batch:
        x: Tensor

    inside = shard(ScopedModule(lambda b: mlp(b.x), seed=0), mesh_of(dp=2), inputs={"dp": Shard(0)})
    refused(lambda: inside.build(Batch(X)), "Its tensors cannot be taken for parts of a whole", ArgumentTypeError)
    wrong = shard(ScopedModule(mlp, seed=0), mesh_of(dp=2), inputs={"dp": Shard(3)})
    refused(lambda: wrong.build(X), r"'an input' has the shape \(3, 4\): an axis from 0 to 1")


def other_inputs_or_words_on_each_process(folder: Path) -> None:
    """Each process had its part of the batch, as under DDP; or was told something else."""
    rank, mesh = dist.get_rank(), mesh_of(tp=2)
    model = shard(ScopedModule(mlp, seed=0), mesh, RULES).build(X)
    refused(lambda: model(X + rank), r"Along \['tp'\] all processes have to call the module with the same tensors")
    refused(
        lambda: shard(ScopedModule(mlp, seed=rank), mesh, RULES), r"seed=\[\d\] is not allowed here.*another one on"
    )
    rules = RULES if rank == 0 else {"**": Replicate()}
    refused(lambda: shard(ScopedModule(mlp, seed=0), mesh, rules), "rules=.*another one on another process")
    torch.manual_seed(rank)
    other = shard(ScopedModule(mlp, seed=0), mesh, RULES).build(X)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        other(X)
    assert any("random generators differ between processes" in str(each.message) for each in caught)


def layers_start_apart(folder: Path) -> None:
    """9: layers of get_module, and what comes late in a variable, were not looked at."""

    def late(tensor: Tensor) -> None:
        tensor.zero_()[-1] = dist.get_rank()

    torch.manual_seed(dist.get_rank())
    for forward in (
        lambda x: get_module("dense", nn.Linear, 4, 4)(x),
        lambda x: x.sum() * get_variable("w", [100], initializer=late),
    ):
        model = ScopedModule(forward)
        if dist.get_rank() == 0:
            model.build(X)
        dist.barrier()
        if dist.get_rank() == 1:
            refused(lambda model=model: model.build(X), "would start .* from other numbers")  # type: ignore[misc]
        dist.barrier()


def meshes_beside_one_another(folder: Path) -> None:
    """9: each tensor-parallel group drew a seed of its own."""
    mesh = mesh_of(dp=2, tp=2)
    torch.manual_seed(dist.get_rank())
    model = shard(ScopedModule(mlp), mesh["tp"], RULES)
    first = dist.get_rank() < 2
    if first:
        model.build(X)
    dist.barrier()
    if not first:
        refused(lambda: model.build(X), "has no seed, and processes beside this mesh agreed on another one")
    dist.barrier()
    torch.manual_seed(7)
    alike = shard(ScopedModule(mlp), mesh["tp"], RULES).build(X)
    seeds = [torch.zeros((), dtype=torch.int64) for _ in range(4)]
    dist.all_gather(seeds, torch.tensor(alike.variables.seed))
    assert len({int(seed) for seed in seeds}) == 1


def a_variable_that_comes_after_fsdp(folder: Path) -> None:
    """10: nobody reduced its gradient."""
    grown = [False]

    def forward(x: Tensor) -> Tensor:
        x = units(x)
        return x + get_variable("late", [2]) if grown[0] else x

    model = ScopedModule(forward, seed=0).build(X)
    fully_shard_scopes(model, "h*", mesh=mesh_of(dp=2))
    grown[0] = True
    with (
        model.building(),
        pytest.raises(VariableNotFoundError, match="'late' does not exist in .*, which FSDP2 has shard"),
    ):
        model(X)


def plain_values_into_parts(folder: Path) -> None:
    """12: in a thread that had called no such module before, also where an axis is smaller than the mesh."""

    def forward(x: Tensor) -> Tensor:
        layers = get_module("dense", nn.Linear, 4, 4)(x) + get_variable("one", [1, 4])
        return mlp(layers) + get_variable("none", [0, 4]).sum()

    rules: dict[Any, Any] = {**RULES, "dense": Shard(0), "**": Shard(0)}
    expected = ScopedModule(forward, seed=3).build(X)
    state = expected.state_dict()
    import threading

    failed: list[BaseException] = []

    def load() -> None:
        try:
            for model in (unbuilt, built):
                model.load_state_dict(state if model is built else {k: v for k, v in state.items() if "dense" not in k})
                for path, tensor in expected.variables.items():
                    assert torch.equal(whole(model.variables[path]), tensor), path
        except BaseException as error:
            failed.append(error)

    unbuilt = shard(ScopedModule(forward, seed=0), mesh_of(tp=2), rules)
    built = shard(ScopedModule(forward, seed=0), mesh_of(tp=2), rules).build(X)
    thread = threading.Thread(target=load)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    torch.testing.assert_close(built(X), expected(X))


def losses_of_regularizers(folder: Path) -> None:
    """13: a loss outside of a call was a sum still to be made."""

    def forward(x: Tensor) -> Tensor:
        with variable_scope("", regularizer=lambda w: w.square().sum()):
            return units(x)

    def gradients(model: ScopedModule) -> dict[str, Tensor]:
        loss = model(X).sum() + model.regularization_loss()
        loss.backward()
        return {path: whole(tensor.grad) for path, tensor in model.variables.items()}

    expected = gradients(ScopedModule(forward, seed=0).build(X))
    on_mesh = shard(ScopedModule(forward, seed=0), mesh_of(tp=2), {"**/w": Shard(0), "**": Replicate()}).build(X)
    fsdp = fully_shard_scopes(ScopedModule(forward, seed=0).build(X), "h*", mesh=mesh_of(dp=2))
    for model in (on_mesh, fsdp):
        found = gradients(model)
        for path, gradient in expected.items():
            torch.testing.assert_close(found[path], gradient)


def getters_and_values_from_others(folder: Path) -> None:
    """14: a first value that came from another variable."""

    def weight_normed(x: Tensor) -> Tensor:
        with variable_scope("a", custom_getter=tools.weight_norm()):
            return mlp(x)

    def averaged(x: Tensor) -> Tensor:
        with variable_scope("a", custom_getter=tools.ema(0.9)):
            return mlp(x)

    def from_another(x: Tensor) -> Tensor:
        first = get_variable("first", [4])
        return x * first + get_variable("second", initializer=first.detach() * 2)

    for forward in (weight_normed, averaged, from_another):
        expected = ScopedModule(forward, seed=0).build(X)
        model = shard(ScopedModule(forward, seed=0), mesh_of(tp=2), {"**": Shard(0)}).build(X)
        torch.testing.assert_close(model(X), expected(X))
        model.reset_parameters()
        for path, tensor in expected.variables.items():
            torch.testing.assert_close(whole(model.variables[path]), tensor, msg=path)


def rules_that_were_wrong(folder: Path) -> None:
    """15: they could not be given again."""
    model = shard(ScopedModule(mlp, seed=0), mesh_of(tp=2), {"mlp/upp": Shard(0), "**": Replicate()})
    refused(lambda: model.build(X), "selects none")
    shard(model, mesh_of(tp=2), RULES).build(X)
    torch.testing.assert_close(model(X), ScopedModule(mlp, seed=0).build(X)(X))


def what_fsdp2_would_fail_at(folder: Path) -> None:
    """16: half of it was sharded by then."""
    mesh = mesh_of(dp=1, tp=2)

    def forward(x: Tensor) -> Tensor:
        return units(x) * get_variable("scale", [])

    model = ScopedModule(forward, seed=0).build(X)
    refused(lambda: fully_shard_scopes(model, "h*", mesh=mesh["tp"]), "FSDP2 does not shard 'scale', which has no axis")
    assert not any(isinstance(parameter, DTensor) for parameter in model.parameters())
    laid_out = shard(ScopedModule(units, seed=0), mesh["tp"]).build(X)
    refused(lambda: fully_shard_scopes(laid_out, "h*"), r"is laid out over \['tp'\]. Give another dimension")
    refused(lambda: fully_shard_scopes(laid_out, "h*", mesh=mesh), "Give another dimension of the same mesh")
    anything: Any = fully_shard_scopes
    refused(lambda: anything(model, "h*", mesh="dp"), "Give a DeviceMesh", ArgumentTypeError)
    assert not model.variables.fsdp_units


def copies_reduce_their_gradients_too(folder: Path) -> None:
    """19: a copy or a conversion left them as sums."""
    model = shard(ScopedModule(mlp, seed=0), mesh_of(tp=2), {"mlp/up": Shard(1), "**": Replicate()}).build(X)
    for other, x in ((copy.deepcopy(model), X), (copy.deepcopy(model).double(), X.double())):
        other(x).sum().backward()
        for path, parameter in other.variables.items():
            assert parameter.grad.placements == parameter.placements, path
        nn.utils.clip_grad_value_(other.parameters(), 0.1)


def blocks(folder: Path) -> None:
    """20: a block of as_default() met plain tensors before any call."""
    model = shard(ScopedModule(mlp, seed=0), mesh_of(tp=2), RULES).build(X)
    with model.as_default():
        found = mlp(X)
    torch.testing.assert_close(whole(found), ScopedModule(mlp, seed=0).build(X)(X))


def tables_of_axes(folder: Path) -> None:
    """26 and 27: an entry that no variable has, and no table at all."""

    def forward(x: Tensor) -> Tensor:
        return x @ get_variable("w", [4, 4], axes=("embed", "mlp"))

    anything: Any = shard
    wrong = shard(ScopedModule(forward), mesh_of(tp=2), axes={"mpl": "tp", "mlp": None, "embed": None})
    refused(lambda: wrong.build(X), "'mpl' is not allowed.*No variable .* such an axis. Nearest: mlp")
    for table in ("tp", ["mlp"]):
        no_dict = functools.partial(anything, ScopedModule(forward), mesh_of(tp=2), axes=table)
        refused(no_dict, "Give a dict", ArgumentTypeError)
    unnamed = init_device_mesh("cpu", (2,))
    refused(lambda: shard(ScopedModule(forward), unnamed, axes={"mlp": "tp"}), r"mesh_dim_names=\.\.\.\) names them")
    refused(lambda: anything(mesh_of(tp=2), ScopedModule(forward)), "Give a placement", ArgumentTypeError)


def a_scope_of_a_loaded_module(folder: Path) -> None:
    """30: what a scope says was not asked for what a file gave."""
    mesh = mesh_of(tp=2)

    def forward(x: Tensor) -> Tensor:
        return x @ get_variable("w", [4, 4], partitioner=shard(mesh, Shard(1)))

    state = ScopedModule(forward, seed=1)
    state = {"variables.w": torch.arange(16.0).reshape(4, 4)}  # type: ignore[assignment]
    model = shard(ScopedModule(forward, seed=0), mesh)
    model.load_state_dict(state)  # type: ignore[arg-type]
    model(X)
    assert model.variables["w"].placements == (Shard(1),)
    assert torch.equal(whole(model.variables["w"]), torch.arange(16.0).reshape(4, 4))


def traffic_of_other_collectives(folder: Path) -> None:
    """25: it saw half of them."""
    x = torch.ones(8)
    with Traffic() as traffic:
        dist.all_reduce(x)
        dist.broadcast(x, 0)
        dist.all_gather([torch.empty(8) for _ in range(2)], x)
    assert traffic.received == {"all-reduce": 32, "broadcast": 32, "all-gather": 32}


def dropout_of_a_sum(folder: Path) -> None:
    """torch draws no mask for a sum that is still to be made; the remedy works."""
    from torchscope.distributed import redistribute

    def forward(x: Tensor) -> Tensor:
        return F.dropout(redistribute(mlp(x), {"tp": Replicate()}), 0.5)

    torch.manual_seed(3)
    model = shard(ScopedModule(forward, seed=0), mesh_of(tp=2), RULES).build(X)
    both = [torch.empty(3, 4) for _ in range(2)]
    dist.all_gather(both, model(X).detach())
    assert torch.equal(*both)


CASES = {
    each.__name__.replace("_", " "): (4 if each is meshes_beside_one_another else 2, each)
    for each in (
        plain_values_into_parts,  # first, before anything is called
        a_state_dict_while_parameters_are_gathered,
        what_is_written_after_an_evaluation,
        random_generators_stay_alike,
        a_reset_of_an_unseeded_module,
        parts_of_a_batch,
        other_inputs_or_words_on_each_process,
        layers_start_apart,
        meshes_beside_one_another,
        a_variable_that_comes_after_fsdp,
        losses_of_regularizers,
        getters_and_values_from_others,
        rules_that_were_wrong,
        what_fsdp2_would_fail_at,
        copies_reduce_their_gradients_too,
        blocks,
        tables_of_axes,
        a_scope_of_a_loaded_module,
        traffic_of_other_collectives,
        dropout_of_a_sum,
    )
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_right_or_refused(case: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert_passed(__file__, CASES, case, tmp_path_factory)
