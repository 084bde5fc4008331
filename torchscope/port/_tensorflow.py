"""TensorFlow 1 as the installed TensorFlow still has it, and a file's own calls told by their places."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType, SimpleNamespace
from typing import Protocol, TypeVar, cast
from unittest.mock import patch

import libcst as cst
from libcst.metadata import CodePosition, MetadataWrapper

from ._inference import Inference, read_names
from ._kinds import LIST, TENSOR
from ._names import Names
from ._python2 import as_python3
from ._result import Ported
from ._rule import telling

F = TypeVar("F")


class Session(Protocol):
    """``tf.Session``."""

    def __enter__(self) -> Session: ...
    def __exit__(self, *error: object) -> None: ...
    def run(self, fetches: F) -> F: ...


class Graph(Protocol):
    """``tf.Graph``."""

    def as_default(self) -> contextlib.AbstractContextManager[object]: ...


class Operation(Protocol):
    """What has the name of a variable."""

    name: str


class Variable(Protocol):
    """``tf.Variable``."""

    op: Operation

    def load(self, value: object, session: Session) -> None: ...


class TensorFlow(Protocol):
    """What is used of ``tensorflow.compat.v1``."""

    def Graph(self) -> Graph: ...
    def Session(self) -> Session: ...
    def constant(self, value: object) -> object: ...
    def global_variables(self) -> list[Variable]: ...
    def global_variables_initializer(self) -> object: ...


def sited(text: str, path: str) -> Ported:
    """The text of a TensorFlow 1 file whose calls tell their values to ``__site__``, and nothing else changed."""
    python3, _ = as_python3(text, path)
    wrapper = MetadataWrapper(cst.parse_module(python3))
    names, bindings, kinds, position = read_names(wrapper, None)
    teller = _Teller(names, kinds, bindings.functions_around, position)
    return Ported(path, text, code=wrapper.module.visit(teller).code)


class _Teller(cst.CSTTransformer):
    def __init__(
        self,
        names: Names,
        kinds: Inference,
        around: Callable[[cst.CSTNode], list[cst.CSTNode]],
        position: Callable[[cst.CSTNode], CodePosition],
    ) -> None:
        super().__init__()
        self._names, self._kinds, self._around, self._position = names, kinds, around, position

    def leave_Call(self, original_node: cst.Call, updated_node: cst.Call) -> cst.BaseExpression:
        functions = self._around(original_node)
        if not self._names.symbol(original_node.func, functions) or self._kinds.of(original_node) not in (TENSOR, LIST):
            return updated_node
        return telling("__site__", self._position(original_node), updated_node)


def compat_v1() -> ModuleType:
    """``tensorflow.compat.v1``, with ``tf.layers`` and ``nn.rnn_cell`` as tf-keras has them, if that is installed."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    tf: ModuleType = importlib.import_module("tensorflow").compat.v1
    with patch.dict(os.environ, {"TF_USE_LEGACY_KERAS": "1"}), contextlib.suppress(ImportError, AttributeError):
        old = importlib.import_module("tf_keras.src.legacy_tf_layers")
        sys.modules.setdefault("tf_keras.legacy_tf_layers", old)
        for name in ("base", "core", "convolutional", "normalization", "pooling"):
            module = importlib.import_module(f"tf_keras.src.legacy_tf_layers.{name}")
            sys.modules.setdefault(f"tf_keras.legacy_tf_layers.{name}", module)
        assert all((tf.layers.dense, tf.nn.rnn_cell.GRUCell))  # found here, and kept
    return tf


@contextlib.contextmanager
def tensorflow_1() -> Iterator[TensorFlow]:
    """``import tensorflow`` gives TensorFlow 1: ``compat.v1``, with ``contrib`` by tf_slim, ``layers`` by tf-keras.

    Raises:
        ImportError: TensorFlow is not installed.
    """
    tf = compat_v1()
    tf.logging.set_verbosity(tf.logging.ERROR)
    tf.disable_v2_tensorshape()  # x.shape[1].value
    tf.disable_tensor_equality()  # x == y is identity
    try:
        with patch.dict(sys.modules, _contrib(tf)):
            yield cast(TensorFlow, tf)
    finally:
        tf.enable_v2_tensorshape()
        tf.enable_tensor_equality()


def _contrib(tf: ModuleType) -> Mapping[str, ModuleType]:
    modules = {"tensorflow": tf, "tensorflow.compat.v1": tf}
    with contextlib.suppress(ImportError):
        framework = importlib.import_module("tensorflow.python.framework.ops")
        vars(framework).setdefault("Tensor", vars(tf)["Tensor"])  # where tf_slim looks for it
        slim = importlib.import_module("tf_slim")
        contrib = ModuleType("tensorflow.contrib")
        cells = getattr(getattr(tf, "nn", None), "rnn_cell", None)
        training = ModuleType("tensorflow.contrib.training")
        vars(training)["HParams"] = SimpleNamespace
        vars(contrib).update(slim=slim, layers=slim, framework=slim, rnn=cells, training=training)
        vars(tf)["contrib"] = contrib
        modules |= {"tensorflow.contrib": contrib, "tensorflow.contrib.slim": slim, "tensorflow.contrib.layers": slim}
        modules["tensorflow.contrib.training"] = training
    return modules
