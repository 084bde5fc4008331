"""``torchscope.layers``: each is torch's own module with the same weights."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from torchscope import ArgumentValueError, ScopedModule, VariableExistsError, layers, make_template, variable_scope
from torchscope.tools import capture

IMAGE = (2, 4, 8, 9)
Names = dict[str, str]
AFFINE = {"weight": "kernel", "bias": "bias"}
NORM = {"weight": "gamma", "bias": "beta"}
# What ours is, what torch's is, its names of our variables, and the shape of the input.
SAME: dict[str, tuple[Callable[[Tensor], Any], Callable[[], nn.Module], Names, tuple[int, ...]]] = {
    "dense": (lambda x: layers.dense(x, 5), lambda: nn.Linear(3, 5), AFFINE, (2, 7, 3)),
    "dense without a bias": (
        lambda x: layers.dense(x, 5, bias=False),
        lambda: nn.Linear(3, 5, bias=False),
        {"weight": "kernel"},
        (2, 3),
    ),
    "conv1d": (lambda x: layers.conv1d(x, 6, 3, stride=2), lambda: nn.Conv1d(4, 6, 3, 2), AFFINE, (2, 4, 9)),
    "conv2d": (
        lambda x: layers.conv2d(x, 6, (3, 2), stride=(2, 1), padding=1, dilation=2, groups=2),
        lambda: nn.Conv2d(4, 6, (3, 2), (2, 1), 1, 2, 2),
        AFFINE,
        IMAGE,
    ),
    "conv2d, same": (
        lambda x: layers.conv2d(x, 6, 3, padding="same", bias=False),
        lambda: nn.Conv2d(4, 6, 3, padding="same", bias=False),
        {"weight": "kernel"},
        IMAGE,
    ),
    "conv3d": (
        lambda x: layers.conv3d(x, 6, 2, padding=1),
        lambda: nn.Conv3d(4, 6, 2, padding=1),
        AFFINE,
        (1, 4, 3, 4, 5),
    ),
    "conv_transpose1d": (
        lambda x: layers.conv_transpose1d(x, 6, 3, stride=2, padding=1, output_padding=1),
        lambda: nn.ConvTranspose1d(4, 6, 3, 2, 1, 1),
        AFFINE,
        (2, 4, 9),
    ),
    "conv_transpose2d": (
        lambda x: layers.conv_transpose2d(x, 6, (3, 4), stride=2),
        lambda: nn.ConvTranspose2d(4, 6, (3, 4), 2),
        AFFINE,
        IMAGE,
    ),
    "conv_transpose3d": (
        lambda x: layers.conv_transpose3d(x, 6, 2, bias=False),
        lambda: nn.ConvTranspose3d(4, 6, 2, bias=False),
        {"weight": "kernel"},
        (1, 4, 3, 4, 5),
    ),
    "layer_norm": (lambda x: layers.layer_norm(x, eps=1e-3), lambda: nn.LayerNorm(3, 1e-3), NORM, (2, 7, 3)),
    "layer_norm without a bias": (
        lambda x: layers.layer_norm(x, bias=False),
        lambda: nn.LayerNorm(3, bias=False),
        {"weight": "gamma"},
        (2, 3),
    ),
    "rms_norm": (lambda x: layers.rms_norm(x, eps=1e-3), lambda: nn.RMSNorm(3, 1e-3), {"weight": "gamma"}, (2, 7, 3)),
    "group_norm": (lambda x: layers.group_norm(x, 2), lambda: nn.GroupNorm(2, 4), NORM, IMAGE),
    "batch_norm": (
        lambda x: layers.batch_norm(x, momentum=0.3),
        lambda: nn.BatchNorm2d(4, momentum=0.3),
        {**NORM, "running_mean": "mean", "running_var": "variance"},
        IMAGE,
    ),
}


def pair(case: str) -> tuple[ScopedModule, nn.Module, Tensor]:
    """Both, with the same weights, none of which is what it begins with; and an input."""
    function, make, names, shape = SAME[case]
    numbers = torch.Generator().manual_seed(0)
    x, theirs = torch.randn(shape, generator=numbers), make()
    ours = ScopedModule(function).build(x)
    (scope,) = {path.rpartition("/")[0] for path in ours.variables}
    assert len(ours.variables) == len(names)
    with torch.no_grad():
        for name, tensor in [*theirs.named_parameters(), *theirs.named_buffers()]:
            if name in names:
                own = ours.variables[f"{scope}/{names[name]}"]
                assert own.shape == tensor.shape
                tensor.copy_(torch.rand(tensor.shape, generator=numbers) + 0.5)
                own.copy_(tensor)
    return ours, theirs, x


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("case", SAME)
def test_a_layer_is_torchs_in_values_gradients_and_statistics(case: str, training: bool) -> None:
    ours, theirs, x = pair(case)
    ours.train(training), theirs.train(training)
    left, right = x.clone().requires_grad_(), x.clone().requires_grad_()
    found, expected = ours(left), theirs(right)
    torch.testing.assert_close(found, expected)
    found.square().sum().backward(), expected.square().sum().backward()
    torch.testing.assert_close(left.grad, right.grad)
    named = SAME[case][2]
    (scope,) = {path.rpartition("/")[0] for path in ours.variables}
    for name, parameter in theirs.named_parameters():
        torch.testing.assert_close(ours.variables[f"{scope}/{named[name]}"].grad, parameter.grad)
    for name, buffer in theirs.named_buffers():
        if name in named:
            torch.testing.assert_close(ours.variables[f"{scope}/{named[name]}"], buffer)


@pytest.mark.parametrize("case", SAME)
def test_a_layer_compiles_as_one_graph(case: str) -> None:
    torch.compiler.reset()  # torch compiles one piece of code, the forward of ScopedModule, so many times and no more
    ours, _, x = pair(case)
    ours.eval()
    torch.testing.assert_close(torch.compile(ours, fullgraph=True, backend="aot_eager")(x), ours(x))


def test_an_embedding_is_torchs() -> None:
    ids = torch.tensor([[1, 5], [9, 1]])
    ours = ScopedModule(lambda ids: layers.embedding(ids, 10, 3)).build(ids)
    table = ours.variables["embedding/table"]
    torch.testing.assert_close(ours(ids), nn.Embedding.from_pretrained(table.detach())(ids))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_attention_is_torchs(causal: bool, bias: bool) -> None:
    x = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0))
    ours = ScopedModule(lambda x: layers.attention(x, 2, causal=causal, bias=bias)[0], seed=1).build(x)
    theirs = nn.MultiheadAttention(8, 2, bias=bias, batch_first=True)
    parts = [f"attention/{name}" for name in ("query", "key", "value", "output")]
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.variables[f"{part}/kernel"] for part in parts[:3]]))
        theirs.out_proj.weight.copy_(ours.variables[f"{parts[3]}/kernel"])
    mask = nn.Transformer.generate_square_subsequent_mask(5) if causal else None
    expected, _ = theirs(x, x, x, attn_mask=mask, need_weights=False, is_causal=causal)
    torch.testing.assert_close(ours(x), expected)


def test_attention_with_a_past_is_that_of_all_at_once() -> None:
    x = torch.randn(2, 7, 8, generator=torch.Generator().manual_seed(0))
    model = ScopedModule(lambda x, past=None: layers.attention(x, 2, past=past, causal=True), seed=1).build(x)
    whole, (keys, values) = model(x)
    first, past = model(x[:, :4])
    rest, past = model(x[:, 4:], past)
    torch.testing.assert_close(torch.cat([first, rest], 1), whole)
    torch.testing.assert_close(past, (keys, values))


def test_attention_to_a_context_sees_what_a_mask_lets_it() -> None:
    x, context = torch.randn(1, 3, 8), torch.randn(1, 5, 6)
    mask = torch.tensor([[True, True, False, False, False]])
    model = ScopedModule(lambda x, c, mask=None: layers.attention(x, 4, context=c, mask=mask)[0], seed=1)
    model.build(x, context)
    torch.testing.assert_close(model(x, context, mask), model(x, context[:, :2]))


def test_attention_drops_weights_only_where_it_trains() -> None:
    x = torch.ones(1, 64, 8)
    model = ScopedModule(lambda x: layers.attention(x, 2, dropout=0.5)[0], seed=1).build(x)
    assert not torch.equal(model(x), model(x))
    assert torch.equal(model.eval()(x), model(x))


@pytest.mark.parametrize(
    ("cell", "theirs"), [(layers.lstm_cell, nn.LSTMCell), (layers.gru_cell, nn.GRUCell)], ids=["lstm", "gru"]
)
def test_a_cell_is_torchs(cell: Any, theirs: Any) -> None:
    x, h = torch.randn(2, 3), torch.randn(2, 4)
    state = (h, torch.randn(2, 4)) if cell is layers.lstm_cell else h
    ours, other = ScopedModule(cell, seed=1).build(x, state), theirs(3, 4)
    names = {"weight_ih": "kernel", "bias_ih": "bias", "weight_hh": "recurrent_kernel", "bias_hh": "recurrent_bias"}
    with torch.no_grad():
        for name, parameter in other.named_parameters():
            parameter.copy_(ours.variables[f"{cell.__name__}/{names[name]}"].uniform_())
    torch.testing.assert_close(ours(x, state), other(x, state))


def test_a_cell_runs_over_time_by_a_template() -> None:
    def forward(x: Tensor) -> Tensor:
        cell, h = make_template("rnn", layers.gru_cell), x.new_zeros(x.shape[0], 4)
        for step in x.unbind(1):
            h = cell(step, h)
        return h

    assert len(ScopedModule(forward).build(torch.ones(2, 5, 3)).variables) == 4


def test_layers_are_counted_named_and_captured() -> None:
    def forward(x: Tensor) -> Tensor:
        with variable_scope("block"):
            x = layers.dense(layers.layer_norm(x), 4).relu()
        return layers.dense(layers.dense(x, 4), 2, scope="head")

    model = ScopedModule(forward).build(torch.ones(2, 3))
    scopes = dict.fromkeys(path.rpartition("/")[0] for path in model.variables)
    assert list(scopes) == ["block/layer_norm", "block/dense", "dense", "head"]
    with capture("head") as got:
        y = model(torch.ones(2, 3))
    assert got["head"] is y


def test_a_residual_network_is_as_short_as_by_hand() -> None:
    def block(x: Tensor, channels: int, stride: int = 1) -> Tensor:
        y = layers.batch_norm(layers.conv2d(x, channels, 3, stride=stride, padding=1, bias=False)).relu()
        y = layers.batch_norm(layers.conv2d(y, channels, 3, padding=1, bias=False))
        if x.shape != y.shape:
            x = layers.batch_norm(layers.conv2d(x, channels, 1, stride=stride, bias=False))
        return (x + y).relu()

    def network(x: Tensor) -> Tensor:
        for number, (channels, stride) in enumerate([(8, 1), (16, 2)]):
            with variable_scope(f"block{number}"):
                x = block(x, channels, stride)
        return layers.dense(x.mean((2, 3)), 10)

    model = ScopedModule(network, seed=0).build(torch.ones(1, 8, 8, 8))
    assert model(torch.ones(2, 8, 8, 8)).shape == (2, 10)
    by_hand = sum(8 * 9 * 8 * 2 for _ in "a") + 8 * 9 * 16 + 16 * 9 * 16 + 8 * 16 + 2 * (8 * 2 + 16 * 3) + 16 * 10 + 10
    assert model.summary().parameters == by_hand


REFUSED: dict[str, tuple[Callable[[Tensor], Any], tuple[int, ...], str]] = {
    "sizes": (lambda x: layers.conv2d(x, 4, (3, 3, 3)), IMAGE, r"kernel_size=\(3, 3, 3\) .*\nGive one size, or 2"),
    "strides": (lambda x: layers.conv1d(x, 4, 3, stride=(1, 2)), (1, 2, 8), r"stride=\(1, 2\)"),
    "heads": (lambda x: layers.attention(x, 3), (1, 2, 8), "heads=3 .*\nGive a divisor of the features, 8"),
    "two masks": (
        lambda x: layers.attention(x, 2, causal=True, mask=torch.ones(2, 2, dtype=torch.bool)),
        (1, 2, 8),
        "There is a mask already",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_refused(case: str) -> None:
    function, shape, message = REFUSED[case]
    with pytest.raises(ArgumentValueError, match=message):
        ScopedModule(function).build(torch.ones(shape))


def test_a_layer_used_twice_by_one_name_is_an_error() -> None:
    with pytest.raises(VariableExistsError):
        ScopedModule(lambda x: layers.dense(layers.dense(x, 3, scope="a"), 3, scope="a")).build(torch.ones(1, 3))


def test_options_are_keywords_and_each_layer_takes_a_scope() -> None:
    for name in layers.__all__:
        parameters = inspect.signature(getattr(layers, name)).parameters
        assert parameters["scope"].default is None
        assert parameters["scope"].kind is inspect.Parameter.KEYWORD_ONLY, name
