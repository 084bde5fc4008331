"""Reading a TensorFlow checkpoint, made on the spot, against TensorFlow's own reader.

    python -m pip install -c constraints.txt -e '.[bench]'
    python -m benchmarks.checkpoint [--megabytes 1000] [--rounds 5]

Both read every array, checksums included, from a file that is in the cache of the operating system; what they give is
compared first. Listing is opening and looking at each name, shape and dtype. The memory is the most that the process
has beside the file itself, while a module takes all arrays and their gates change places (the layout ``lstm``).
"""

from __future__ import annotations

import argparse
import importlib.util
import multiprocessing
import os
import re
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.timing import medians, report
from torchscope import ScopedModule, checkpoint

ARRAYS = 100


def memory() -> int:
    """Bytes of this process that are no file's."""
    status = Path("/proc/self/status").read_text()
    return int(re.findall(r"RssAnon:\s+(\d+) kB", status)[0]) * 1024


def most_memory_of_loading(prefix: str) -> float:
    """The most memory that loading takes beyond the module, in variables; run it in a process of its own."""
    module, before, most, done = ScopedModule(lambda: None), memory(), 0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.wait(0.001):
            most = max(most, memory())

    watching = threading.Thread(target=watch)
    watching.start()
    checkpoint.load_checkpoint(module, prefix, layout={"**/weights": "lstm"})
    done.set()
    watching.join()
    sizes: list[int] = [variable.nbytes for variable in module.variables.values()]
    return (most - before - sum(sizes)) / max(sizes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    what = f"reading a checkpoint of {args.megabytes} MB"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if importlib.util.find_spec("tensorflow") is None:
        for line in (what, f"listing its {ARRAYS} arrays", "loading it: most memory beyond the module"):
            print(f"| {line} | TensorFlow's reader | not measured: tensorflow is not installed | <= 1.00 |", flush=True)
        return
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        prefix = str(Path(folder) / "model.ckpt")
        each = args.megabytes * 1_000_000 // ARRAYS // 4
        names = [f"layer_{n}/weights" for n in range(ARRAYS)]
        tensors = [tf.random.stateless_uniform([each // 4, 4], [n, n]) for n in range(ARRAYS)]
        tf.raw_ops.SaveV2(prefix=prefix, tensor_names=names, shape_and_slices=[""] * ARRAYS, tensors=tensors)
        del tensors

        def theirs() -> list[Any]:
            reader = tf.train.load_checkpoint(prefix)
            return [reader.get_tensor(name) for name in names]

        def ours() -> list[Any]:
            saved = checkpoint.open(prefix)
            return [saved[name].read() for name in names]

        for a, b in zip(ours(), theirs(), strict=True):
            np.testing.assert_array_equal(a.numpy(), b)
        times = medians({"ours": ours, "theirs": theirs}, args.rounds, repeat=1)
        speed = args.megabytes / 1000 / times["ours"]
        report(what, "TensorFlow's reader", times["ours"] / times["theirs"], "<= 1.00", f"{speed:.1f} GB/s")

        def list_ours() -> list[Any]:
            return [(path, entry.shape, entry.dtype) for path, entry in checkpoint.open(prefix).items()]

        def list_theirs() -> list[Any]:
            reader = tf.train.load_checkpoint(prefix)
            dtypes = reader.get_variable_to_dtype_map()
            return [(name, shape, dtypes[name]) for name, shape in reader.get_variable_to_shape_map().items()]

        times = medians({"ours": list_ours, "theirs": list_theirs}, args.rounds, repeat=10)
        more = f"{times['ours'] * 1e3:.1f} ms"
        report(f"listing its {ARRAYS} arrays", "TensorFlow's reader", times["ours"] / times["theirs"], "reported", more)

        with multiprocessing.get_context("spawn").Pool(1) as pool:
            extra = pool.apply(most_memory_of_loading, (prefix,))
        report("loading it: most memory beyond the module", "one variable", extra, "<= 1", "")


if __name__ == "__main__":
    main()
