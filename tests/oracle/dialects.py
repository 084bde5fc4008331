"""TensorFlow 1 and torchscope, as a program needs them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch

import torchscope
from tests.oracle.programs import Get, run
from torchscope._scopes.naming import open_name_scope
from torchscope._scopes.stack import current_scope
from torchscope._variables.identity import holds

ONE = torch.ones(1)


def getter(label: str | None, log: Callable[[Any], None], constant: Callable[[int], Any]) -> Any:
    """A custom getter by its name in a program; the same function in both dialects."""
    if label is None:
        return None

    def custom(getter: Any, name: str, *args: Any, **kwargs: Any) -> Any:
        log(("getter", label, name, kwargs["reuse"] is True, bool(kwargs["reuse"])))
        if label == "renames":
            name += "_r"
        if label == "fills" and kwargs["shape"] is not None:
            kwargs["initializer"] = constant(5)
        return getter(name, *args, **kwargs)

    return custom


def partitioner(parts: int) -> Any:
    """Cut the first axis; the same function in both dialects."""
    return lambda shape, dtype: [parts] + [1] * (len(shape) - 1)


class Torchscope:
    """One call of a fresh ScopedModule."""

    def __init__(self, model: torchscope.ScopedModule) -> None:
        self.model = model

    def scope(self, opener: Any, default: str | None, options: dict[str, Any]) -> AbstractContextManager[Any]:
        return torchscope.variable_scope(opener, default, **options)

    def option(self, name: str, value: Any, log: Callable[[Any], None]) -> Any:
        if name == "reuse":
            return {"False": False, "True": True, "AUTO_REUSE": torchscope.AUTO_REUSE}[value]
        if name == "initializer":
            return None if value is None else torchscope.constant_initializer(value)
        if name == "regularizer":
            return torch.sum if value else None
        if name == "dtype":
            return getattr(torch, value)
        if name == "partitioner":
            return partitioner(value)
        return getter(value, log, torchscope.constant_initializer)

    def get(self, get: Get, log: Callable[[Any], None]) -> Any:
        scope = self.current()
        # TensorFlow holds every get against the dtype of the scope, float32 at the root; we only what is given.
        dtype = getattr(torch, get.dtype) if get.dtype else None
        if dtype is None:
            dtype = scope.dtype or torch.float32
        return torchscope.get_variable(
            get.name,
            get.shape,
            dtype,
            self._initializer(get),
            regularizer=self.option("regularizer", get.regularizer, log),
            trainable=get.trainable,
            partitioner=partitioner(get.partitioner) if get.partitioner else None,
            custom_getter=self.option("getter", get.getter, log),
        )

    def _initializer(self, get: Get) -> Any:
        if get.initializer is None:
            return None
        kind, value = get.initializer
        # A tensor, whose dtype is its own, as TensorFlow makes one of a list; a list takes the dtype that is asked for.
        return torchscope.constant_initializer(value) if kind == "fill" else torch.tensor([float(value)] * 2)

    def current(self) -> Any:
        return torchscope.get_variable_scope()

    def seen_scope(self, scope: Any) -> tuple[Any, ...]:
        now = current_scope()
        assert now is not None
        name_scope = open_name_scope(now)
        return (
            scope.name,
            bool(scope.reuse),
            scope.reuse is torchscope.AUTO_REUSE,
            scope.original_name_scope,
            name_scope,
        )

    def name_scope(self, name: str | None) -> AbstractContextManager[str]:
        return torchscope.name_scope(name)

    def op(self) -> str:
        return torchscope.op_name(ONE + 1)

    def template(self, name: str, function: Any, now: bool, unique: str | None, getter: Any) -> Any:
        return torchscope.make_template(name, function, now, unique, getter)

    def seen_parts(self, joined: Any) -> tuple[Any, ...] | None:
        if holds(self.model.variables, joined) and not self.model.variable_name(joined).endswith("/part_0"):
            return None
        return tuple(joined.shape), str(joined.dtype).removeprefix("torch.")

    def seen_variable(self, variable: Any) -> tuple[Any, ...]:
        path = self.model.variable_name(variable)
        spec = self.model.specs[path]
        filled = spec.initializer is not None or not variable.is_floating_point()  # else it is random
        value = variable.detach().cpu().tolist() if filled else None
        # An integer is never trainable here, and always in TensorFlow unless told.
        trainable = variable.requires_grad if variable.is_floating_point() else None
        return path, tuple(variable.shape), str(variable.dtype).removeprefix("torch."), value, trainable

    def summary(self) -> list[Any]:
        names = list(self.model.variables)
        return [("all", sorted(names)), ("regularized", len(self.model.regularization_losses()))]


def torchscope_sees(program: Any) -> list[Any]:
    """What one call of a fresh module shows."""
    model = torchscope.ScopedModule()
    with model.as_default(), torchscope.name_ops():
        return run(program, Torchscope(model))


class TensorFlow:
    """One fresh tf.Graph."""

    def __init__(self, tf: Any) -> None:
        from tensorflow.python.ops import variable_scope

        self.tf = tf.compat.v1
        # The path that a variable was asked by; its handle may have another name where an operation took that first.
        self.paths: dict[str, Any] = variable_scope._get_default_variable_store()._vars

    def scope(self, opener: Any, default: str | None, options: dict[str, Any]) -> AbstractContextManager[Any]:
        manager: AbstractContextManager[Any] = self.tf.variable_scope(opener, default, **options)
        return manager

    def option(self, name: str, value: Any, log: Callable[[Any], None]) -> Any:
        tf = self.tf
        if name == "reuse":
            return {"False": False, "True": True, "AUTO_REUSE": tf.AUTO_REUSE}[value]
        if name == "initializer":
            return None if value is None else tf.constant_initializer(value)
        if name == "regularizer":
            return tf.reduce_sum if value else None
        if name == "dtype":
            return getattr(tf, value)
        if name == "partitioner":
            return partitioner(value)
        return getter(value, log, tf.constant_initializer)

    def get(self, get: Get, log: Callable[[Any], None]) -> Any:
        initializer: Any = None
        if get.initializer is not None:
            kind, value = get.initializer
            initializer = self.tf.constant_initializer(value) if kind == "fill" else [float(value)] * 2
        return self.tf.get_variable(
            get.name,
            get.shape,
            get.dtype and getattr(self.tf, get.dtype),
            initializer,
            regularizer=self.option("regularizer", get.regularizer, log),
            trainable=get.trainable,
            partitioner=partitioner(get.partitioner) if get.partitioner else None,
            custom_getter=self.option("getter", get.getter, log),
        )

    def current(self) -> Any:
        return self.tf.get_variable_scope()

    def seen_scope(self, scope: Any) -> tuple[Any, ...]:
        name_scope = self.tf.get_default_graph().get_name_scope()
        return scope.name, bool(scope.reuse), scope.reuse is self.tf.AUTO_REUSE, scope.original_name_scope, name_scope

    def name_scope(self, name: str | None) -> AbstractContextManager[str]:
        manager: AbstractContextManager[str] = self.tf.name_scope(name)
        return manager

    def op(self) -> str:
        return str(self.tf.no_op(name="add").name)

    def template(self, name: str, function: Any, now: bool, unique: str | None, getter: Any) -> Any:
        return self.tf.make_template(name, function, now, unique, getter)

    def seen_parts(self, joined: Any) -> tuple[Any, ...] | None:
        if not hasattr(joined, "_get_variable_list"):
            return None
        return tuple(joined.shape.as_list()), joined.dtype.base_dtype.name

    def seen_variable(self, variable: Any) -> tuple[Any, ...]:
        value = self.tf.get_static_value(variable.initial_value)
        return (
            next(path for path, known in self.paths.items() if known is variable),
            tuple(variable.shape.as_list()),
            variable.dtype.base_dtype.name,
            None if value is None else value.tolist(),
            variable.trainable if variable.dtype.is_floating else None,
        )

    def summary(self) -> list[Any]:
        return [("all", sorted(self.paths)), ("regularized", len(self.tf.get_collection("regularization_losses")))]


def tensorflow_sees(tf: Any, program: Any) -> list[Any]:
    """What a fresh graph shows."""
    with tf.Graph().as_default():
        return run(program, TensorFlow(tf))
