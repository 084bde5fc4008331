"""Write the TensorFlow checkpoints of this folder, and what TensorFlow itself reads from them.

    python -m tests.data.make_checkpoints        # with the extra `oracle`

Beside each checkpoint lies ``<name>.npz``: every array as TensorFlow's own reader gives it, as bytes in row-major order
(strings joined with their lengths before them), under ``<path>``, with its dtype and shape in ``<name>.json``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent


def image_filters(tf: Any, prefix: str) -> None:
    """README's model as TensorFlow 1 code, with an optimizer, a step and averages, saved by ``tf.train.Saver``."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        v1.set_random_seed(1)
        kinds = {"initializer": v1.random_normal_initializer()}
        with v1.variable_scope("image_filters"):
            for name, shape in (("conv1", [5, 5, 3, 8]), ("conv2", [5, 5, 8, 4])):
                with v1.variable_scope(name):
                    v1.get_variable("weights", shape, **kinds)
                    v1.get_variable("biases", shape[-1:], **kinds)
        step = v1.train.get_or_create_global_step()
        loss = tf.add_n([tf.reduce_sum(v**2) for v in v1.trainable_variables()])
        train = v1.train.MomentumOptimizer(0.1, 0.9).minimize(loss, step)
        averages = tf.compat.v1.train.ExponentialMovingAverage(0.9)
        with tf.control_dependencies([train]):
            train = averages.apply(v1.trainable_variables())
        session.run(v1.global_variables_initializer())
        session.run(train)
        v1.train.Saver().save(session, prefix, write_meta_graph=False, write_state=False)


DTYPES = (
    "float16 bfloat16 float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64 bool complex64 complex128 "
    "float8_e4m3fn float8_e5m2"
).split()


def dtypes(tf: Any, prefix: str) -> None:
    """Every dtype, scalars, empty arrays, strings, and names that are no identifiers."""
    numbers = np.arange(-3, 3).reshape(2, 3)
    tensors = {f"dtype/{name}": tf.cast(tf.constant(np.abs(numbers), tf.float32), name) for name in DTYPES}
    tensors["scalar"] = tf.constant(7.5)
    tensors["empty"] = tf.zeros([0, 3])
    tensors["strings"] = tf.constant([["a", "", "x" * 300], ["\0", "\xff".encode("latin1"), "end"]])
    tensors["a string"] = tf.constant("alone")
    tensors["Names/with space/ünïcode"] = tf.constant([1, 2])
    tf.raw_ops.SaveV2(
        prefix=prefix, tensor_names=list(tensors), shape_and_slices=[""] * len(tensors), tensors=list(tensors.values())
    )


def partitioned(tf: Any, prefix: str) -> None:
    """Variables cut by TensorFlow's partitioners, along either axis, in more parts than one byte counts."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        v1.set_random_seed(2)
        kinds = {"initializer": v1.random_normal_initializer()}
        v1.get_variable("rows", [7, 3], partitioner=v1.fixed_size_partitioner(3), **kinds)
        v1.get_variable("columns", [2, 9], partitioner=v1.fixed_size_partitioner(4, axis=1), **kinds)
        v1.get_variable("long", [300], partitioner=v1.fixed_size_partitioner(150), **kinds)
        v1.get_variable("whole", [4], **kinds)
        session.run(v1.global_variables_initializer())
        v1.train.Saver().save(session, prefix, write_meta_graph=False, write_state=False)


def sharded(tf: Any, prefix: str) -> None:
    """Three shards, one of them without anything of its own."""
    parts = []
    for shard in range(3):
        names = [f"shard{shard}/v{n}" for n in range(2 if shard != 1 else 0)]
        part = f"{prefix}_part{shard}"
        values = [tf.range(4.0) + shard + n / 10 for n in range(len(names))]
        if names:
            tf.raw_ops.SaveV2(prefix=part, tensor_names=names, shape_and_slices=[""] * len(names), tensors=values)
            parts.append(part)
    tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=parts, destination_prefix=prefix, delete_old_dirs=False)


def objects(tf: Any, prefix: str) -> None:
    """``tf.train.Checkpoint``, whose names are paths of attributes, and which saves a graph of objects as a string."""

    class Model(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.kernel = tf.Variable([[1.0, 2.0]])
            self.step = tf.Variable(3, dtype=tf.int64)

    tf.train.Checkpoint(model=Model()).write(prefix)


WRITERS: dict[str, Callable[[Any, str], None]] = {
    f.__name__: f for f in (image_filters, dtypes, partitioned, sharded, objects)
}


def as_tensorflow_reads(tf: Any, prefix: str) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
    """Each array's dtype and shape, and its bytes."""
    reader = tf.train.load_checkpoint(prefix)
    facts, held = {}, {}
    for name, shape in sorted(reader.get_variable_to_shape_map().items()):
        dtype = reader.get_variable_to_dtype_map()[name].name
        # as objects: an array of fixed-length strings would lose the zeros at their ends
        array = np.asarray(reader.get_tensor(name), object if dtype == "string" else None)
        facts[name] = {"dtype": dtype, "shape": list(shape)}
        if dtype == "string":
            array = np.frombuffer(joined(array.reshape(-1).tolist()), np.uint8)
        held[name] = np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8)
    return facts, held


def joined(strings: list[bytes]) -> bytes:
    """Strings as one, each after its length."""
    return b"".join(len(string).to_bytes(8, "little") + string for string in strings)


def main() -> None:
    import tensorflow as tf

    for name, write in WRITERS.items():
        prefix = str(HERE / f"{name}.ckpt")
        write(tf, prefix)
        facts, held = as_tensorflow_reads(tf, prefix)
        (HERE / f"{name}.json").write_text(json.dumps(facts, indent=1, ensure_ascii=True) + "\n")
        np.savez_compressed(HERE / f"{name}.npz", **{f"{n}": held[path] for n, path in enumerate(facts)})
    for left in HERE.glob("*_part*"):
        left.unlink()


if __name__ == "__main__":
    main()
