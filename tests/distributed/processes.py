"""Several processes (gloo) for the tests here: each case is a function that all of them run, one case after the other.

What a case asserts is asserted on each process. Starting processes takes seconds, so those of one number run all the
cases for that number, and each case is a test of its own that says what came of it.
"""

from __future__ import annotations

import fcntl
import gc
import json
import multiprocessing
import os
import re
import socket
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.multiprocessing.spawn import start_processes

from torchscope.errors import ArgumentValueError

Case = Callable[[Path], object]
PRELOADED = """
torch.distributed.tensor.parallel torch.distributed.fsdp torch.distributed.checkpoint.state_dict
torch.distributed.pipelining torch._dynamo.convert_frame torch._functorch.aot_autograd
torchscope.checkpoint torchscope.distributed
""".split()
LIMIT = 240  # seconds for all cases of one number of processes


def run_on(count: int, cases: dict[str, Case], folder: Path) -> dict[str, str]:
    """Run cases on so many processes: each with what went wrong, or nothing."""
    # Processes begin as copies of one that has imported these and nothing of the tests.
    multiprocessing.set_forkserver_preload(PRELOADED)
    arguments = (count, free_port(), cases, str(folder))
    started = start_processes(_process, arguments, nprocs=count, join=False, start_method="forkserver")
    deadline = time.monotonic() + LIMIT
    try:
        while not started.join(timeout=2) and time.monotonic() < deadline:
            pass
    except Exception:  # a process that died says so below
        traceback.print_exc()
    finally:
        for running in started.processes:
            running.kill()
    return {name: _outcome(folder / name, count) for name in cases}


def _outcome(folder: Path, count: int) -> str:
    found = [folder / f"rank{rank}.txt" for rank in range(count)]
    missing = [file.stem for file in found if not file.exists()]
    told = "\n".join(f"{file.stem}: {file.read_text()}" for file in found if file.exists() and file.read_text())
    return told + (f"\nno answer of {', '.join(missing)}" if missing else "")


def _process(rank: int, count: int, port: int, cases: dict[str, Case], folder: str) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), GLOO_SOCKET_IFNAME="lo")
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(count))
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    dist.init_process_group("gloo", rank=rank, world_size=count)
    for name, case in cases.items():
        place = Path(folder) / name
        place.mkdir(exist_ok=True)
        torch.manual_seed(0)
        dist.barrier()
        try:
            case(place)
            told = ""
        except (Exception, pytest.fail.Exception):
            told = traceback.format_exc()
        (place / f"rank{rank}.txt").write_text(told)
        torch._dynamo.reset()
        gc.collect()
    dist.barrier()
    dist.destroy_process_group()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def mesh_of(**sizes: int) -> DeviceMesh:
    """A mesh of the processes that run: ``mesh_of(dp=2, tp=2)``."""
    return init_device_mesh("cpu", tuple(sizes.values()), mesh_dim_names=tuple(sizes))


def assert_passed(file: str, cases: dict[str, tuple[int, Case]], case: str, factory: pytest.TempPathFactory) -> None:
    """Fail with what went wrong in one case of a test file, on any of its processes."""
    told = _outcomes(file, cases, _shared_by_workers(factory))[case]
    assert not told, told


def _outcomes(file: str, cases: dict[str, tuple[int, Case]], shared: Path) -> dict[str, str]:
    """What came of all cases of a test file; of several workers of pytest the first runs them, the others read it."""
    folder = shared / Path(file).stem
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        result = folder / "outcomes.json"
        if not result.exists():
            told: dict[str, str] = {}
            for count in sorted({count for count, _ in cases.values()}):
                told |= run_on(count, {name: case for name, (many, case) in cases.items() if many == count}, folder)
            result.write_text(json.dumps(told))
        found: dict[str, str] = json.loads(result.read_text())
        return found


def _shared_by_workers(factory: pytest.TempPathFactory) -> Path:
    """A folder of this run of pytest, the same for all its workers."""
    base = factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


def refused(attempt: Callable[[], object], message: str, kind: type[Exception] = ArgumentValueError) -> None:
    """Hold what a refusal says against a pattern, across its lines."""
    with pytest.raises(kind) as caught:
        attempt()
    assert re.search(message, str(caught.value), re.DOTALL), str(caught.value)
