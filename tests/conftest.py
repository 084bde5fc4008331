"""The device that the suite runs on, and the settings of hypothesis."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext

import pytest
import torch
from hypothesis import settings

settings.register_profile("torchscope", deadline=None, derandomize=True, max_examples=150)
settings.load_profile("torchscope")

if "PYTEST_XDIST_WORKER" in os.environ:  # several of them share the cores, and so do the processes that they start
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)
# This CPU says which vector instructions it has; inductor need not build and load a library for each to be sure.
os.environ.setdefault("TORCHINDUCTOR_VEC_ISA_OK", "1")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", default="cpu", help="the device that variables and inputs of the suite live on")
    parser.addoption(
        "--oracle-programs", default=100, type=int, help="random programs per seed for TensorFlow to judge"
    )
    parser.addoption("--stress-rounds", default=150, type=int, help="rounds of each race between threads")


def default_device(name: str) -> AbstractContextManager[object]:
    """A block in which this is the default device.

    Where it is that already, torch's own context is left out: a compiler traces it anew in each operation.
    """
    wanted = torch.device(name)
    return nullcontext() if torch.get_default_device() == wanted else wanted


@pytest.fixture(autouse=True)
def device(request: pytest.FixtureRequest) -> Iterator[torch.device]:
    """Run each test with ``--device`` as torch's default device."""
    name = request.config.getoption("--device")
    if torch.device(name).type == "cuda" and not torch.cuda.is_available():
        pytest.skip("--device cuda, and no CUDA device is available")
    with default_device(name):
        yield torch.device(name)


@pytest.fixture(autouse=True)
def compiled_anew() -> None:
    """Let no test count compilations of others: torch compiles one piece of code so many times and no more.

    Nor meet the hook that torch leaves behind after an export that failed, which Dynamo of torch 2.10 cannot trace.
    """
    dynamo = sys.modules.get("torch._dynamo")
    if dynamo is not None:
        dynamo.reset()
        torch.nn.modules.module._global_buffer_registration_hooks.clear()


@pytest.fixture
def cuda() -> torch.device:
    """A real CUDA device, or a skip that says there is none."""
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    return torch.device("cuda", 0)


@pytest.fixture
def frozen_garbage() -> Iterator[None]:
    """A garbage collector that has only to look at what the test makes: a collection takes no time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads that change places all the time, which makes races likely."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)
