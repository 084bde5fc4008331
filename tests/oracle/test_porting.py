"""The traps of ``docs/porting.md``: torch's line gives TensorFlow's numbers."""

from __future__ import annotations

import doctest
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from torchscope import ScopedModule, checkpoint, get_module, tf1
from torchscope.checkpoint import load_checkpoint
from torchscope.checkpoint._roles import role, variable_name

tf = pytest.importorskip("tensorflow")
v1 = tf.compat.v1
PAGE = Path(__file__).parents[2] / "docs" / "porting.md"


def same_padding() -> Callable[..., Tensor]:
    """The function as the page has it."""
    (example,) = [e for e in doctest.DocTestParser().get_examples(PAGE.read_text()) if "def same_padding" in e.source]
    found: dict[str, Any] = {"F": F}
    exec(example.source, found)
    return found["same_padding"]


def nchw(x: Any) -> Tensor:
    return torch.from_numpy(np.asarray(x).transpose(0, 3, 1, 2).copy())


def close(ours: Tensor, theirs: Any) -> None:
    np.testing.assert_allclose(ours.numpy(), np.asarray(theirs), rtol=1e-4, atol=1e-5)


random = np.random.default_rng(0)


@pytest.mark.parametrize("size", [7, 8, 9])
@pytest.mark.parametrize("kernel", [2, 3, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_same_padding_of_convolutions_and_pools(size: int, kernel: int, stride: int) -> None:
    x = random.standard_normal((1, size, size + 1, 3), np.float32)
    weights = random.standard_normal((kernel, kernel, 3, 4), np.float32)
    pad = same_padding()
    ours = F.conv2d(pad(nchw(x), kernel, stride), torch.from_numpy(weights.transpose(3, 2, 0, 1).copy()), stride=stride)
    close(ours, nchw(tf.nn.conv2d(x, weights, stride, "SAME")))
    pooled = F.max_pool2d(pad(nchw(x), kernel, stride, float("-inf")), kernel, stride)
    close(pooled, nchw(tf.nn.max_pool2d(x, kernel, stride, "SAME")))


def test_batch_norm_and_its_running_means() -> None:
    x = random.standard_normal((6, 3), np.float32)
    decay, mean, variance = 0.99, np.zeros(3, np.float32), np.ones(3, np.float32)
    y, batch_mean, batch_variance, *_ = v1.nn.fused_batch_norm(
        x.reshape(6, 1, 1, 3), np.ones(3, np.float32), np.zeros(3, np.float32), epsilon=1e-3
    )
    running = torch.from_numpy(mean.copy()), torch.from_numpy(variance.copy())
    ours = F.batch_norm(torch.from_numpy(x), running[0], running[1], training=True, momentum=0.01, eps=1e-3)
    close(ours, np.asarray(y).reshape(6, 3))
    close(running[0], mean * decay + np.asarray(batch_mean) * (1 - decay))
    close(running[1], variance * decay + np.asarray(batch_variance) * (1 - decay))


def test_dropout_l2_loss_and_cross_entropy() -> None:
    x = random.standard_normal((4, 5), np.float32)
    close(torch.from_numpy(x).square().sum() / 2, tf.nn.l2_loss(x))
    labels = np.eye(5, dtype=np.float32)[[0, 2, 4, 1]]
    ours = F.cross_entropy(torch.from_numpy(x), torch.tensor([0, 2, 4, 1]), reduction="none")
    close(ours, v1.nn.softmax_cross_entropy_with_logits(labels=labels, logits=x))
    kept = np.asarray(v1.nn.dropout(np.ones((200, 200), np.float32), keep_prob=0.9))
    also = F.dropout(torch.ones(200, 200), 0.1, training=True)
    assert kept.max() == pytest.approx(float(also.max()))
    assert (kept == 0).mean() == pytest.approx(float((also == 0).float().mean()), abs=0.01)


def test_flatten_in_tensorflows_order() -> None:
    x = random.standard_normal((2, 3, 4, 5), np.float32)
    close(nchw(x).permute(0, 2, 3, 1).flatten(1), tf.reshape(x, [2, -1]))


def test_lstm_gates_with_their_forget_bias() -> None:
    x, c, h = (random.standard_normal((1, n), np.float32) for n in (3, 2, 2))
    kernel, bias = random.standard_normal((5, 8), np.float32), random.standard_normal(8).astype(np.float32)
    # lstm_block_cell is the BasicLSTMCell as one operation; it orders the gates i, ci, f, o.
    _, c_new, _, _, _, _, h_new = tf.raw_ops.LSTMBlockCell(
        x=x, cs_prev=c, h_prev=h, w=kernel, b=bias, wci=np.zeros(2, np.float32), wcf=np.zeros(2, np.float32),
        wco=np.zeros(2, np.float32), forget_bias=1.0, cell_clip=-1.0, use_peephole=False,
    )  # fmt: skip
    i, j, f, o = np.split(np.arange(8), 4)
    order = np.concatenate([i, f, j, o])
    weight, ours = torch.from_numpy(kernel[:, order].T.copy()), torch.from_numpy(bias[order].copy())
    ours[2:4] += 1
    found_h, found_c = torch.lstm_cell(
        torch.from_numpy(x), (torch.from_numpy(h), torch.from_numpy(c)), weight[:, :3], weight[:, 3:], ours,
        torch.zeros(8),
    )  # fmt: skip
    close(found_h, h_new)
    close(found_c, c_new)


def from_page(name: str, **names: Any) -> Any:
    """A function as the page has it."""
    examples = doctest.DocTestParser().get_examples(PAGE.read_text())
    (example,) = [e for e in examples if f"def {name}(" in e.source]
    found: dict[str, Any] = {"torch": torch, "F": F, **names}
    exec(example.source, found)
    return found[name]


@pytest.mark.parametrize("size", [7, 8])
def test_same_padding_of_average_pools_is_not_counted(size: int) -> None:
    x = random.standard_normal((1, size, size, 3), np.float32)
    pad = same_padding()

    def avg(x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 3, 2)

    ours = avg(pad(nchw(x), 3, 2)) / avg(pad(torch.ones_like(nchw(x)), 3, 2))
    close(ours, nchw(tf.nn.avg_pool2d(x, 3, 2, "SAME")))


def test_a_transposed_convolution_is_cut_in_front() -> None:
    x, weights = random.standard_normal((1, 7, 6, 3), np.float32), random.standard_normal((5, 5, 4, 3), np.float32)
    ours = F.conv_transpose2d(nchw(x), torch.from_numpy(weights.transpose(3, 2, 0, 1).copy()), stride=2)
    h, w = x.shape[1:3]
    close(
        ours[:, :, 1:, 1:][:, :, : 2 * h, : 2 * w], nchw(tf.nn.conv2d_transpose(x, weights, [1, 14, 12, 4], 2, "SAME"))
    )


def test_a_table_in_parts_is_looked_up_by_turns() -> None:
    parts = 3
    with tf.Graph().as_default(), v1.Session() as session:
        whole = v1.get_variable(
            "t", [8, 2], initializer=v1.random_normal_initializer(), partitioner=v1.fixed_size_partitioner(parts)
        )
        looked_up = tf.compat.v1.nn.embedding_lookup(whole, np.arange(8))
        session.run(v1.global_variables_initializer())
        theirs, table = session.run([looked_up, tf.convert_to_tensor(whole)])
    # Part p of the table has the rows from where it begins; id n is row n // parts of part n % parts.
    begins = np.cumsum([0, *(len(part) for part in np.array_split(table, parts))])[:-1]
    order = torch.tensor([begins[n % parts] + n // parts for n in range(8)])
    close(torch.from_numpy(table)[order], theirs)


def test_an_lstm_of_torch_takes_the_weights_of_a_cell() -> None:
    x = random.standard_normal((4, 1, 3), np.float32)
    kernel, bias = random.standard_normal((5, 8), np.float32), random.standard_normal(8).astype(np.float32)
    c = h = np.zeros((1, 2), np.float32)
    theirs = []
    for step in x:
        _, c, _, _, _, _, h = tf.raw_ops.LSTMBlockCell(
            x=step, cs_prev=c, h_prev=h, w=kernel, b=bias, wci=np.zeros(2, np.float32), wcf=np.zeros(2, np.float32),
            wco=np.zeros(2, np.float32), forget_bias=1.0, cell_clip=-1.0, use_peephole=False,
        )  # fmt: skip
        theirs.append(np.asarray(h))
    lstm = torch.nn.LSTM(3, 2)
    from_page("copy_lstm")(lstm, torch.from_numpy(kernel), torch.from_numpy(bias))
    close(lstm(torch.from_numpy(x))[0].detach(), np.stack(theirs))


@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
def test_a_layer_of_torch_takes_the_weights_of_keras(kind: str, tmp_path: Path) -> None:
    keras = tf.keras.layers
    theirs = getattr(keras, kind)(2, return_sequences=True, bias_initializer="glorot_uniform")
    x = random.standard_normal((1, 4, 3), np.float32)
    expected = np.asarray(theirs(x))
    kernel, recurrent, bias = theirs.get_weights()
    np.savez(tmp_path / "keras.npz", **{"cell/kernel": kernel, "cell/recurrent_kernel": recurrent, "cell/bias": bias})
    saved = checkpoint.open(tmp_path / "keras.npz")
    model = ScopedModule(lambda x: get_module("rnn", getattr(torch.nn, kind), 3, 2, batch_first=True)(x)[0])
    model.build(torch.from_numpy(x))
    layer = model.variables.get_submodule("rnn")
    from_page("copy_keras")(layer, *(saved[f"cell/{name}"].read() for name in ("kernel", "recurrent_kernel", "bias")))
    close(model(torch.from_numpy(x)).detach(), expected)
    names = {"cell/kernel": "rnn.weight_ih_l0", "cell/recurrent_kernel": "rnn.weight_hh_l0"}
    before = {name: tensor.clone() for name, tensor in layer.named_parameters()}
    assert load_checkpoint(model, saved, names).complete  # which knows the order of both sides
    assert all(torch.equal(tensor, before[name]) for name, tensor in layer.named_parameters())


class Encoder:
    """Written for either side: the scope is made with the object, its variables where they are used."""

    def __init__(self, lib: Any, name: str) -> None:
        self.lib = lib
        with lib.variable_scope(name) as self.scope, lib.variable_scope("inner") as self.inner:
            pass

    def __call__(self) -> None:
        for scope in (self.scope, self.inner):
            with self.lib.variable_scope(scope, reuse=self.lib.AUTO_REUSE):
                self.lib.get_variable("w", [2])

    def run(self) -> list[str]:
        with self.lib.variable_scope("elsewhere"):
            self()
            self()
            self.lib.get_variable("w", [2])
        return [self.scope.name, self.inner.name, self.inner.original_name_scope]


def test_scopes_of_constructors_name_variables_as_tensorflow_does() -> None:
    with tf.Graph().as_default():
        theirs = Encoder(v1, "a/b")
        names = (theirs.run(), [v.name for v in v1.global_variables()])
    ours = Encoder(tf1, "a/b")
    model = ScopedModule(ours.run)
    assert (model(), [f"{path}:0" for path in model.variables]) == names


def chosen(lib: Any, name: Callable[[Any], str]) -> list[str]:
    with lib.variable_scope("a"):
        lib.get_variable("kernel", [2])
        lib.get_variable("bias", [2])
    return [name(v) for v in lib.trainable_variables() if "bias:0" not in name(v)]


def test_variables_are_chosen_by_the_names_that_they_have_in_tensorflow() -> None:
    with tf.Graph().as_default():
        theirs = chosen(v1, lambda v: str(v.name))
    assert ScopedModule(lambda: chosen(tf1, tf1.name_of))() == theirs == ["a/kernel:0"]


OPTIMIZERS = [name for name in dir(v1.train) if name.endswith("Optimizer") and name[:4] not in ("Sync", "Opti")]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_slots_of_every_optimizer_are_known(name: str) -> None:
    with tf.Graph().as_default():
        kwargs = {
            "MomentumOptimizer": {"momentum": 0.9},
            "AdagradDAOptimizer": {"global_step": v1.train.get_or_create_global_step()},
        }
        w = v1.get_variable("dense/kernel", [3])
        getattr(v1.train, name)(learning_rate=0.1, **kwargs.get(name, {})).minimize(tf.reduce_sum(w * w))
        assert [v.op.name for v in v1.global_variables() if role(v.op.name) is None] == ["dense/kernel"]


def keras_optimizers() -> list[Any]:
    legacy = pytest.importorskip("tf_keras").optimizers.legacy
    names = [name for name in dir(legacy) if isinstance(getattr(legacy, name), type)]
    return [getattr(legacy, name) for name in names if name != "Optimizer"]


@pytest.mark.filterwarnings("ignore")  # TensorFlow's own
def test_the_slots_of_keras_optimizers_are_known_in_graphs() -> None:
    for optimizer in keras_optimizers():
        with tf.Graph().as_default():
            w = v1.get_variable("dense/kernel", [3], use_resource=True)
            options: list[dict[str, Any]] = [{"amsgrad": True}] if optimizer.__name__ == "Adam" else [{}]
            options += [{"momentum": 0.5}] if optimizer.__name__ in ("SGD", "RMSprop") else []
            for each in options:
                optimizer(**each).minimize(lambda w=w: tf.reduce_sum(w * w), [w])
            unknown = [v.op.name for v in v1.global_variables() if role(v.op.name) is None]
        assert unknown == ["dense/kernel"], optimizer


@pytest.mark.filterwarnings("ignore")  # TensorFlow's own
def test_the_slots_of_keras_optimizers_are_known_in_checkpoints_of_objects(tmp_path: Path) -> None:
    keras = pytest.importorskip("tf_keras")
    v1.experimental.output_all_intermediates(False)  # which the judge of tf1 wants for its loops: Nadam fails by it
    names = [name for name in dir(keras.optimizers) if isinstance(getattr(keras.optimizers, name), type)]
    new = [getattr(keras.optimizers, name) for name in names if name not in ("Optimizer", "LossScaleOptimizer")]
    for optimizer in [*new, *keras_optimizers()]:
        model = keras.Sequential([keras.layers.Dense(2, input_shape=(3,))])
        model.compile(optimizer(), "mse")
        model.fit(tf.ones([2, 3]), tf.ones([2, 2]), verbose=0)
        saved = checkpoint.open(tf.train.Checkpoint(model=model, optimizer=model.optimizer).save(tmp_path / "saved"))
        unknown = [variable_name(name) for name in saved if role(variable_name(name)) is None]
        assert unknown == ["model/layer_with_weights-0/bias", "model/layer_with_weights-0/kernel"], optimizer
