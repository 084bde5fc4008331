"""Whole models in TensorFlow 1's source, below ``models/``: how each is called, and what TensorFlow says of it.

    python -m tests.port.whole_models [NAME...]

runs the files by TensorFlow and writes, below ``tests/data/port``, a checkpoint of each, its inputs and outputs
(``io.npz``), and one training step: the loss, its gradients, and what moved (``train.npz``).
"""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from torchscope.port._python2 import as_python3
from torchscope.port._result import Ported
from torchscope.port._run import Finder, import_file, importing
from torchscope.port._tensorflow import tensorflow_1

HERE = Path(__file__).parent
SOURCES = HERE / "models"
DATA = HERE.parent / "data" / "port"
Arrays = dict[str, np.ndarray[Any, Any]]


class Model(NamedTuple):
    """One file: the expression that evaluates, the one that trains, and inputs (those of training come last)."""

    call: str
    loss: str
    inputs: Callable[[np.random.Generator], Arrays]
    training: Callable[[np.random.Generator], Arrays] = lambda random: {}


def _floats(random: np.random.Generator, *shape: int) -> np.ndarray[Any, Any]:
    return random.standard_normal(shape).astype(np.float32)


def _ids(random: np.random.Generator, high: int, *shape: int) -> np.ndarray[Any, Any]:
    return random.integers(0, high, shape).astype(np.int32)


MODELS: dict[str, Model] = {
    "encoder": Model(
        "encoder.classify(ids, mask, types)",
        "encoder.loss(ids, mask, types, labels)",
        lambda r: {"ids": _ids(r, 20, 3, 7), "mask": _ids(r, 2, 3, 7) | 1, "types": _ids(r, 2, 3, 7)},
        lambda r: {"labels": _ids(r, 3, 3)},
    ),
    "decoder": Model(
        "decoder.decode(first, second)",
        "decoder.loss(first)",
        lambda r: {"first": _ids(r, 24, 2, 5), "second": _ids(r, 24, 2, 3)},
    ),
    "residual": Model(
        "residual.classify(images)",
        "residual.loss(images, labels)",
        lambda r: {"images": _floats(r, 3, 24, 24, 3)},
        lambda r: {"labels": _ids(r, 5, 3)},
    ),
    "detector": Model(
        "detector.detect(images)",
        "detector.loss(images, wanted)",
        lambda r: {"images": 255 * r.random((2, 16, 16, 3), np.float32)},
        lambda r: {"wanted": _floats(r, 2, 960, 7)},
    ),
    "gan": Model(
        "gan.sample(images, z, y)",
        "gan.loss(images, z, y)",
        lambda r: {"images": _floats(r, 3, 12, 12, 3), "z": _floats(r, 3, 5), "y": np.eye(3, 2, dtype=np.float32)},
    ),
    "translation": Model(
        "translation.translate(a, b)",
        "translation.loss(a, b)",
        lambda r: {"a": _floats(r, 1, 16, 16, 3), "b": _floats(r, 1, 16, 16, 3)},
    ),
    "language": Model(
        "language.read(ids, targets, lengths)",
        "language.loss(ids, targets, lengths)",
        lambda r: {"ids": _ids(r, 9, 3, 5), "targets": _ids(r, 9, 3, 5), "lengths": np.array([5, 2, 4], np.int32)},
    ),
    "policy": Model(
        "policy.act(images, masks, states)",
        "policy.loss(images, masks, states, returns, old)",
        lambda r: {
            "images": _ids(r, 256, 4, 12, 12, 2).astype(np.uint8),
            "masks": _ids(r, 2, 4).astype(np.float32),
            "states": _floats(r, 2, 16),
        },
        lambda r: {"returns": _floats(r, 4), "old": np.abs(_floats(r, 4))},
    ),
    "wavenet": Model(
        "wavenet.predict(audio)",
        "wavenet.loss(audio)",
        lambda r: {"audio": np.clip(_floats(r, 2, 24, 1), -1, 1)},
    ),
    "translate_text": Model(
        "translate_text.translate(source, source_lengths, target, target_lengths)",
        "translate_text.loss(source, source_lengths, target, target_lengths)",
        lambda r: {
            "source": _ids(r, 11, 3, 6),
            "source_lengths": np.array([6, 3, 4], np.int32),
            "target": _ids(r, 13, 3, 5),
            "target_lengths": np.array([4, 2, 3], np.int32),
        },
    ),
}


def inputs_of(name: str) -> tuple[Arrays, Arrays]:
    """The inputs of evaluation and those that training has beside them."""
    random = np.random.default_rng(7)
    return MODELS[name].inputs(random), MODELS[name].training(random)


@contextlib.contextmanager
def as_published(name: str) -> Iterator[tuple[Any, ModuleType]]:
    """TensorFlow, and a file as it imports it."""

    def in_python3(text: str, path: str) -> Ported:
        return Ported(path, text, code=as_python3(text, path)[0])

    finder = Finder(SOURCES, in_python3, lambda path: {"xrange": range})
    with tensorflow_1() as tf, importing(finder):
        tf_v1: Any = tf
        tf_v1.disable_control_flow_v2()  # whose loops give no gradients to such a session
        yield tf_v1, import_file(SOURCES / f"{name}.py", SOURCES)


def disturbed(path: str, value: np.ndarray[Any, Any], random: np.random.Generator) -> np.ndarray[Any, Any]:
    """Values that tell one variable from another, also where all start as zeros."""
    noise = random.standard_normal(value.shape) * 0.3
    return (np.abs(value) + np.abs(noise) if "variance" in path else value + noise).astype(value.dtype)


def record(name: str) -> None:
    """Run a file by TensorFlow, and write what it gives."""
    model, (inputs, more) = MODELS[name], inputs_of(name)
    random = np.random.default_rng(3)
    folder = DATA / name
    folder.mkdir(parents=True, exist_ok=True)
    saved: Arrays = {}
    with as_published(name) as (tf, module):
        for expression, arrays, file in ((model.call, inputs, "io.npz"), (model.loss, {**inputs, **more}, "train.npz")):
            with tf.Graph().as_default():
                known = {each: tf.constant(array) for each, array in arrays.items()}
                result = eval(expression, {name: module}, known)
                variables = {v.op.name: v for v in tf.global_variables()}
                values = dict(variables)
                with tf.Session() as session:
                    session.run(tf.global_variables_initializer())
                    if not saved:
                        start = session.run(values)
                        saved = {path: disturbed(path, start[path], random) for path in sorted(start)}
                    for path, variable in variables.items():
                        variable.load(saved[path], session)
                    if file == "io.npz":
                        tf.train.Saver(variables).save(session, str(folder / "model.ckpt"), write_meta_graph=False)
                        outputs = session.run(result if isinstance(result, Mapping) else {"output": result})
                        np.savez_compressed(folder / file, **inputs, **outputs)
                    else:
                        np.savez_compressed(folder / file, **arrays, **step(tf, session, result, variables))
    print(name, sum(each.stat().st_size for each in folder.iterdir()), "bytes")


def step(tf: Any, session: Any, loss: Any, variables: Mapping[str, Any]) -> Arrays:
    """The loss, its gradients, and the variables that training moves without a gradient."""
    trainable = list(tf.trainable_variables())
    gradients = tf.gradients(loss, trainable)
    wanted = {"loss": loss}
    for variable, gradient in zip(trainable, gradients, strict=True):
        if gradient is not None:
            wanted[f"gradient/{variable.op.name}"] = tf.convert_to_tensor(gradient)
    with tf.control_dependencies(list(wanted.values())):
        updates = tf.group(*tf.get_collection(tf.GraphKeys.UPDATE_OPS))
    found, _ = session.run((wanted, updates))
    moved = {path: v for path, v in variables.items() if v not in trainable}
    return {**found, **{f"moved/{path}": value for path, value in session.run(moved).items()}}


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(MODELS))
    for each in parser.parse_args().names:
        record(each)
