"""TensorFlow as the judge: the same lines of TensorFlow 1, run by TensorFlow and by ``torchscope.tf1``."""

from __future__ import annotations

import functools
import importlib
import warnings
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from torchscope import ScopedModule, tf1
from torchscope.port._tensorflow import compat_v1

TOLERANCE: dict[torch.dtype, dict[str, Any]] = {
    torch.float64: {"rtol": 1e-12, "atol": 1e-12},
    torch.float32: {"rtol": 1e-5, "atol": 1e-5},
    torch.float16: {"rtol": 2e-3, "atol": 2e-3},
    torch.bfloat16: {"rtol": 2e-2, "atol": 2e-2},
}


@functools.cache
def tensorflow() -> Any:
    """``tensorflow.compat.v1`` with ``tf.layers`` and ``nn.rnn_cell``, as Keras 2 has them; skips without them."""
    pytest.importorskip("tensorflow")
    pytest.importorskip("tf_keras.src.legacy_tf_layers")
    tf = compat_v1()
    assert tf.layers.dense and tf.nn.rnn_cell.GRUCell  # noqa: PT018  # not for tests of Keras 3 in this process
    return tf


def array_of(value: Any) -> np.ndarray[Any, Any]:
    if isinstance(value, Tensor):
        value = value.detach()
        return (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    value = np.asarray(value.numpy() if hasattr(value, "numpy") else value)
    return value.astype(np.float32) if value.dtype.name == "bfloat16" else value


def flat(value: Any) -> list[Any]:
    """Tensors of nested tuples, lists and dicts, in order."""
    if isinstance(value, dict):
        return [leaf for key in value for leaf in flat(value[key])]
    if isinstance(value, (tuple, list)):
        return [leaf for each in value for leaf in flat(each)]
    return [] if value is None else [value]


def same(
    function: Callable[..., Any],
    *given: Sequence[int] | np.ndarray[Any, Any],
    dtype: torch.dtype = torch.float64,
    gradients: bool = True,
    dtypes: bool = True,
    seed: int = 0,
    **tolerance: Any,
) -> None:
    """Hold a function of ``tf`` and tensors, as TensorFlow runs it and as this library does: values and gradients.

    Args:
        function: called with the module ``tf`` of either side, then with tensors of that side.
        given: shapes of random floating tensors; or arrays, which are given as they are.
    """
    tf = tensorflow()
    numbers = np.random.default_rng(seed)
    arrays = [each if isinstance(each, np.ndarray) else numbers.standard_normal(each) for each in given]
    name = str(dtype).partition(".")[2]
    real = [array.dtype.kind == "f" for array in arrays]
    theirs = [tf.constant(array, name if is_real else None) for array, is_real in zip(arrays, real, strict=True)]
    ours = [
        torch.tensor(array, dtype=dtype if is_real else None, device="cpu", requires_grad=is_real)
        for array, is_real in zip(arrays, real, strict=True)
    ]
    with importlib.import_module("tensorflow").GradientTape(persistent=True) as tape:
        for each, is_real in zip(theirs, real, strict=True):
            if is_real:
                tape.watch(each)
        expected = flat(function(tf, *theirs))
        weights = [numbers.standard_normal(np.shape(array_of(each))) for each in expected]
        terms = [
            tf.reduce_sum(tf.cast(each, "float64") * tf.constant(weight, "float64"))
            for each, weight in zip(expected, weights, strict=True)
            if getattr(each, "dtype", None) is not None and each.dtype.is_floating
        ]
        loss = sum(terms) if terms else None
    found = flat(function(tf1, *ours))
    assert len(found) == len(expected)
    close = {**TOLERANCE[dtype], **tolerance}
    for ours_, theirs_ in zip(found, expected, strict=True):
        if dtypes and isinstance(ours_, Tensor):
            assert str(ours_.dtype).partition(".")[2] == theirs_.dtype.name
        np.testing.assert_allclose(array_of(ours_), array_of(theirs_), **close)
    if loss is None or not gradients or not any(real):
        return
    own = [
        (each.double() * torch.tensor(weight, device="cpu")).sum()
        for each, weight in zip(found, weights, strict=True)
        if each.is_floating_point() and each.requires_grad
    ]
    if own:
        sum(own).backward()  # type: ignore[attr-defined]
    for tensor, is_real, source in zip(ours, real, theirs, strict=True):
        gradient = tape.gradient(loss, source) if is_real else None
        if gradient is None:
            assert tensor.grad is None or not tensor.grad.any(), "TensorFlow has no gradient here"
        else:
            assert tensor.grad is not None, "TensorFlow has a gradient here"
            np.testing.assert_allclose(array_of(tensor.grad), array_of(tf.convert_to_tensor(gradient)), **close)


class Theirs:
    """``tf`` of a TensorFlow 1 program: ``tf.contrib`` is what became of it, the package ``tf_slim``."""

    def __init__(self) -> None:
        self._tf = tensorflow()
        ops = importlib.import_module("tensorflow.python.framework.ops")
        vars(ops).setdefault("Tensor", self._tf.Tensor)  # tf_slim looks for it where it once was
        slim = pytest.importorskip("tf_slim")
        warnings.filterwarnings("ignore", "(?s).*deprecated")  # TensorFlow's, of what it tests for us
        self._tf.experimental.output_all_intermediates(True)  # or its loops have no gradients in a session
        self.slim = slim
        self.contrib = SimpleNamespace(layers=slim, slim=slim, framework=slim)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tf, name)


def same_model(
    function: Callable[..., Any],
    *given: Sequence[int] | np.ndarray[Any, Any],
    dtype: torch.dtype = torch.float64,
    collections: Sequence[str] = ("model_variables", "trainable_variables", "variables"),
    gradients: bool = True,
    build_with: Any = None,
    **tolerance: Any,
) -> ScopedModule:
    """Hold a model of TensorFlow 1 against the same lines run here.

    Names, shapes, dtypes, order and collections of the variables; outputs, losses of regularizers, gradients of inputs
    and variables, and the moving averages after one step, all from the same random weights.
    """
    tf, numbers = Theirs(), np.random.default_rng(0)
    arrays = [each if isinstance(each, np.ndarray) else numbers.standard_normal(each) for each in given]
    name = str(dtype).partition(".")[2]
    real = [array.dtype.kind == "f" for array in arrays]
    ours = [
        torch.tensor(array, dtype=dtype if is_real else None, device="cpu", requires_grad=is_real)
        for array, is_real in zip(arrays, real, strict=True)
    ]
    model = ScopedModule(lambda *tensors: function(tf1, *tensors), layout="tf", dtype=dtype, device="cpu")
    model.build(*ours)
    with tf.Graph().as_default(), tf.Session() as session:
        theirs = [
            tf.placeholder(name if is_real else array.dtype.name, array.shape)
            for array, is_real in zip(arrays, real, strict=True)
        ]
        feed = dict(zip(theirs, arrays, strict=True))
        outputs = flat(function(tf, *theirs))
        variables = {each.op.name: each for each in tf.global_variables()}
        assert list(model.variables) == list(variables), "names and order of variables"
        for path, theirs_ in variables.items():
            own = model.variables[path]
            assert tuple(own.shape) == tuple(theirs_.shape.as_list()), path
            assert str(own.dtype).partition(".")[2] == theirs_.dtype.base_dtype.name, path
        for collection in collections:
            expected = [each.op.name for each in tf.get_collection(collection)]
            found = [model.variable_name(each) for each in model.get_collection(collection)]
            assert sorted(found) == sorted(set(expected)), f"what is in {collection!r}"
        values = {path: numbers.random(each.shape.as_list()) + 0.5 for path, each in variables.items()}
        session.run(tf.global_variables_initializer())
        for path, variable in variables.items():
            variable.load(values[path], session)
            with torch.no_grad():
                model.variables[path].copy_(torch.tensor(values[path]))
        losses = tf.get_collection("regularization_losses")
        weights = [numbers.standard_normal(each.shape.as_list()) for each in outputs]
        loss = sum(
            tf.reduce_sum(tf.cast(each, "float64") * weight) for each, weight in zip(outputs, weights, strict=True)
        )
        trained = tf.trainable_variables()
        sources = [each for each, is_real in zip(theirs, real, strict=True) if is_real]
        asked = tf.gradients(loss, sources + trained) if gradients else []
        there = [each is not None for each in asked]
        asked = [each for each in asked if each is not None]
        expected, expected_losses, expected_gradients = session.run([outputs, losses, asked], feed)
        session.run(tf.get_collection(tf.GraphKeys.UPDATE_OPS), feed)
        after = session.run(dict(variables))
    close = {**TOLERANCE[dtype], **tolerance}
    outputs_ = flat(model(*ours))
    for own, other in zip(outputs_, expected, strict=True):
        np.testing.assert_allclose(array_of(own), other, **close, err_msg="outputs")
    found_losses = model.get_collection("regularization_losses")
    np.testing.assert_allclose(
        sorted(each.item() for each in found_losses), sorted(expected_losses), **close, err_msg="losses"
    )
    if gradients:
        terms = [(each.double() * torch.tensor(w)).sum() for each, w in zip(outputs_, weights, strict=True)]
        torch.stack(terms).sum().backward()
        own_sources = [each for each, is_real in zip(ours, real, strict=True) if is_real]
        own_sources += [model.variables[each.op.name] for each in trained]
        own = [each.grad for each, is_there in zip(own_sources, there, strict=True) if is_there]
        for gradient, other in zip(own, expected_gradients, strict=True):
            assert gradient is not None, "TensorFlow has a gradient here"
            np.testing.assert_allclose(array_of(gradient), np.asarray(other), **close, err_msg="gradients")
    for path, value in after.items():
        averaged: dict[str, Any] = {"rtol": max(close["rtol"], 1e-8)}  # TensorFlow's decay is float32 in any dtype
        np.testing.assert_allclose(array_of(model.variables[path]), value, **averaged, err_msg=f"{path} after a step")
    return model


def same_distribution(
    function: Callable[..., Any], shape: Sequence[int], layout: Literal["tf", "torch"] = "tf"
) -> None:
    """Hold the first values of large variables against TensorFlow's: mean, deviation and the farthest one."""
    tf = Theirs()
    model = ScopedModule(lambda x: function(tf1, x), layout=layout, seed=0, device="cpu").build(torch.ones(*shape))
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(1)
        function(tf, tf.ones(shape))
        session.run(tf.global_variables_initializer())
        values = session.run({each.op.name: each for each in tf.global_variables()})
    assert list(values) == list(model.variables)
    for path, expected in values.items():
        found = array_of(model.variables[path])
        spread = expected.std()
        assert abs(found.std() - spread) <= 0.05 * spread, path
        assert abs(found.mean() - expected.mean()) <= 0.05 * spread, path
        assert abs(np.abs(found).max() - np.abs(expected).max()) <= 0.05 * np.abs(expected).max(), path
