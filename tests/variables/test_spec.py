"""Copies of a module: deepcopy, pickle, torch.save, with whatever callables the declarations hold."""

from __future__ import annotations

import copy
import io
import pickle
import threading
from typing import Any

import pytest
import torch

from tests.models.image_filters import ImageFilters, images
from torchscope import AUTO_REUSE, InitializerError, ScopedModule, ScopeError, get_variable, variable_scope


class Unfriendly:
    """A callable that can be neither copied nor pickled."""

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def __call__(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.fill_(3.0) if not tensor.requires_grad else tensor.sum()

    def __repr__(self) -> str:
        return "<unfriendly>"


class WithCallables(ScopedModule):
    def forward(self) -> Any:
        unfriendly = Unfriendly()
        with variable_scope("a", regularizer=lambda w: w.sum(), constraint=lambda w: w * 0):
            get_variable("v", [2], initializer=torch.nn.init.ones_, regularizer=torch.sum, constraint=torch.abs)
            return get_variable("w", [2], initializer=unfriendly)


def via_pickle(model: Any) -> Any:
    return pickle.loads(pickle.dumps(model))


def via_torch_save(model: Any) -> Any:
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


COPIES = [copy.deepcopy, via_pickle, via_torch_save]


@pytest.mark.parametrize("copied", COPIES)
def test_a_copy_has_variables_of_its_own_and_runs(copied: Any) -> None:
    model = ImageFilters(seed=1).build(*images())
    other = copied(model)
    assert other.built
    assert list(other.variables) == list(model.variables)
    assert other.variables._keys is other.variables.specs
    batch = images()
    assert torch.equal(other(*batch)[0], model(*batch)[0])
    with torch.no_grad():
        other.variables["image_filters/conv1/weights"].zero_()
    assert not torch.equal(other(*batch)[0], model(*batch)[0])
    other.build(*batch)


@pytest.mark.parametrize("copied", COPIES)
def test_an_unbuilt_module_is_copied_unbuilt(copied: Any) -> None:
    other = copied(ImageFilters(dtype=torch.float64))
    with pytest.raises(ScopeError, match="never built"):
        other.parameters()
    one, two = images()
    assert other(one.double(), two.double())[0].dtype is torch.float64


def test_deepcopy_keeps_every_callable() -> None:
    model = WithCallables().build()
    other = copy.deepcopy(model)
    assert dict(other.specs) == dict(model.specs)
    other.reset_parameters()
    assert other.variables["a/w"].tolist() == [3, 3]


@pytest.mark.parametrize("copied", COPIES[1:])
def test_what_pickle_cannot_store_is_said_to_be_lost_and_comes_back_with_the_next_call(copied: Any) -> None:
    other = copied(WithCallables().build())
    assert other.specs["a/v"].regularizer is torch.sum
    assert repr(other.specs["a/w"].initializer) == "<lost initializer: <unfriendly>>"
    with pytest.raises(ScopeError, match="The regularizer of 'a/w' was <function"):
        other.regularization_losses()
    with pytest.raises(ScopeError, match="The constraint of 'a/w' was <function"):
        other.apply_constraints()
    with pytest.raises(InitializerError, match="'a/w': 1 variables of WithCallables have no known initializer"):
        other.reset_parameters()
    held = other.variables["a/w"]
    assert other() is held
    assert [loss.item() for loss in other.regularization_losses()] == [2, 6]
    other.apply_constraints()
    assert held.tolist() == [0, 0]
    other.reset_parameters()
    assert held.tolist() == [3, 3]


class Method(ScopedModule):
    factor = 2.0

    def l2(self, variable: torch.Tensor) -> torch.Tensor:
        return self.factor * variable.square().sum()

    def forward(self) -> None:
        for i in range(5):
            get_variable(f"w{i}", [1], initializer=torch.nn.init.ones_, regularizer=self.l2)


@pytest.mark.parametrize("copied", COPIES)
def test_a_regularizer_that_is_a_method_of_the_model_becomes_the_copys_own(copied: Any) -> None:
    model = Method().build()
    other = copied(model)
    model.factor, other.factor = 100.0, 3.0
    assert other.regularization_loss().item() == 15


def reused() -> Any:
    with variable_scope("a", reuse=AUTO_REUSE, regularizer=lambda w: w.sum()):
        return get_variable("w", [2], initializer=torch.nn.init.ones_)


def test_a_lost_callable_comes_back_under_reuse_too() -> None:
    other = via_pickle(ScopedModule(reused).build())
    other()
    assert other.regularization_loss().item() == 2


def many(count: int) -> list[Any]:
    return [get_variable(f"w{i}", [1]) for i in range(count)]


def test_copying_while_another_thread_builds_is_safe() -> None:
    model = ScopedModule(many)
    stop = threading.Event()
    errors: list[Exception] = []

    def keep_building() -> None:
        try:
            with model.building():
                count = 1
                while not stop.is_set():
                    model(count)
                    count = count % 40 + 1
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=keep_building)
    thread.start()
    try:
        for _ in range(5):
            copied = via_pickle(copy.deepcopy(model))
            assert all(copied.variables[path] is not None for path in copied.specs)
    finally:
        stop.set()
        thread.join()
    assert errors == []
