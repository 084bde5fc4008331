"""What is not here because torch has a line for it, and what is not here at all: who asks for it is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from ._graph_only import instead_of

# Of x and y, floats; p, positive floats; i, j and k, integers; b and c, bools; m, a square matrix; v, a vector.
TORCHS: dict[str, str] = {
    "tf.abs": "x.abs()",
    "tf.add": "x + y",
    "tf.add_n": "sum([x, y])",
    "tf.argsort": "x.argsort(dim=-1, stable=True).int()",
    "tf.broadcast_to": "x.expand(2, 3, 4)",
    "tf.cast": "x.to(torch.int32)",
    "tf.clip_by_value": "x.clamp(-0.5, 0.5)",
    "tf.concat": "torch.cat([x, y], 1)",
    "tf.constant": "torch.tensor([1.0, 2.0], dtype=torch.float32)",
    "tf.cos": "x.cos()",
    "tf.diag": "torch.diag(v)",
    "tf.divide": "x / p",
    "tf.einsum": "torch.einsum('ab,cb->ac', x, y)",
    "tf.equal": "i == j",
    "tf.exp": "x.exp()",
    "tf.expand_dims": "x.unsqueeze(1)",
    "tf.eye": "torch.eye(3, 4)",
    "tf.fill": "torch.full([2, 3], 5.0)",
    "tf.floor": "x.floor()",
    "tf.gather": "x.index_select(1, k)",
    "tf.get_shape": "x.shape",
    "tf.greater": "x > y",
    "tf.greater_equal": "i >= j",
    "tf.less": "x < y",
    "tf.less_equal": "i <= j",
    "tf.log": "p.log()",
    "tf.log1p": "p.log1p()",
    "tf.logical_and": "b & c",
    "tf.logical_not": "~b",
    "tf.logical_or": "b | c",
    "tf.matmul": "x @ y.mT",
    "tf.matrix_determinant": "torch.linalg.det(m)",
    "tf.matrix_inverse": "torch.linalg.inv(m)",
    "tf.mod": "i % (3 + j * j)",
    "tf.multiply": "x * y",
    "tf.nn.elu": "F.elu(x)",
    "tf.nn.relu": "torch.relu(x)",
    "tf.nn.sigmoid": "torch.sigmoid(x)",
    "tf.nn.softplus": "F.softplus(x)",
    "tf.nn.swish": "F.silu(x)",
    "tf.nn.tanh": "torch.tanh(x)",
    "tf.norm": "torch.linalg.vector_norm(x, dim=1)",
    "tf.not_equal": "i != j",
    "tf.ones": "torch.ones([2, 3])",
    "tf.ones_like": "torch.ones_like(x)",
    "tf.pow": "p ** 1.5",
    "tf.range": "torch.arange(2, 8, 3, dtype=torch.int32)",
    "tf.rank": "x.dim()",
    "tf.reduce_all": "b.all()",
    "tf.reduce_logsumexp": "x.logsumexp(1)",
    "tf.reduce_max": "x.amax(1)",
    "tf.reduce_min": "x.amin(1)",
    "tf.reduce_prod": "x.prod(1, dtype=x.dtype)",
    "tf.reduce_sum": "x.sum(1, keepdim=True, dtype=x.dtype)",
    "tf.reshape": "x.reshape(2, -1)",
    "tf.round": "(x * 2).round()",
    "tf.rsqrt": "p.rsqrt()",
    "tf.shape": "x.shape",
    "tf.sigmoid": "torch.sigmoid(x)",
    "tf.sign": "x.sign()",
    "tf.sin": "x.sin()",
    "tf.size": "x.numel()",
    "tf.sort": "x.sort(-1).values",
    "tf.sqrt": "p.sqrt()",
    "tf.square": "x.square()",
    "tf.squared_difference": "(x - y).square()",
    "tf.stack": "torch.stack([x, y], 1)",
    "tf.subtract": "x - y",
    "tf.tanh": "torch.tanh(x)",
    "tf.tensordot": "torch.tensordot(x, y, dims=([1], [1]))",
    "tf.tile": "x.tile(2, 1)",
    "tf.to_float": "i.float()",
    "tf.to_int64": "x.long()",
    "tf.unstack": "x.unbind(1)",
    "tf.zeros": "torch.zeros([2, 3])",
    "tf.zeros_like": "torch.zeros_like(x)",
}


def lacking(package: str) -> Callable[[str], NoReturn]:
    """A module's ``__getattr__``: what to write for a symbol of TensorFlow that the module does not have.

    >>> lacking("tf.nn")("relu")
    Traceback (most recent call last):
        ...
    AttributeError: torchscope.tf1 has no tf.nn.relu: torch has a line for it, torch.relu(x). All are ...
    """

    def absent(name: str) -> NoReturn:
        symbol = f"{package}.{name}"
        if name.startswith("__"):
            raise AttributeError(f"module torchscope.{package.replace('tf', 'tf1', 1)} has no attribute {name!r}")
        line, instead = TORCHS.get(symbol), instead_of(symbol) or instead_of(f"{symbol}.")
        if line is not None:
            because = f": torch has a line for it, {line}"
        elif instead is not None:
            because = f": it needs a graph. Instead: {instead}"
        else:
            because = ", and nothing stands for it yet"
        raise AttributeError(f"torchscope.tf1 has no {symbol}{because}. All are in docs/tf1_symbols.md.", name=name)

    return absent
