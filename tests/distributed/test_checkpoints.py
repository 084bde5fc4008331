"""Checkpoints over processes: saved on some, loaded on others; foreign ones read in parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.distributed.checkpoint import state_dict_loader, state_dict_saver
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.tensor import Replicate, Shard
from torch.nn.parallel import DistributedDataParallel

from tests.distributed.models import RULES, loss, reference, tokens, whole
from tests.distributed.processes import assert_passed, mesh_of, run_on
from torchscope import ScopedModule, get_variable, variable_scope
from torchscope.checkpoint import load_checkpoint
from torchscope.distributed import fully_shard_scopes, shard

pytestmark = pytest.mark.no_cover


def as_tensor_parallel() -> ScopedModule:
    return shard(ScopedModule(loss, seed=0), mesh_of(tp=dist.get_world_size()), RULES).build(tokens())


def as_fsdp() -> ScopedModule:
    return fully_shard_scopes(ScopedModule(loss, seed=0).build(tokens()), "h*", mesh=mesh_of(dp=dist.get_world_size()))


def as_both() -> ScopedModule:
    mesh = mesh_of(dp=dist.get_world_size() // 2, tp=2)
    model = shard(ScopedModule(loss, seed=0), mesh["tp"], RULES).build(tokens())
    return fully_shard_scopes(model, "h*", mesh=mesh["dp"])


def as_one() -> ScopedModule:
    return ScopedModule(loss, seed=0).build(tokens())


KINDS = {each.__name__: each for each in (as_one, as_tensor_parallel, as_fsdp, as_both)}


def step(model: nn.Module, optimizer: torch.optim.Optimizer) -> float:
    optimizer.zero_grad()
    value = model(tokens())  # all have the same batch
    value.backward()
    optimizer.step()
    return float(value.detach())


def saved(folder: Path) -> None:
    """After two steps, of each kind of module; also without waiting."""
    for kind in ("as_tensor_parallel", "as_fsdp", "as_both"):
        model = KINDS[kind]()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        for _ in range(2):
            step(model, optimizer)
        weights, state = get_state_dict(model, optimizer)
        assert set(weights) == set(reference().state_dict())
        for how in ("waiting", "async"):
            place = folder.parent / "shared" / f"{kind} {how}"
            if how == "waiting":
                state_dict_saver.save({"model": weights, "optimizer": state}, checkpoint_id=place)
            else:
                done: Any = state_dict_saver.async_save({"model": weights, "optimizer": state}, checkpoint_id=place)
                getattr(done, "upload_completion", done).result()


def loaded(folder: Path) -> None:
    """By each kind of module; the next step is the one that one process would do."""
    expected = as_one()
    optimizer = torch.optim.AdamW(expected.parameters(), lr=1e-2)
    wanted = [step(expected, optimizer) for _ in range(4)]
    count = dist.get_world_size()
    kinds = {1: ["as_one"], 2: ["as_tensor_parallel", "as_fsdp"], 4: ["as_both"]}[count]
    for place in sorted((folder.parent / "shared").iterdir()):
        for kind in kinds:
            model = KINDS[kind]()
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.zero_()
            optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
            weights, state = get_state_dict(model, optimizer)
            state_dict_loader.load({"model": weights, "optimizer": state}, checkpoint_id=place)
            set_state_dict(model, optimizer, model_state_dict=weights, optim_state_dict=state)
            found = [step(model, optimizer) for _ in range(2)]
            assert found == pytest.approx(wanted[2:], rel=1e-4), (place.name, kind)


def keys(folder: Path) -> None:
    """They are those of the plain module under every wrapper."""
    expected = list(reference().state_dict())
    from torch.distributed.checkpoint.state_dict import get_model_state_dict

    plain = as_one()
    compiled = as_one()
    compiled.compile(backend="eager")
    wrapped = (as_tensor_parallel(), as_fsdp(), DistributedDataParallel(as_one()), torch.compile(plain), compiled)
    for model in wrapped:
        assert sorted(get_model_state_dict(model)) == sorted(expected)
    assert list(compiled.state_dict()) == list(as_fsdp().state_dict()) == expected


def foreign(folder: Path) -> None:
    """Into a module that is laid out, built and not built: kernels of TensorFlow 1, and a file of safetensors."""
    shared = folder.parent
    expected = ScopedModule(filters, seed=1).build()
    load_checkpoint(expected, "tests/data/image_filters.ckpt", ONLY)
    rules = {"**/weights": Shard(0), "**": Replicate()}
    for build in (True, False):
        model = shard(ScopedModule(filters, seed=1), mesh_of(tp=2), rules)
        if build:
            model.build()
        assert (
            len(load_checkpoint(model, "tests/data/image_filters.ckpt", ONLY, layout={"**/weights": "conv"}).loaded)
            == 2
        )
        model()
        for path, tensor in expected.variables.items():
            assert torch.equal(whole(model.variables[path]), tensor), path
        assert model.variables[f"{CONV}/weights"].to_local().shape[0] == 4
    if dist.get_rank() == 0:
        save_file({"h0/mlp/up": torch.randn(8, 32), "h0/mlp/down": torch.randn(32, 8)}, shared / "some.safetensors")
    dist.barrier()
    model, one = as_tensor_parallel(), as_one()
    for each in (model, one):
        load_checkpoint(each, shared / "some.safetensors", strict=False, layout="same")
    for path in ("h0/mlp/up", "h0/mlp/down", "words"):
        assert torch.equal(whole(model.variables[path]), one.variables[path])


CONV = "image_filters/conv1"
ONLY = {f"{CONV}/{name}": f"{CONV}/{name}" for name in ("weights", "biases")}


def filters() -> tuple[Tensor, Tensor]:
    with variable_scope(CONV):
        return get_variable("weights", [8, 3, 5, 5]), get_variable("biases", [8])


def recurrent(folder: Path) -> None:
    """Gates are reordered before a part is taken; the parts of an uneven variable are right too."""
    kernel = torch.randn(5, 12)
    if dist.get_rank() == 0:
        save_file({"lstm/kernel": kernel, "odd": torch.arange(7.0)}, folder / "gates.safetensors")
    dist.barrier()

    def forward():
        return get_variable("lstm/kernel", [12, 5]), get_variable("odd", [7])

    one = ScopedModule(forward).build()
    model = shard(ScopedModule(forward, seed=0), mesh_of(tp=2), {"**": Shard(0)}).build()
    for each in (one, model):
        load_checkpoint(each, folder / "gates.safetensors", layout={"lstm": "lstm"})
    for path in one.variables:
        assert torch.equal(whole(model.variables[path]), one.variables[path])


def a_part_is_read(folder: Path) -> None:
    """Of a large file each process touches its own pages alone."""
    size = (4096, 2048)  # 32 MiB
    if dist.get_rank() == 0:
        save_file({"w": torch.ones(size)}, folder / "large.safetensors")
    dist.barrier()
    model = shard(ScopedModule(lambda: get_variable("w", size), seed=0), mesh_of(tp=2), {"w": Shard(0)}).build()
    before = mapped_bytes("large.safetensors")
    kept = []
    from torchscope.checkpoint import open

    file = open(folder / "large.safetensors")
    kept.append(file["w"].read())  # a mapping that stays, to count its pages after
    load_checkpoint(model, file)
    read = mapped_bytes("large.safetensors") - before
    assert float(model.variables["w"].to_local().sum()) == 4096 * 2048 / 2
    assert read <= 17 * 2**20, read


def mapped_bytes(name: str) -> int:
    """How much of a file this process has in memory by mapping it."""
    found, counts = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.split(" ", 1)[0]:
            counts = line.endswith(name)
        elif counts and line.startswith("Rss:"):
            found += int(line.split()[1]) * 1024
    return found


CASES = {
    "a TensorFlow 1 checkpoint into parts": (2, foreign),
    "gates, and parts that are not even": (2, recurrent),
    "each process reads its part": (2, a_part_is_read),
    "keys are the same under every wrapper": (2, keys),
}


@pytest.mark.parametrize("case", CASES)
def test_checkpoints_into_parts(case: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert_passed(__file__, CASES, case, tmp_path_factory)


@pytest.mark.parametrize(("saving", "loading"), [(4, (1, 2)), (2, (4,))])
def test_what_some_processes_saved_others_load(saving: int, loading: tuple[int, ...], tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    told = run_on(saving, {"saved": saved}, tmp_path)
    assert not told["saved"], told["saved"]
    for count in loading:
        told = run_on(count, {f"loaded on {count}": loaded}, tmp_path)
        assert not told[f"loaded on {count}"], told[f"loaded on {count}"]
