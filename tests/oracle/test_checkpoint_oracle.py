"""Checkpoints that TensorFlow writes here and now, read by TensorFlow and by us: names, dtypes, shapes and bytes."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.checkpoint.test_open import raw
from tests.data.make_checkpoints import DTYPES, WRITERS, as_tensorflow_reads
from torchscope import ScopedModule, checkpoint, get_variable
from torchscope.checkpoint import load_checkpoint

tf = pytest.importorskip("tensorflow")

names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12)
shapes = st.lists(st.integers(0, 4), max_size=3)


@st.composite
def arrays(draw: Any) -> Any:
    """A tensor of any dtype, strings included."""
    shape = draw(shapes)
    count = int(np.prod(shape, dtype=int))
    if draw(st.booleans()):
        strings = draw(st.lists(st.binary(max_size=300), min_size=count, max_size=count))
        return tf.reshape(tf.constant(strings, tf.string), shape)
    numbers = draw(st.lists(st.integers(0, 100), min_size=count, max_size=count))
    return tf.cast(tf.reshape(tf.constant(numbers, tf.float32), shape), draw(st.sampled_from(DTYPES)))


@st.composite
def cuts(draw: Any) -> tuple[list[int], int, list[int]]:
    """A shape, an axis, and the lengths of the parts that it is cut into."""
    shape = draw(st.lists(st.integers(1, 300), min_size=1, max_size=2))
    axis = draw(st.integers(0, len(shape) - 1))
    at = sorted(draw(st.sets(st.integers(1, shape[axis]), max_size=5)) | {shape[axis]})
    return shape, axis, [end - start for start, end in zip([0, *at], at, strict=False)]


def same_as_tensorflow(prefix: str) -> None:
    facts, held = as_tensorflow_reads(tf, prefix)
    saved = checkpoint.open(prefix)
    assert set(saved) == set(facts)
    for path, fact in facts.items():
        dtype = "string" if saved[path].dtype is bytes else str(saved[path].dtype).removeprefix("torch.")
        assert (dtype, list(saved[path].shape)) == (fact["dtype"], fact["shape"])
        assert raw(saved[path]) == held[path].tobytes()


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(names, arrays(), min_size=1, max_size=5))
@example({"a zero at the end": tf.constant(b"\0")})
def test_whatever_tensorflow_saves_reads_as_it_reads_it(tensors: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        prefix = str(Path(folder) / "saved")
        blank = [""] * len(tensors)
        tf.raw_ops.SaveV2(
            prefix=prefix, tensor_names=list(tensors), shape_and_slices=blank, tensors=list(tensors.values())
        )
        same_as_tensorflow(prefix)


@settings(max_examples=100, deadline=None)
@given(names, cuts(), st.sampled_from(["float32", "bfloat16", "int8"]))
def test_whatever_tensorflow_cuts_is_joined_as_it_joins_it(
    name: str, cut: tuple[list[int], int, list[int]], dtype: str
) -> None:
    shape, axis, parts = cut
    whole = tf.cast(tf.reshape(tf.range(np.prod(shape), dtype=tf.float32) % 101, shape), dtype)
    slices, start = [], 0
    for length in parts:
        extents = [f"{start},{length}" if n == axis else "-" for n in range(len(shape))]
        slices.append(" ".join(map(str, shape)) + " " + ":".join(extents))
        start += length
    with tempfile.TemporaryDirectory() as folder:
        prefix = str(Path(folder) / "cut")
        tf.raw_ops.SaveV2(
            prefix=prefix,
            tensor_names=[name] * len(parts),
            shape_and_slices=slices,
            tensors=tf.split(whole, parts, axis),
        )
        same_as_tensorflow(prefix)


@pytest.mark.parametrize("name", sorted(WRITERS))
def test_freshly_written_checkpoints_read_as_tensorflow_reads_them(name: str, tmp_path: Path) -> None:
    WRITERS[name](tf, str(tmp_path / name))
    same_as_tensorflow(str(tmp_path / name))


KERAS = "Adam RMSprop SGD Adagrad Adadelta Adamax Nadam Ftrl AdamW Adafactor Lion".split()


@pytest.mark.parametrize("name", KERAS)
def test_what_keras_saves_of_an_optimizer_is_known_as_such(name: str, tmp_path: Path) -> None:
    optimizer = getattr(tf.keras.optimizers, name)(0.1)
    variable = tf.keras.Variable(np.ones((3, 4), np.float32))
    optimizer.apply_gradients([(tf.ones((3, 4)), variable)])
    prefix = tf.train.Checkpoint(w=variable.value, optimizer=optimizer).save(str(tmp_path / "saved"))
    model = ScopedModule(lambda: get_variable("w", [3, 4])).build()
    report = load_checkpoint(model, prefix, layout="same")
    assert report.complete
    assert len(report.skipped) > 2


V1 = "Adam AdagradDA ProximalAdagrad Ftrl RMSProp Adadelta Momentum Adagrad".split()


@pytest.mark.parametrize("name", V1)
def test_the_slots_of_tensorflows_first_optimizers_are_known_as_such(name: str, tmp_path: Path) -> None:
    v1 = tf.compat.v1
    more = {"Momentum": {"momentum": 0.9}}.get(name, {})
    with tf.Graph().as_default(), v1.Session() as session:
        v1.get_variable("w", [3, 4])
        step = v1.train.get_or_create_global_step()
        more = {"global_step": step} if name == "AdagradDA" else more
        optimizer = getattr(v1.train, f"{name}Optimizer")(0.1, **more)
        optimizer.minimize(tf.reduce_sum(v1.trainable_variables()[0] ** 2), global_step=step)
        session.run(v1.global_variables_initializer())
        prefix = v1.train.Saver().save(session, str(tmp_path / "saved"))
    model = ScopedModule(lambda: get_variable("w", [3, 4])).build()
    assert load_checkpoint(model, prefix, layout="same").complete
