"""A scope and two gets of existing variables, against the libraries that name parameters by scopes too.

    python -m pip install -c constraints.txt -e '.[bench]'
    python -m benchmarks.rivals [--layers 10] [--rounds 20]

Each model has so many layers, each a scope (or a module, where a library has no other scopes) with two parameters that
exist already. No operation runs, nothing is compiled or traced, and the parameters are returned: they hold the same
numbers in all of them, which is checked before anything is timed.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from benchmarks.timing import medians, report
from torchscope import ScopedModule, get_variable, variable_scope

SHAPES = {"weights": [2, 3], "biases": [2]}
Run = Callable[[], Sequence[Sequence[Any]]]  # per layer, the parameters


def value(path: str) -> np.ndarray[Any, Any]:
    """The numbers of a parameter, the same in every library."""
    layer, name = path.split("/")
    return np.full(SHAPES[name], int(layer.removeprefix("layer_")), np.float32)


def scoped(layers: int) -> Run:
    def forward() -> list[list[Any]]:
        gotten = []
        for i in range(layers):
            with variable_scope(f"layer_{i}"):
                gotten.append([get_variable(name, shape) for name, shape in SHAPES.items()])
        return gotten

    model = ScopedModule(forward).build()
    with torch.no_grad():
        for path, variable in model.variables.items():
            variable.copy_(torch.from_numpy(value(path)))
    return model


def tensorflow_gets(layers: int) -> Callable[[], list[list[Any]]]:
    import tensorflow.compat.v1 as tf

    def forward() -> list[list[Any]]:
        gotten = []
        for i in range(layers):
            with tf.variable_scope(f"layer_{i}", reuse=tf.AUTO_REUSE):
                gotten.append([tf.get_variable(name, shape) for name, shape in SHAPES.items()])
        return gotten

    return forward


def fill(gotten: Sequence[Sequence[Any]]) -> None:
    for i, layer in enumerate(gotten):
        for name, variable in zip(SHAPES, layer, strict=True):
            variable.assign(value(f"layer_{i}/{name}"))


def eager_variable_store(layers: int) -> Run:
    from tensorflow.python.ops.variable_scope import EagerVariableStore

    store, forward = EagerVariableStore(), tensorflow_gets(layers)

    def run() -> list[list[Any]]:
        with store.as_default():
            return forward()

    fill(run())
    return run


def track_tf1_style_variables(layers: int) -> Run:
    import tensorflow as tf

    forward = tensorflow_gets(layers)

    class Model(tf.Module):
        @tf.compat.v1.keras.utils.track_tf1_style_variables
        def __call__(self) -> list[list[Any]]:
            return forward()

    model = Model()
    fill(model())
    return model


def haiku(layers: int) -> Run:
    import haiku as hk
    import jax.numpy as jnp

    class Layer(hk.Module):
        def __call__(self) -> list[Any]:
            return [hk.get_parameter(name, shape, init=jnp.zeros) for name, shape in SHAPES.items()]

    model = hk.transform(lambda: [Layer(name=f"layer_{i}")() for i in range(layers)])
    parameters = {
        f"layer_{i}": {name: jnp.asarray(value(f"layer_{i}/{name}")) for name in SHAPES} for i in range(layers)
    }
    return lambda: model.apply(parameters, None)


def flax_linen(layers: int) -> Run:
    import jax.numpy as jnp
    from flax import linen

    class Layer(linen.Module):
        @linen.compact
        def __call__(self) -> list[Any]:
            return [self.param(name, linen.initializers.zeros, shape) for name, shape in SHAPES.items()]

    class Model(linen.Module):
        @linen.compact
        def __call__(self) -> list[list[Any]]:
            return [Layer(name=f"layer_{i}")() for i in range(layers)]

    model = Model()
    parameters = {
        f"layer_{i}": {name: jnp.asarray(value(f"layer_{i}/{name}")) for name in SHAPES} for i in range(layers)
    }
    return lambda: model.apply({"params": parameters})


RIVALS = {
    "TensorFlow's `EagerVariableStore`": ("tensorflow", eager_variable_store),
    "TensorFlow's `track_tf1_style_variables`": ("tf_keras", track_tf1_style_variables),
    "Haiku": ("haiku", haiku),
    "Flax linen": ("flax", flax_linen),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=20)
    args = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ["TF_USE_LEGACY_KERAS"] = "1"  # Keras 3 has no track_tf1_style_variables
    ours = scoped(args.layers)
    expected = [[value(f"layer_{i}/{name}") for name in SHAPES] for i in range(args.layers)]
    for name, (package, make) in RIVALS.items():
        what = f"scope + two gets, shapes checked, {args.layers} layers"
        if importlib.util.find_spec(package) is None:
            print(
                f"| {what} | {name} | not measured: {package} is not installed | at least 15 times faster |", flush=True
            )
            continue
        run = make(args.layers)
        for gotten in (ours(), run()):
            for found, wanted in zip(gotten, expected, strict=True):
                for tensor, numbers in zip(found, wanted, strict=True):
                    array = tensor.detach() if isinstance(tensor, torch.Tensor) else tensor
                    np.testing.assert_array_equal(np.asarray(array), numbers)
        times = medians({"ours": ours, "theirs": run}, args.rounds, repeat=100)
        faster = times["theirs"] / times["ours"]
        each = (
            f"{times['theirs'] / args.layers * 1e6:.1f} us against {times['ours'] / args.layers * 1e6:.2f} us per layer"
        )
        report(what, name, times["ours"] / times["theirs"], "<= 0.067", f"{faster:.0f} times faster: {each}")


if __name__ == "__main__":
    main()
