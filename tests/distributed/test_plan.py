"""``plan`` against what processes hold and receive, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch.distributed.tensor import Replicate, Shard

from tests.distributed.models import AXES, loss, tokens
from tests.distributed.processes import mesh_of, run_on
from torchscope import ScopedModule, get_variable
from torchscope.distributed import Traffic, fully_shard_scopes, plan, shard
from torchscope.errors import ArgumentTypeError, ArgumentValueError

pytestmark = pytest.mark.no_cover
# The mesh, and what plan is told; a process has two texts.
PLANS: dict[str, tuple[dict[str, int], dict[str, Any]]] = {
    "tp": ({"tp": 2}, {"axes": AXES}),
    "fsdp": ({"dp": 2}, {"fsdp": "dp", "scopes": "h*"}),
    "tp of 4": ({"tp": 4}, {"axes": AXES}),
    "both": ({"dp": 2, "tp": 2}, {"axes": AXES, "fsdp": "dp", "scopes": "h*"}),
}


def measured(folder: Path) -> None:
    """What this process holds after a step and receives in the next one, for each plan of so many processes."""
    for name, (sizes, told) in PLANS.items():
        if torch.tensor(list(sizes.values())).prod() != dist.get_world_size():
            continue
        mesh = mesh_of(**sizes)
        model = ScopedModule(loss, seed=0)
        if "axes" in told:
            shard(model, mesh["tp"], axes=told["axes"])
        model.build(tokens(2))
        if "fsdp" in told:
            fully_shard_scopes(model, told["scopes"], mesh=mesh["dp"], reshard_after_forward=None)
        parameters = list(model.parameters())
        optimizer = torch.optim.AdamW(parameters)
        traffic = Traffic()
        for step in range(2):
            optimizer.zero_grad()
            with traffic if step else torch.enable_grad():
                model(tokens(2)).backward()
                optimizer.step()
        local = [getattr(each, "to_local", lambda each=each: each)() for each in parameters]
        held = sum(each.numel() * each.itemsize for each in local)
        state = 0
        for values in optimizer.state.values():
            for each in values.values():
                each = getattr(each, "to_local", lambda each=each: each)()
                state += each.numel() * each.itemsize
        found = {"parameters": held, "optimizer": state, "received": traffic.received}
        (folder / f"{name} of rank {dist.get_rank()}.json").write_text(json.dumps(found))


@pytest.mark.parametrize("count", [2, 4])
def test_a_plan_is_what_processes_hold_and_receive(count: int, tmp_path: Path) -> None:
    told = run_on(count, {"measured": measured}, tmp_path)
    assert not told["measured"], told["measured"]
    found = sorted((tmp_path / "measured").glob("*of rank 0.json"))
    assert len(found) == 2
    for file in found:
        sizes, options = PLANS[file.name.removesuffix(" of rank 0.json")]
        expected = json.loads(file.read_text())
        planned = plan(ScopedModule(loss, seed=0), tokens(2), mesh=sizes, **options)
        assert planned.parameters == planned.gradients == expected["parameters"], file.stem
        assert planned.optimizer == expected["optimizer"], file.stem
        received = {kind: many for kind, many in planned.received.items() if many}
        assert received == pytest.approx(expected["received"], rel=0.02), file.stem


def test_a_plan_leaves_a_module_as_it_is() -> None:
    built, unbuilt = ScopedModule(loss, seed=0).build(tokens()), ScopedModule(loss)
    before = {path: tensor.clone() for path, tensor in built.variables.items()}
    draws = torch.get_rng_state()
    for model in (built, unbuilt):
        plan(model, tokens(), mesh={"tp": 2}, axes=AXES)
        assert model.variables.sharding is None
    assert torch.equal(torch.get_rng_state(), draws)
    assert unbuilt.variables.seed is None
    assert not unbuilt.built
    assert not dist.is_initialized()
    assert all(torch.equal(built.variables[path], tensor) for path, tensor in before.items())
    assert built(tokens()).requires_grad


def test_a_model_that_fits_nowhere_is_planned() -> None:
    """12 blocks of 12,288 by 49,152, in float32: 58 GB, over 64 processes."""

    def forward(x):
        for n in range(12):
            up, down = get_variable(f"h{n}/up", [12288, 49152]), get_variable(f"h{n}/down", [49152, 12288])
            x = x + torch.relu(x @ up) @ down
        return x

    rules = {"**/up": Shard(1), "**/down": Shard(0)}
    planned = plan(ScopedModule(forward), torch.ones(1, 12288), mesh={"dp": 8, "tp": 8}, rules=rules, fsdp="dp")
    assert planned.parameters == 12 * 2 * 12288 * 49152 * 4 // 64
    assert planned.optimizer - 24 * 4 == 2 * planned.parameters
    assert "64 processes, dp 8 x tp 8; each" in str(planned)


def test_what_does_not_fit_is_refused() -> None:
    model: Any = ScopedModule(loss, seed=0)
    with pytest.raises(ArgumentValueError, match="fsdp='dp' is not allowed here.\nThe mesh has tp"):
        plan(model, tokens(), mesh={"tp": 2}, fsdp="dp")
    with pytest.raises(ArgumentTypeError, match="Give a ScopedModule"):
        plan(torch.nn.Linear(1, 1), mesh={"tp": 2})  # type: ignore[arg-type]
    with pytest.raises(ArgumentValueError, match="selects none of the 24 variables"):
        plan(model, tokens(), mesh={"tp": 2}, rules={"nothing": Shard(0), "**": Replicate()})
    with pytest.raises(ArgumentTypeError, match="the sizes of its dimensions by name"):
        plan(model, tokens(), mesh=4)  # type: ignore[arg-type]
    with pytest.raises(ArgumentValueError, match="Its sizes are whole numbers from 1 on"):
        plan(model, tokens(), mesh={"tp": 0})
    assert not dist.is_initialized()


def test_importing_torchscope_imports_no_sharding() -> None:
    program = (
        "import torchscope, sys; print([m for m in sys.modules if 'fsdp' in m or m == 'torch.distributed.tensor'])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    before = subprocess.run(
        [sys.executable, "-c", program.replace("torchscope", "torch")], capture_output=True, text=True, check=True
    )
    assert done.stdout == before.stdout
