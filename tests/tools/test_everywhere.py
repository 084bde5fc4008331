"""The tools on every model of the matrix, and under FSDP2: they tell the truth of it and leave it as it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from tests.models.pairs import CHECKPOINTED, DEEP, PAIRS, SHALLOWER, Pair
from tests.models.test_matrix import gradients, loss_of, outputs
from tests.releases import limits
from torchscope import ScopedModule, layers, variable_scope
from torchscope.tools import capture, ema, lora, weight_norm

SCOPED = [SHALLOWER if pair is DEEP else pair for pair in PAIRS if isinstance(pair.scoped(), ScopedModule)]
pytestmark = pytest.mark.no_cover  # coverage would find nothing that the other tests of the tools do not run
models = pytest.mark.parametrize("pair", SCOPED, ids=lambda pair: pair.name)


def made(pair: Pair) -> tuple[Any, tuple[Tensor, ...]]:
    scoped, _, x = pair.make()
    return scoped, x


def values(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@models
def test_a_summary_counts_what_there_is_and_changes_nothing(pair: Pair) -> None:
    model, x = made(pair)
    before = values(model)
    found = model.summary(*x)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert found.parameters == sum(p.numel() for p in model.parameters())
    assert found.tree.bytes == sum(t.numel() * t.itemsize for t in {*model.parameters(), *model.buffers()})
    assert found.tree.outputs == tuple(tuple(each.shape) for each in outputs(model, x))
    assert max(map(len, str(found).splitlines())) <= 100


@models
def test_a_plan_is_the_summary_of_what_is_built(pair: Pair) -> None:
    model: Any = pair.scoped()
    plan = model.plan(*pair.inputs())
    assert not model.built
    with torch.no_grad():
        model(*pair.inputs())
    assert plan.to_dict() == model.summary(*pair.inputs()).to_dict()


@models
def test_a_selection_of_everything_is_everything(pair: Pair) -> None:
    model, _ = made(pair)
    chosen = model.select("**")
    assert {id(p) for p in chosen.parameters()} == {id(p) for p in model.parameters()}
    assert set(chosen.state_dict()) == set(model.state_dict())
    assert all(list(model.select(path)) == [path] for path in chosen)


@models
def test_groups_train_as_the_parameters_do(pair: Pair) -> None:
    (model, x), (twin, _) = made(pair), made(pair)
    twin.load_state_dict(model.state_dict())
    for each, given in ((model, model.param_groups({"**": {}})), (twin, twin.parameters())):
        optimizer = torch.optim.AdamW(given, lr=0.01)
        gradients(each, loss_of(each, x))
        optimizer.step()
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(tensor, twin.state_dict()[name], msg=name)


@models
def test_a_capture_changes_no_value_and_no_gradient(pair: Pair) -> None:
    (model, x), (twin, _) = made(pair), made(pair)
    twin.load_state_dict(model.state_dict())
    with capture("**", operations=True) as got:
        loss = loss_of(model, x)
        found = gradients(model, loss)
    assert got
    expected_loss = loss_of(twin, x)
    torch.testing.assert_close(loss, expected_loss)
    for name, gradient in gradients(twin, expected_loss).items():
        torch.testing.assert_close(found[name], gradient, msg=name)


@models
@pytest.mark.parametrize("make", [lambda: lora(2), weight_norm, lambda: ema(0.5)], ids=["lora", "weight_norm", "ema"])
def test_what_is_applied_changes_nothing_at_first_and_trains(pair: Pair, make: Any) -> None:
    model, x = made(pair)
    before = [each.detach() for each in outputs(model.eval(), x)]
    getter = make()
    getter.apply(model, "**")
    for now, then in zip(outputs(model, x), before, strict=True):
        torch.testing.assert_close(now, then, rtol=1e-4, atol=1e-5)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.1)
    model.train()
    loss_of(model, x).backward()
    optimizer.step()
    assert any(p.grad is not None and bool(p.grad.any()) for p in trained)
    without_exit_stack = pair is SHALLOWER and limits.VERSION < (2, 11)  # Dynamo traces no contextlib.ExitStack there
    if pair is not CHECKPOINTED and isinstance(getter, lora) and not without_exit_stack:
        torch._dynamo.reset()
        model.eval()
        compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
        for now, then in zip(outputs(compiled, x), outputs(model, x), strict=True):
            torch.testing.assert_close(now, then, rtol=1e-4, atol=1e-5)


@pytest.fixture
def alone(tmp_path: Any) -> Iterator[None]:
    """A process group of this process."""
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)  # type: ignore[attr-defined]
    torch.distributed.init_process_group("gloo", rank=0, world_size=1, store=store)
    yield
    torch.distributed.destroy_process_group()


def network(x: Tensor) -> Tensor:
    with variable_scope("body"):
        x = layers.dense(x, 8).relu()
    return layers.dense(x, 2, scope="head")


@pytest.mark.usefixtures("alone")
def test_under_fsdp2_the_tools_see_the_whole_and_the_part() -> None:
    x = torch.randn(3, 4)
    plain, sharded = (ScopedModule(network, seed=1).build(x) for _ in range(2))
    mesh = init_device_mesh("cpu", (1,))
    fully_shard(sharded, mesh=mesh)
    assert isinstance(sharded.variables["head/kernel"], DTensor)
    sharded.select("body").freeze()
    optimizer = torch.optim.AdamW(sharded.param_groups({"head": {}}), lr=0.1)
    summary = sharded.summary(x)
    assert summary.parameters == plain.summary().parameters
    assert summary.tree.local_bytes == summary.tree.bytes
    assert isinstance(sharded.variables["head/kernel"], DTensor), "the call of the summary left nothing"
    with capture("body/dense") as got:
        y = sharded(x)
    torch.testing.assert_close(y, plain(x))
    assert got["body/dense"].shape == (3, 8)
    sharded(x).sum().backward()
    optimizer.step()
    assert torch.equal(sharded.variables["body/dense/kernel"].full_tensor(), plain.variables["body/dense/kernel"])
    assert not torch.equal(sharded.variables["head/kernel"].full_tensor(), plain.variables["head/kernel"])


@pytest.mark.usefixtures("alone")
def test_under_fsdp2_averages_are_of_the_parts() -> None:
    x = torch.randn(3, 4)
    model, plain = (ScopedModule(network, seed=1).build(x) for _ in range(2))
    fully_shard(model, mesh=init_device_mesh("cpu", (1,)))
    average, other = ema(0.5), ema(0.5)
    average.apply(model, "**")
    other.apply(plain, "**")
    for each, its in ((model, average), (plain, other)):
        optimizer = torch.optim.SGD(each.parameters(), lr=0.1)
        each(x).square().sum().backward()
        optimizer.step()
        its.update(each)
    with average.applied(model), other.applied(plain):
        torch.testing.assert_close(model(x), plain(x))
