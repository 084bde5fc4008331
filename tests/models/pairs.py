"""Scoped models, each with the same network written by hand with ``nn.Module``s and the same weights."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tests.models.image_filters import ImageFilters, images
from torchscope import (
    AUTO_REUSE,
    ScopedModule,
    constant_initializer,
    get_buffer,
    get_module,
    get_variable,
    make_template,
    ones_initializer,
    recompute,
    variable_scope,
    zeros_initializer,
)

Inputs = tuple[Tensor, ...]


@dataclass(frozen=True)
class Pair:
    """A model twice, and what it runs on.

    ``names`` maps each key of the hand-written module's ``state_dict`` to the scoped one's.
    """

    name: str
    scoped: Callable[[], nn.Module]
    by_hand: Callable[[], nn.Module]
    inputs: Callable[[], Inputs]
    names: dict[str, str]

    def twice_by_hand(self) -> Pair:
        """The hand-written model against itself: what fails for this pair too is beyond torch."""
        return replace(self, scoped=self.by_hand, names={name: name for name in self.names})

    def make(self) -> tuple[nn.Module, nn.Module, Inputs]:
        """The scoped model, built; the hand-written one with the same weights; inputs."""
        inputs = self.inputs()
        scoped, by_hand = self.scoped(), self.by_hand()
        with torch.no_grad():
            scoped(*inputs)
        state = scoped.state_dict()
        by_hand.load_state_dict({key: state[name] for key, name in self.names.items()})
        assert set(self.names.values()) == set(state)
        return scoped, by_hand, inputs


def names_of(**layers: str) -> dict[str, str]:
    """Names of dense layers: ``weight`` and ``bias`` of a hand-written one, ``kernel`` and ``bias`` of a scoped one."""
    ours = {"weight": "kernel", "bias": "bias"}
    return {
        f"{key.replace('__', '.')}.{theirs}": f"variables.{path}/{name}"
        for key, path in layers.items()
        for theirs, name in ours.items()
    }


def batch(*shape: int) -> Callable[[], Inputs]:
    return lambda: (torch.rand(*shape, generator=torch.Generator().manual_seed(0), device="cpu").to(torch.ones(0)),)


def dense(x: Tensor, units: int, name: str = "dense") -> Tensor:
    with variable_scope(name):
        kernel = get_variable("kernel", [units, x.shape[-1]])
        bias = get_variable("bias", [units], initializer=constant_initializer(0.1))
    return F.linear(x, kernel, bias)


# The image filter that two images share -----------------------------------------------------------------------------


class PlainFilters(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 5, padding="same")
        self.conv2 = nn.Conv2d(32, 32, 5, padding="same")

    def one(self, x: Tensor) -> Tensor:
        return F.relu(self.conv2(F.relu(self.conv1(x))))

    def forward(self, image1: Tensor, image2: Tensor) -> tuple[Tensor, Tensor]:
        return self.one(image1), self.one(image2)


FILTERS = Pair(
    "image filters",
    lambda: ImageFilters(seed=0),
    PlainFilters,
    images,
    {
        f"conv{n}.{theirs}": f"variables.image_filters/conv{n}/{ours}"
        for n in (1, 2)
        for theirs, ours in (("weight", "weights"), ("bias", "biases"))
    },
)


# A perceptron whose layers are a hundred scopes deep ----------------------------------------------------------------


class Deep(ScopedModule):
    """Scopes within scopes, a layer in each."""

    def __init__(self, depth: int) -> None:
        super().__init__(seed=0)
        self.depth = depth

    def forward(self, x: Tensor) -> Tensor:
        with ExitStack() as scopes:
            for layer in range(self.depth):
                scopes.enter_context(variable_scope(f"l{layer}"))
                x = torch.tanh(dense(x, 4))
        return x


class PlainTower(nn.Module):
    """Layers of one width, each followed by a tanh."""

    def __init__(self, depth: int, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.tanh(layer(x))
        return x


def tower(depth: int) -> Pair:
    return Pair(
        f"{depth} scopes deep",
        lambda: Deep(depth),
        lambda: PlainTower(depth, 4),
        batch(2, 4),
        names_of(**{f"layers__{n}": "/".join(f"l{m}" for m in range(n + 1)) + "/dense" for n in range(depth)}),
    )


DEEP, SHALLOWER = tower(100), tower(10)


# A small transformer of functions -----------------------------------------------------------------------------------

WIDTH, HEADS, LAYERS, VOCABULARY = 16, 2, 2, 11


def layer_norm(x: Tensor, name: str) -> Tensor:
    width = x.shape[-1:]
    with variable_scope(name):
        scale = get_variable("kernel", width, initializer=ones_initializer())
        shift = get_variable("bias", width, initializer=zeros_initializer())
    return F.layer_norm(x, width, scale, shift)


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    heads = [*q.shape[:2], HEADS, WIDTH // HEADS]
    q, k, v = (t.reshape(heads).transpose(1, 2) for t in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(*heads[:2], WIDTH)


def attention(x: Tensor) -> Tensor:
    with variable_scope("attention"):
        q, k, v = dense(x, 3 * WIDTH, "qkv").chunk(3, -1)
        return dense(attend(q, k, v), WIDTH, "out")


def feed_forward(x: Tensor) -> Tensor:
    with variable_scope("feed_forward"):
        return dense(F.gelu(dense(x, 4 * WIDTH, "in")), WIDTH, "out")


def transformer(tokens: Tensor) -> Tensor:
    embedding = get_variable("embedding", [VOCABULARY, WIDTH])
    x = F.embedding(tokens, embedding)
    for _ in range(LAYERS):
        with variable_scope(None, default_name="layer"):
            x = x + attention(layer_norm(x, "norm1"))
            x = x + feed_forward(layer_norm(x, "norm2"))
    return layer_norm(x, "norm") @ embedding.T


class PlainAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, -1)
        return self.out(attend(q, k, v))


class PlainFeedForward(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.gelu(self.up(x)))


class PlainLayer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attention, self.feed_forward = PlainAttention(), PlainFeedForward()

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.feed_forward(self.norm2(x))


class PlainTransformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.empty(VOCABULARY, WIDTH))
        self.layers = nn.ModuleList(PlainLayer() for _ in range(LAYERS))
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, tokens: Tensor) -> Tensor:
        x = F.embedding(tokens, self.embedding)
        for layer in self.layers:
            x = layer(x)
        return self.norm(x) @ self.embedding.T


def tokens() -> Inputs:
    return ((torch.arange(10) * 7 % VOCABULARY).reshape(2, 5),)


INSIDE = {
    "norm1": "norm1",
    "norm2": "norm2",
    "attention__qkv": "attention/qkv",
    "attention__out": "attention/out",
    "feed_forward__up": "feed_forward/in",
    "feed_forward__down": "feed_forward/out",
}
TRANSFORMER = Pair(
    "transformer",
    lambda: ScopedModule(transformer, seed=0),
    PlainTransformer,
    tokens,
    {"embedding": "variables.embedding"}
    | names_of(norm="norm")
    | names_of(
        **{
            f"layers__{n}__{key}": f"layer{f'_{n}' if n else ''}/{path}"
            for n in range(LAYERS)
            for key, path in INSIDE.items()
        }
    ),
)


# ScopedModules inside plain modules inside ScopedModules ------------------------------------------------------------


class Inner(ScopedModule):
    def forward(self, x: Tensor) -> Tensor:
        with variable_scope("inner"):
            return torch.tanh(dense(x, 4))


class Outer(ScopedModule):
    def __init__(self) -> None:
        super().__init__(seed=1)
        self.middle = nn.Sequential(nn.Linear(4, 4), Inner(seed=2))

    def forward(self, x: Tensor) -> Tensor:
        with variable_scope("outer"):
            x = self.middle(dense(x, 4, "first"))
            return dense(x, 2, "last")


class PlainNested(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c, self.d, self.e = (nn.Linear(4, n) for n in (4, 4, 4, 4, 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.e(torch.tanh(self.d(self.c(self.b(F.relu(self.a(x)))))))


NESTED = Pair(
    "nested",
    lambda: nn.Sequential(nn.Linear(4, 4), nn.ReLU(), Outer()),
    PlainNested,
    batch(3, 4),
    {
        "a.weight": "0.weight",
        "a.bias": "0.bias",
        "b.weight": "2.variables.outer/first/kernel",
        "b.bias": "2.variables.outer/first/bias",
        "c.weight": "2.middle.0.weight",
        "c.bias": "2.middle.0.bias",
        "d.weight": "2.middle.1.variables.inner/dense/kernel",
        "d.bias": "2.middle.1.variables.inner/dense/bias",
        "e.weight": "2.variables.outer/last/kernel",
        "e.bias": "2.variables.outer/last/bias",
    },
)


# Sharing by AUTO_REUSE, by a template, and through a getter ---------------------------------------------------------


def siamese(left: Tensor, right: Tensor) -> Tensor:
    def tower(x: Tensor) -> Tensor:
        with variable_scope("tower", reuse=AUTO_REUSE):
            return torch.tanh(dense(x, 3))

    return (tower(left) * tower(right)).sum(-1)


class PlainSiamese(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tower = nn.Linear(4, 3)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return (torch.tanh(self.tower(left)) * torch.tanh(self.tower(right))).sum(-1)


def two_batches() -> Inputs:
    (both,) = batch(4, 4)()
    return both[:2].clone(), both[2:].clone()


AUTO = Pair(
    "AUTO_REUSE", lambda: ScopedModule(siamese, seed=0), PlainSiamese, two_batches, names_of(tower="tower/dense")
)


def templated(left: Tensor, right: Tensor) -> Tensor:
    tower = make_template("tower", lambda x: torch.tanh(dense(x, 3)))
    return (tower(left) * tower(right)).sum(-1)


TEMPLATE = Pair(
    "template", lambda: ScopedModule(templated, seed=0), PlainSiamese, two_batches, names_of(tower="tower/dense")
)


def weight_norm(getter: Any, name: str, *args: Any, **kwargs: Any) -> Tensor:
    direction: Tensor = getter(name, *args, **kwargs)
    if direction.dim() < 2:
        return direction
    length: Tensor = getter(name + "_length", [direction.shape[0], 1], initializer=ones_initializer())
    return length * direction / direction.norm(dim=1, keepdim=True)


def normalized(x: Tensor) -> Tensor:
    with variable_scope("normalized", custom_getter=weight_norm):
        return dense(x, 3)


class PlainNormalized(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.direction = nn.Parameter(torch.empty(3, 4))
        self.length = nn.Parameter(torch.empty(3, 1))
        self.bias = nn.Parameter(torch.empty(3))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.length * self.direction / self.direction.norm(dim=1, keepdim=True)
        return F.linear(x, weight, self.bias)


GETTER = Pair(
    "custom getter",
    lambda: ScopedModule(normalized, seed=0),
    PlainNormalized,
    batch(2, 4),
    {
        "direction": "variables.normalized/dense/kernel",
        "length": "variables.normalized/dense/kernel_length",
        "bias": "variables.normalized/dense/bias",
    },
)


# Buffers that the forward updates -----------------------------------------------------------------------------------


class Normalizing(ScopedModule):
    def forward(self, x: Tensor) -> Tensor:
        x = dense(x, 3)
        with variable_scope("norm"):
            mean = get_buffer("mean", [3], initializer=zeros_initializer())
            variance = get_buffer("variance", [3], initializer=ones_initializer())
        return F.batch_norm(x, mean, variance, training=self.training, momentum=0.1)


class PlainNormalizing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(4, 3)
        self.register_buffer("mean", torch.zeros(3))
        self.register_buffer("variance", torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(self.dense(x), self.mean, self.variance, training=self.training, momentum=0.1)


BUFFERS = Pair(
    "buffers",
    lambda: Normalizing(seed=0),
    PlainNormalizing,
    batch(5, 4),
    names_of(dense="dense") | {"mean": "variables.norm/mean", "variance": "variables.norm/variance"},
)


# Whole modules in scopes, functions that forget activations, variables in parts -------------------------------------


def with_modules(x: Tensor) -> Tensor:
    with variable_scope("block"):
        x = get_module("project", nn.Linear, x.shape[-1], 3)(x)
        x = get_module("norm", nn.LayerNorm, 3)(x)
    return dense(x, 2)


class PlainModules(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.project, self.norm, self.dense = nn.Linear(4, 3), nn.LayerNorm(3), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.dense(self.norm(self.project(x)))


MODULES = Pair(
    "get_module",
    lambda: ScopedModule(with_modules, seed=0),
    PlainModules,
    batch(2, 4),
    {f"{name}.{part}": f"variables.block/{name}.{part}" for name in ("project", "norm") for part in ("weight", "bias")}
    | names_of(dense="dense"),
)


def checkpointed(x: Tensor) -> Tensor:
    for layer in range(2):
        with variable_scope(f"layer_{layer}"):
            x = recompute.checkpoint(lambda x: torch.tanh(dense(x, 4)), x, use_reentrant=False)
    return x


class PlainCheckpointed(PlainTower):
    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = checkpoint(lambda x, layer=layer: torch.tanh(layer(x)), x, use_reentrant=False)
        return x


CHECKPOINTED = Pair(
    "checkpointed functions",
    lambda: ScopedModule(checkpointed, seed=0),
    lambda: PlainCheckpointed(2, 4),
    batch(2, 4),
    names_of(**{f"layers__{n}": f"layer_{n}/dense" for n in range(2)}),
)


def in_parts(x: Tensor) -> Tensor:
    with variable_scope("wide", partitioner=lambda shape, dtype: [2] + [1] * (len(shape) - 1)):
        return dense(x, 6)


class PlainInParts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.upper, self.lower = nn.Linear(4, 3), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        weight = torch.cat([self.upper.weight, self.lower.weight])
        return F.linear(x, weight, torch.cat([self.upper.bias, self.lower.bias]))


IN_PARTS = Pair(
    "variables in parts",
    lambda: ScopedModule(in_parts, seed=0),
    PlainInParts,
    batch(2, 4),
    {
        f"{half}.{theirs}": f"variables.wide/dense/{ours}/part_{n}"
        for n, half in enumerate(("upper", "lower"))
        for theirs, ours in (("weight", "kernel"), ("bias", "bias"))
    },
)


PAIRS = [FILTERS, DEEP, TRANSFORMER, NESTED, AUTO, TEMPLATE, GETTER, BUFFERS, MODULES, CHECKPOINTED, IN_PARTS]
