"""A hunt for wrong answers: many threads at once, generators that hold scopes, thousands of failing calls."""

from __future__ import annotations

import contextlib
import copy
import gc
import io
import sys
import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from torchscope import (
    NotBuiltError,
    ScopedModule,
    ScopeNestingError,
    VariableExistsError,
    get_buffer,
    get_module,
    get_variable,
    get_variable_scope,
    variable_scope,
)
from torchscope._scopes.stack import current_scope

pytestmark = pytest.mark.no_cover


def network(x: Tensor) -> Tensor:
    for _ in range(3):
        with variable_scope(None, "layer"), variable_scope("dense") as scope:
            x = torch.tanh(x * get_variable("w", [4]) + get_variable("b", [4]))
            scope.reuse_variables()
            x = x - get_variable("w")
    return x


def test_sixteen_threads_run_one_module_while_others_build_copy_and_save() -> None:
    device = torch.get_default_device()
    x = torch.linspace(-1, 1, 4)
    model = ScopedModule(network, seed=0).build(x)
    expected = model(x).detach()
    stop = threading.Event()

    def run() -> int:
        calls = 0
        with torch.device(device):
            while not stop.is_set() or calls < 20:
                assert torch.equal(model(x), expected)
                assert current_scope() is None
                calls += 1
        return calls

    def disturb(how: Callable[[], object]) -> int:
        with torch.device(device):
            for _ in range(15):
                how()
        return 15

    def build() -> None:
        fresh = ScopedModule(network, seed=0).build(x)
        assert torch.equal(fresh(x), expected)

    def save() -> None:
        file = io.BytesIO()
        torch.save(model.state_dict(), file)
        file.seek(0)
        loaded = ScopedModule(network)
        loaded.load_state_dict(torch.load(file))
        assert torch.equal(loaded(x), expected)

    def deep() -> None:
        assert torch.equal(copy.deepcopy(model)(x), expected)

    def grow() -> None:
        growing = ScopedModule(network, seed=0)

        def build_it() -> None:
            with torch.device(device):
                growing.build(x)

        with ThreadPoolExecutor(4) as four:
            runs = [four.submit(build_it) for _ in range(4)]
            for one in runs:
                one.result()
        assert torch.equal(growing(x), expected)
        assert len(growing.variables) == 6

    with ThreadPoolExecutor(20) as pool:
        runners = [pool.submit(run) for _ in range(16)]
        others = [pool.submit(disturb, how) for how in (build, save, deep, grow)]
        try:
            for other in others:
                other.result(timeout=240)
        finally:
            stop.set()
        assert all(runner.result(timeout=60) >= 20 for runner in runners)


@pytest.mark.usefixtures("restless")
def test_threads_run_a_module_while_another_puts_variables_beside_its_own_and_takes_them_back() -> None:
    device = torch.get_default_device()
    x = torch.linspace(-1, 1, 4)
    model = ScopedModule(network, seed=0).build(x)
    expected = model(x).detach()
    extra = torch.nn.Parameter(torch.ones(4))
    stop = threading.Event()

    def run() -> None:
        with torch.device(device):
            while not stop.is_set():
                assert torch.equal(model(x), expected)

    with ThreadPoolExecutor(4) as pool:
        runners = [pool.submit(run) for _ in range(4)]
        try:
            for _ in range(5000):
                model.variables["layer/dense/extra"] = extra
                del model.variables["layer/dense/extra"]
        finally:
            stop.set()
        for runner in runners:
            runner.result(timeout=60)


def network_of_all_kinds(x: Tensor) -> Tensor:
    for name in "abc":
        with variable_scope(name, constraint=lambda w: w.clamp(-1, 1), regularizer=lambda w: w.square().sum()):
            x = x * get_variable("w", [4]) + get_variable("cut", [4], partitioner=lambda shape, dtype: [2])
            x = get_module("linear", torch.nn.Linear, 4, 4)(x + get_buffer("mean", [4]))
    return x


def walk_over_the_collections(model: ScopedModule) -> None:
    model.regularization_losses(), model.global_variables(), model.get_collection("trainable_variables")
    for tensor in model.global_variables():
        model.variable_name(tensor)


def walk_as_torch_does(model: ScopedModule) -> None:
    list(model.named_buffers()), repr(model)
    list(model.named_parameters()), list(model.parameters())


WALKS: dict[str, Callable[[ScopedModule], object]] = {
    "state_dict": ScopedModule.state_dict,
    "apply_constraints": ScopedModule.apply_constraints,
    "collections": walk_over_the_collections,
    "named_parameters": walk_as_torch_does,
    "deepcopy": copy.deepcopy,
    "items": lambda model: [
        list(each) for each in (model.variables.items(), model.variables.values(), model.variables)
    ],
}


@pytest.mark.usefixtures("restless")
@pytest.mark.parametrize("walk", WALKS.values(), ids=WALKS)
def test_a_thread_walks_over_a_module_while_another_builds_it(
    walk: Callable[[ScopedModule], object], pytestconfig: pytest.Config
) -> None:
    device = torch.get_default_device()

    def build(model: ScopedModule) -> None:
        with torch.device(device):
            model(torch.ones(4))

    def keep_walking(model: ScopedModule) -> None:
        while not model.built:
            with contextlib.suppress(NotBuiltError):  # as long as there is nothing to walk over
                walk(model)

    with ThreadPoolExecutor(2) as pool:
        for _ in range(pytestconfig.getoption("--stress-rounds")):
            model = ScopedModule(network_of_all_kinds)
            for job in pool.submit(keep_walking, model), pool.submit(build, model):
                job.result(timeout=60)
            assert len(model.state_dict()) == 18


def holding(name: str, log: list[tuple[str, str]]) -> Generator[None, None, None]:
    """A generator that gets variables in a scope that it holds open across its yields."""
    with variable_scope(name):
        for _ in range(3):
            log.append((name, get_variable_scope().name))
            yield


@pytest.mark.usefixtures("frozen_garbage")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of a generator that is collected late
@settings(max_examples=150)
@given(st.lists(st.integers(0, 2), max_size=14))
def test_generators_that_hold_scopes_end_in_a_nesting_error_or_in_the_right_scope(order: list[int]) -> None:
    log: list[tuple[str, str]] = []

    def forward() -> str:
        generators = [holding(name, log) for name in "abc"]
        for number in order:
            next(generators[number], None)
        for generator in generators:
            generator.close()
        return get_variable_scope().name

    model = ScopedModule(forward)
    try:
        assert model() == ""
    except ScopeNestingError as error:
        assert "Cannot leave" in str(error)
        gc.collect()  # what is left of the generators closes here, where its complaint is expected
    assert current_scope() is None
    assert model.specs == {}
    assert ScopedModule(lambda: get_variable_scope().name)() == ""


class OddError(Exception):
    pass


def fails_deep_inside(x: Tensor) -> None:
    with variable_scope("a"), variable_scope(None, "b") as scope:
        get_variable("w", [4])
        with variable_scope(scope, reuse=True):
            get_variable("w")
            raise OddError


def fails_by_sharing(x: Tensor) -> None:
    for _ in range(2):
        with variable_scope("a"):
            get_variable("w", [4])


@pytest.mark.usefixtures("frozen_garbage")
@pytest.mark.parametrize("built", [False, True], ids=["building", "built"])
@pytest.mark.parametrize("fails", [fails_deep_inside, fails_by_sharing], ids=lambda fails: fails.__name__)
def test_ten_thousand_failing_calls_leave_nothing_behind(fails: Callable[[Tensor], None], built: bool) -> None:
    x = torch.ones(4)
    model = ScopedModule(fails)
    if built:
        with model.building(), model.as_default():
            for path in ("a/w", "a/b/w"):
                get_variable(path, [4])

    def many(calls: int) -> None:
        for _ in range(calls):
            with contextlib.suppress(OddError, VariableExistsError):
                model(x)
            assert current_scope() is None

    gc.collect()
    gc.disable()
    try:
        many(3000)  # fills Python's own free lists
        before = sys.getallocatedblocks()
        many(10_000)
        grown = sys.getallocatedblocks() - before
        assert gc.collect() < 100
    finally:
        gc.enable()
    assert grown < 1000  # one block in each call would be 10,000; other threads of the process allocate a few
    assert len(model.specs) == (2 if built else 0)
