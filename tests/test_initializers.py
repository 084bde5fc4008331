"""TensorFlow 1's initializers: values, distributions, fans, seeds and errors."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import torchscope
from torchscope import (
    ArgumentTypeError,
    ArgumentValueError,
    ScopedModule,
    constant_initializer,
    get_variable,
    glorot_normal_initializer,
    glorot_uniform_initializer,
    he_normal_initializer,
    he_uniform_initializer,
    identity_initializer,
    initializers,
    lecun_normal_initializer,
    lecun_uniform_initializer,
    ones_initializer,
    orthogonal_initializer,
    random_normal_initializer,
    random_uniform_initializer,
    truncated_normal_initializer,
    uniform_unit_scaling_initializer,
    variance_scaling_initializer,
    zeros_initializer,
)

RANDOM = [
    random_normal_initializer,
    random_uniform_initializer,
    truncated_normal_initializer,
    uniform_unit_scaling_initializer,
    variance_scaling_initializer,
    glorot_normal_initializer,
    glorot_uniform_initializer,
    he_normal_initializer,
    he_uniform_initializer,
    lecun_normal_initializer,
    lecun_uniform_initializer,
    orthogonal_initializer,
]
FIXED = [zeros_initializer, ones_initializer, constant_initializer, identity_initializer]


def name(value: Any) -> str:
    return getattr(value, "__name__", str(value))


# Shapes and fans, TensorFlow's way of counting: a vector's fans are both its length.
FANS = [
    ((), "torch", (1, 1)),
    ((7,), "torch", (7, 7)),
    ((3, 5), "torch", (5, 3)),
    ((3, 5), "tf", (3, 5)),
    ((32, 3, 5, 7), "torch", (105, 1120)),
    ((5, 7, 3, 32), "tf", (105, 1120)),
]


@pytest.mark.parametrize(("shape", "layout", "expected"), FANS)
def test_fans_are_read_from_the_layout(shape: tuple[int, ...], layout: Any, expected: tuple[int, int]) -> None:
    assert initializers.fans(shape, layout) == expected


# Standard deviation asked for, by the definition of each, for a [400, 100] torch weight: fan_in 100, fan_out 400.
STDDEV: dict[str, tuple[Callable[[Tensor], Tensor], float, float]] = {
    # what: (initializer, standard deviation, largest absolute value)
    "normal": (random_normal_initializer(0.0, 0.5), 0.5, math.inf),
    "truncated normal": (truncated_normal_initializer(0.0, 0.5), 0.5 * 0.87962566, 1.0),
    "uniform": (random_uniform_initializer(-0.5, 0.5), 1 / math.sqrt(12), 0.5),
    "uniform to 1": (random_uniform_initializer(-1), 2 / math.sqrt(12), 1),
    "unit scaling": (uniform_unit_scaling_initializer(2.0), 2 * math.sqrt(1 / 100), 2 * math.sqrt(3 / 100)),
    "unit scaling, tf": (uniform_unit_scaling_initializer(layout="tf"), math.sqrt(1 / 400), math.sqrt(3 / 400)),
    "scaling fan_in": (variance_scaling_initializer(3.0), math.sqrt(3 / 100), 2 * math.sqrt(3 / 100) / 0.87962566),
    "scaling fan_out": (variance_scaling_initializer(3.0, "fan_out"), math.sqrt(3 / 400), math.inf),
    "scaling fan_in, tf": (variance_scaling_initializer(3.0, layout="tf"), math.sqrt(3 / 400), math.inf),
    "scaling normal": (variance_scaling_initializer(distribution="normal"), 0.1, 0.2 / 0.87962566),
    "scaling untruncated": (variance_scaling_initializer(distribution="untruncated_normal"), 0.1, math.inf),
    "scaling uniform": (variance_scaling_initializer(distribution="uniform"), 0.1, math.sqrt(0.03)),
    "glorot normal": (glorot_normal_initializer(), math.sqrt(2 / 500), 2 * math.sqrt(2 / 500) / 0.87962566),
    "glorot uniform": (glorot_uniform_initializer(), math.sqrt(2 / 500), math.sqrt(6 / 500)),
    "he normal": (he_normal_initializer(), math.sqrt(2 / 100), 2 * math.sqrt(2 / 100) / 0.87962566),
    "he uniform": (he_uniform_initializer(), math.sqrt(2 / 100), math.sqrt(6 / 100)),
    "he normal, tf": (he_normal_initializer(layout="tf"), math.sqrt(2 / 400), math.inf),
    "lecun normal": (lecun_normal_initializer(), math.sqrt(1 / 100), 2 * math.sqrt(1 / 100) / 0.87962566),
    "lecun uniform": (lecun_uniform_initializer(), math.sqrt(1 / 100), math.sqrt(3 / 100)),
}


@pytest.mark.parametrize("what", STDDEV)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.float64], ids=str)
def test_a_distribution_has_the_standard_deviation_and_the_bound_asked_for(what: str, dtype: torch.dtype) -> None:
    initializer, stddev, largest = STDDEV[what]
    torch.manual_seed(0)
    filled = initializer(torch.full((400, 100), math.nan, dtype=dtype)).double()
    assert filled.std().item() == pytest.approx(stddev, rel=0.02)  # 40,000 draws: one part in 280
    assert filled.mean().item() == pytest.approx(0, abs=0.03 * stddev)
    assert filled.abs().max().item() <= largest * 1.001


def test_the_mean_moves_the_normals_and_a_deviation_of_zero_is_the_mean() -> None:
    assert random_normal_initializer(3.0, 0.1, seed=1)(torch.empty(1000)).mean().item() == pytest.approx(3, abs=0.02)
    assert truncated_normal_initializer(3.0, 0.1, seed=1)(torch.empty(1000)).min().item() >= 2.8
    assert truncated_normal_initializer(3.0, 0.0)(torch.empty(3)).tolist() == [3, 3, 3]


def test_integers_are_drawn_uniformly_and_need_a_maximum() -> None:
    drawn = random_uniform_initializer(2, 6, seed=0)(torch.empty(1000, dtype=torch.int32))
    assert drawn.unique().tolist() == [2, 3, 4, 5]
    with pytest.raises(ArgumentValueError, match=r"Give maxval for the integer dtype torch\.int32"):
        random_uniform_initializer()(torch.empty(3, dtype=torch.int32))


@pytest.mark.parametrize("kind", [k for k in RANDOM if k is not random_uniform_initializer], ids=name)
def test_random_fills_floats_only(kind: Any) -> None:
    with pytest.raises(ArgumentValueError, match="fills floating dtypes only"):
        kind()(torch.empty(2, 2, dtype=torch.int64))


@pytest.mark.parametrize("kind", RANDOM, ids=name)
def test_a_seed_gives_the_same_numbers_each_time_and_leaves_torchs_generator_alone(kind: Any) -> None:
    state = torch.get_rng_state()
    first, second = kind(seed=3)(torch.empty(4, 4)), kind(seed=3)(torch.empty(4, 4))
    assert torch.equal(first, second)
    assert not torch.equal(first, kind(seed=4)(torch.empty(4, 4)))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.allclose(kind(seed=3)(torch.empty(4, 4, dtype=torch.bfloat16)).float(), first, atol=0.02)


@pytest.mark.parametrize("kind", RANDOM, ids=name)
def test_without_a_seed_torchs_generator_is_used(kind: Any) -> None:
    torch.manual_seed(0)
    first, second = kind()(torch.empty(4, 4)), kind()(torch.empty(4, 4))
    torch.manual_seed(0)
    assert torch.equal(kind()(torch.empty(4, 4)), first)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("kind", RANDOM + FIXED, ids=name)
def test_it_fills_in_place_without_gradient_also_on_the_meta_device_and_has_a_repr(kind: Any) -> None:
    tensor = nn.Parameter(torch.empty(3, 3))
    assert kind()(tensor) is tensor
    assert tensor.grad_fn is None
    assert tensor.isfinite().all()
    assert kind()(torch.empty(3, 3, device="meta")).is_meta
    assert repr(kind()).startswith(kind.__name__ + "(")


@pytest.mark.parametrize("kind", RANDOM + FIXED, ids=name)
def test_dtype_is_taken_as_in_tensorflow_and_must_be_one(kind: Any) -> None:
    assert kind(dtype=torch.float64)(torch.empty(2, 2)).dtype is torch.float32
    with pytest.raises(ArgumentTypeError, match="dtype cannot be 'float32'"):
        kind(dtype="float32")


# What TensorFlow 2.21 gives for tf.compat.v1.constant_initializer(value) in a variable of that shape.
CONSTANTS = [
    (2.5, (2, 2), [[2.5, 2.5], [2.5, 2.5]]),
    ([1.0, 2.0, 3.0], (2, 3), [[1, 2, 3], [3, 3, 3]]),
    ([1.0, 2.0, 3.0, 4.0], (2, 2), [[1, 2], [3, 4]]),
    (np.array([[1.0, 2.0], [3.0, 4.0]]), (4,), [1, 2, 3, 4]),
]


@pytest.mark.parametrize(("value", "shape", "expected"), CONSTANTS, ids=str)
def test_a_constant_fills_in_order_and_goes_on_with_its_last_number(value: Any, shape: Any, expected: Any) -> None:
    assert constant_initializer(value)(torch.empty(shape)).tolist() == expected


def test_a_constant_of_the_wrong_size_is_an_error() -> None:
    with pytest.raises(ArgumentValueError, match=r"It has 3 elements; shape \(2,\) takes 2"):
        constant_initializer([1, 2, 3])(torch.empty(2))
    with pytest.raises(ArgumentValueError, match=r"It has 0 elements; shape \(2,\) takes 2"):
        constant_initializer([])(torch.empty(2))
    with pytest.raises(ArgumentTypeError, match=r"With verify_shape=True the value must have .* shape \(2, 2\)"):
        constant_initializer([1, 2, 3, 4], verify_shape=True)(torch.empty(2, 2))
    with pytest.raises(ArgumentTypeError, match=r"dtype torch.float32 does not fit into the variable's torch.int64"):
        constant_initializer(1.5)(torch.empty(2, dtype=torch.int64))
    assert constant_initializer(2)(torch.empty(2)).tolist() == [2, 2]
    assert constant_initializer([[1, 2]], verify_shape=True)(torch.empty(1, 2)).tolist() == [[1, 2]]


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 4), (6, 2, 3), (2, 6, 3)], ids=str)
@pytest.mark.parametrize("layout", ["torch", "tf"])
def test_orthogonal_is_orthogonal_along_its_smaller_side(shape: tuple[int, ...], layout: Any) -> None:
    filled = orthogonal_initializer(2.0, seed=0, layout=layout)(torch.empty(shape)) / 2
    matrix = filled.reshape(shape[0], -1) if layout == "torch" else filled.reshape(-1, shape[-1])
    product = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    assert torch.allclose(product, torch.eye(len(product)), atol=1e-5)


def test_orthogonal_takes_empty_tensors() -> None:
    assert orthogonal_initializer()(torch.empty(0, 3)).shape == (0, 3)


def test_matrices_are_asked_for_where_they_are_needed() -> None:
    with pytest.raises(ArgumentValueError, match="orthogonal_initializer needs at least two dimensions"):
        orthogonal_initializer()(torch.empty(3))
    with pytest.raises(ArgumentValueError, match="identity_initializer fills matrices only"):
        identity_initializer()(torch.empty(3, 3, 3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": 0.0}, "scale=0.0 is not allowed here.\nGive a positive number"),
        ({"scale": math.nan}, "scale=nan is not allowed"),
        ({"mode": "fan"}, "mode='fan' is not allowed"),
        ({"distribution": "gamma"}, "distribution='gamma' is not allowed"),
        ({"layout": "NHWC"}, "layout='NHWC' is not allowed"),
    ],
)
def test_variance_scaling_refuses_what_it_does_not_know(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentValueError, match=message):
        variance_scaling_initializer(**options)


def test_all_of_tensorflows_initializers_are_there() -> None:
    exported = {each for each in vars(torchscope) if each.endswith("_initializer")}
    assert exported == {kind.__name__ for kind in RANDOM + FIXED}


# The seed of a module


def numbers(seed: int | None, names: list[str], **options: Any) -> dict[str, Tensor]:
    def forward() -> None:
        for each in names:
            get_variable(each, [3, 3], **options)

    held = ScopedModule(forward, seed=seed).build().variables
    return {path: variable.detach().clone() for path, variable in held.items()}


class _NoisyZeros(zeros_initializer):
    def __call__(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.copy_(torch.rand(tensor.shape))


FILLERS: dict[str, Any] = {
    "ours": None,
    "torch": nn.init.xavier_normal_,
    "partial": partial(nn.init.normal_, std=0.5),
    "partial of a partial": partial(partial(lambda scale, t: t.normal_(0, scale), 0.5)),
    "without generator": lambda t: t.copy_(torch.rand(t.shape)),
    "a subclass of what draws nothing": _NoisyZeros(),
}


@pytest.mark.parametrize("what", FILLERS)
def test_a_seed_makes_each_variable_from_seed_and_path_alone(what: str) -> None:
    options = {"initializer": FILLERS[what]}
    first = numbers(7, ["ab/c", "a/bc", "x"], **options)
    state = torch.get_rng_state()
    second = numbers(7, ["x", "new", "a/bc", "ab/c"], **options)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(first[path], second[path]) for path in first)
    assert not torch.equal(first["ab/c"], first["a/bc"])
    assert not torch.equal(first["x"], numbers(8, ["x"], **options)["x"])


def test_a_seed_holds_for_initializers_that_return_their_value() -> None:
    def forward() -> None:
        get_variable("w", initializer=lambda: torch.randn(3))

    state = torch.get_rng_state()
    one, two = ScopedModule(forward, seed=0).build(), ScopedModule(forward, seed=0).build()
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one.variables["w"], two.variables["w"])
    one.variables["w"].detach().zero_()
    one.reset_parameters()
    assert torch.equal(one.variables["w"], two.variables["w"])


def test_a_seeded_initializer_may_run_another_seeded_module() -> None:
    inner = ScopedModule(lambda: get_variable("w", [2], initializer=lambda t: t.normal_()), seed=1).build()
    outer = ScopedModule(lambda: get_variable("w", [2], initializer=lambda t: t.copy_(inner())), seed=2)
    assert torch.equal(outer(), inner())


def test_without_a_seed_torchs_generator_decides() -> None:
    torch.manual_seed(5)
    first = numbers(None, ["x", "y"])
    torch.manual_seed(5)
    second = numbers(None, ["x", "y"])
    assert torch.equal(first["x"], second["x"])
    assert not torch.equal(first["x"], first["y"])


def test_a_seed_gives_the_same_numbers_on_every_device(cuda: torch.device) -> None:
    def forward() -> None:
        get_variable("w", [3, 3])

    on_cuda = ScopedModule(forward, seed=1, device=cuda).build().variables["w"]
    on_cpu = ScopedModule(forward, seed=1, device="cpu").build().variables["w"]
    assert torch.equal(on_cuda.cpu(), on_cpu)


def test_reset_parameters_gives_the_first_numbers_again_also_after_meta() -> None:
    def forward() -> None:
        get_variable("random", [3, 3])
        get_variable("constant", initializer=[1.0, 2.0])
        get_variable("called", initializer=lambda: torch.ones(2))
        torchscope.get_buffer("buffer", [2], initializer=ones_initializer())

    real = ScopedModule(forward, seed=3).build()
    first = {path: variable.detach().clone() for path, variable in real.variables.items()}
    for variable in real.variables.values():
        variable.detach().zero_()
    real.reset_parameters()
    with torch.device("meta"):
        meta = ScopedModule(forward, seed=3).build()
    assert all(variable.is_meta for variable in meta.variables.values())
    meta.to_empty(device=first["random"].device)
    meta.reset_parameters()
    for path, value in first.items():
        assert torch.equal(real.variables[path], value), path
        assert torch.equal(meta.variables[path], value), path
    assert meta.variables["random"].requires_grad


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("make", [zeros_initializer, ones_initializer, lambda: constant_initializer([1.0, 2.0])])
def test_initializers_go_through_pickle_by_every_protocol(make: Any, protocol: int) -> None:
    again = pickle.loads(pickle.dumps(make(), protocol))
    assert torch.equal(again(torch.empty(2)), make()(torch.empty(2)))


def test_verify_shape_is_a_yes_or_no() -> None:
    with pytest.raises(ArgumentTypeError, match="verify_shape cannot be 'x'"):
        constant_initializer(1, verify_shape="x")  # type: ignore[arg-type]
