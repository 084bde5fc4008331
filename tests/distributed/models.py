"""A character language model of plain functions, and what the tests here do with it."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, Replicate, Shard

from tests.releases.limits import VERSION
from torchscope import ScopedModule, get_variable, ones_initializer, variable_scope, zeros_initializer
from torchscope.distributed import redistribute
from torchscope.tools import layer

WORDS, WIDTH, HEADS, LENGTH, LAYERS = 16, 8, 4, 9, 2


def norm(x: Tensor) -> Tensor:
    x = redistribute(x, SEQUENCE) if SEQUENCE else x
    scale = get_variable("scale", [WIDTH], initializer=ones_initializer(), axes=(None,))
    return F.layer_norm(
        x, (WIDTH,), scale, get_variable("bias", [WIDTH], initializer=zeros_initializer(), axes=(None,))
    )


SEQUENCE: dict[str, Shard] = {}  # how the positions of a norm are laid out


def attention(x: Tensor) -> Tensor:
    batch, length, _ = x.shape

    def heads(name: str) -> Tensor:
        y = x @ get_variable(name, [WIDTH, WIDTH], axes=("embed", "heads"))
        return y.view(batch, length, HEADS, WIDTH // HEADS).transpose(1, 2)

    y = F.scaled_dot_product_attention(heads("query"), heads("key"), heads("value"), is_causal=True)
    y = y.transpose(1, 2).reshape(batch, length, WIDTH)
    return y @ get_variable("out", [WIDTH, WIDTH], axes=("heads", "embed"))


def mlp(x: Tensor) -> Tensor:
    hidden = 4 * WIDTH
    up = get_variable("up", [WIDTH, hidden], axes=("embed", "mlp"))
    bias = get_variable("bias", [hidden], initializer=zeros_initializer(), axes=("mlp",))
    return F.gelu(x @ up + bias) @ get_variable("down", [hidden, WIDTH], axes=("mlp", "embed"))


@layer
def block(x: Tensor) -> Tensor:
    with variable_scope("norm1"):
        y = norm(x)
    with variable_scope("attention"):
        x = x + attention(y)
    with variable_scope("norm2"):
        y = norm(x)
    with variable_scope("mlp"):
        return x + mlp(y)


def loss(tokens: Tensor) -> Tensor:
    words = get_variable("words", [WORDS, WIDTH], axes=("vocabulary", "embed"))
    x = F.embedding(tokens, words) + get_variable("positions", [LENGTH, WIDTH], axes=(None, "embed"))
    for n in range(LAYERS):
        x = block(x, scope=f"h{n}")  # type: ignore[call-arg]
    logits = x @ words.mT
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())


# Words cannot be looked up in a table that is cut by rows before torch 2.12, whose own functions fail there too.
CUTS_WORDS = VERSION >= (2, 12)
RULES = {
    "**/{query,key,value,up}": Shard(1),
    "**/{attention/out,down}": Shard(0),
    "**/mlp/bias": Shard(0),
    "words": Shard(0) if CUTS_WORDS else Replicate(),
    "**": Replicate(),
}
AXES = {"heads": "tp", "mlp": "tp", "vocabulary": "tp" if CUTS_WORDS else None, "embed": None}


def tokens(batch: int = 4) -> Tensor:
    return torch.randint(0, WORDS, (batch, LENGTH), generator=torch.Generator().manual_seed(1))


def reference() -> ScopedModule:
    """The model on one process."""
    return ScopedModule(loss, seed=0).build(tokens())


def train(
    model: Callable[[Tensor], Tensor], parameters: list[nn.Parameter], batch: Tensor, steps: int = 20
) -> list[float]:
    """The losses of some steps of AdamW, gradients clipped."""
    optimizer = torch.optim.AdamW(parameters, lr=1e-2)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        value = model(batch)
        value.backward()
        nn.utils.clip_grad_norm_(parameters, 0.5)
        optimizer.step()
        losses.append(float(value.detach()))
    return losses


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor, whether it is laid out or not."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def assert_same_start(model: ScopedModule, expected: ScopedModule) -> None:
    """All numbers are those of another module, bit by bit."""
    assert list(model.variables) == list(expected.variables)
    for path, tensor in expected.variables.items():
        assert torch.equal(whole(model.variables[path]), tensor), path
