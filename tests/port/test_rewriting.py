"""Pairs of source: TensorFlow 1's, and what it becomes."""

from __future__ import annotations

import pytest

from torchscope import ArgumentValueError
from torchscope.port import Ported, port

HEAD = "import tensorflow as tf\n"


def body(text: str, head: str = HEAD) -> str:
    """What a file becomes, without its imports and empty lines around them."""
    lines = port(head + text).code.splitlines()
    return "\n".join(line for line in lines if not line.startswith(("import ", "from ", "    ", ")"))).strip()


def expression(text: str) -> str:
    """What an expression of the tensors x and y, the number n and the unknown u becomes."""
    source = f"{HEAD}def f(u):\n    x = tf.zeros([2, 3])\n    y = tf.ones([2, 3])\n    n = 3\n    return {text}\n"
    return port(source).code.rstrip().rpartition("return ")[2]


PAIRS = {
    "tf.matmul(x, y, transpose_b=True)": "x @ y.mT",
    "tf.matmul(x, y, transpose_a=True, adjoint_b=False)": "x.mT @ y",
    "tf.matmul(x, y) * 2": "(x @ y) * 2",
    "tf.reduce_mean(x, axis=-1, keepdims=True)": "x.mean(-1, keepdim=True)",
    "tf.reduce_mean(x, 1, keep_dims=True)": "x.mean(1, keepdim=True)",
    "tf.reduce_sum(x, reduction_indices=[0, 1])": "x.sum([0, 1])",
    "tf.reduce_sum(x)": "x.sum()",
    "tf.reduce_max(x, keepdims=True)": "x.amax(tuple(range(x.dim())), keepdim=True)",
    "tf.reshape(x, [-1, n])": "x.reshape(-1, n)",
    "tf.reshape(x, tf.shape(y))": "x.reshape(y.shape)",
    "tf.transpose(x, [1, 0])": "x.permute(1, 0)",
    "tf.transpose(x)": "tf1.transpose(x)",
    "tf.expand_dims(x, axis=[-1])": "x.unsqueeze(-1)",
    "tf.squeeze(x, [1])": "tf1.squeeze(x, [1])",
    "tf.concat([x, y], 1)": "torch.cat([x, y], 1)",
    "tf.concat(1, [x, y])": "torch.cat([x, y], 1)",
    "tf.concat(values=[x, y], axis=-1)": "torch.cat([x, y], -1)",
    "tf.concat([tf.shape(x)[:-1], [n]], 0)": "[*x.shape[:-1], n]",
    "tf.split(1, 3, x)": "tf1.split(x, 3, 1)",
    "tf.split(x, 3, axis=1)": "tf1.split(x, 3, axis=1)",
    "tf.stack([n, -1])": "[n, -1]",
    "tf.stack([x, y], axis=1)": "torch.stack([x, y], 1)",
    "tf.unstack(x, axis=1)": "list(x.unbind(1))",
    "tf.cast(x, tf.int32)": "x.to(torch.int32)",
    "tf.cast(n, tf.float32)": "torch.as_tensor(n, dtype=torch.float32)",
    "tf.cast(u, tf.float32)": "tf1.convert_to_tensor(u).to(torch.float32)",
    "tf.sqrt(x)": "x.sqrt()",
    "tf.sqrt(2.0)": "math.sqrt(2.0)",
    "tf.sqrt(u)": "tf1.convert_to_tensor(u).sqrt()",
    "tf.pow(x, 3)": "x ** 3",
    "-tf.square(x - y)": "-(x - y).square()",
    "tf.maximum(x, 0.0)": "x.clamp(min=0.0)",
    "tf.minimum(x, y)": "tf1.minimum(x, y)",
    "tf.maximum(0.0, x)": "tf1.maximum(0.0, x)",
    "tf.cast(x > y, 'float')": "(x > y).to(torch.float32)",
    "tf.zeros([2], dtype='int32')": "torch.zeros(2, dtype=torch.int32)",
    "tf.get_variable('w', [2], 'float32')": "get_variable('w', [2], torch.float32)",
    "x.dtype.base_dtype": "x.dtype",
    "x[:, ::-1]": "x.flip(1)",
    "u[::-1]": "u[::-1]",
    "tf.maximum(n, 1)": "max(n, 1)",
    "tf.add(x, y) * 2": "(x + y) * 2",
    "tf.multiply(x, 1.0 / n)": "x * (1.0 / n)",
    "tf.logical_not(tf.equal(x, y))": "~(x == y)",
    "tf.gather(x, tf.argmax(x, 1))": "x[tf1.argmax(x, 1)]",
    "tf.gather(x, u, axis=1)": "x[:, tf1.convert_to_tensor(u)]",
    "tf.gather(x, [[0, 1], [1, 0]])": "x[tf1.convert_to_tensor([[0, 1], [1, 0]])]",
    "tf.shape(x) + n": "[m + n for m in x.shape]",
    "tf.shape(x) * u": "[m * u for m in x.shape]",
    "tf.shape(x) + [1, n]": "[m + size for m, size in zip(x.shape, [1, n], strict=True)]",
    "tf.logical_not(tf.less(n, 5))": "not (n < 5)",
    "tf.logical_and(tf.less(n, 5), tf.greater(n, 2))": "(n < 5) and (n > 2)",
    "tf.reduce_mean([x, y], axis=0)": "tf1.convert_to_tensor([x, y]).mean(0)",
    "tf.reduce_sum([u, 1.0])": "tf1.convert_to_tensor([u, 1.0]).sum()",
    "tf.reduce_sum(tf.exp(x), keepdims=True)": "tf.reduce_sum(x.exp(), keepdims=True)",
    "tf.reduce_sum(x, keepdims=u)": "x.sum(tuple(range(x.dim())), keepdim=u)",
    "tf.reduce_sum(x, [])": "tf.reduce_sum(x, [])",
    "tf.norm(x, ord=1, axis=[0, 1])": "tf.norm(x, ord=1, axis=[0, 1])",
    "tf.range(2, delta=4)": "torch.arange(0, 2, 4)",
    "tf.constant(2.0, shape=[2, 2])": "torch.full([2, 2], 2.0)",
    "tf.constant([1.0, 2.0], shape=[2, 2])": "tf.constant([1.0, 2.0], shape=[2, 2])",
    "tf.equal(x, [1, 2, 3])": "x == torch.as_tensor([1, 2, 3])",
    "tf.stack([1.0, 2.0])": "torch.stack([1.0, 2.0])",
    "tf.concat([[[1, 2]], [[3, 4]]], axis=1)": "torch.cat([[[1, 2]], [[3, 4]]], 1)",
    "tf.clip_by_value(x, -1.0, 1.0)": "x.clamp(-1.0, 1.0)",
    "tf.nn.relu(x)": "torch.relu(x)",
    "tf.nn.softmax(x)": "tf1.nn.softmax(x)",
    "tf.nn.conv2d(x, y, [1, 2, 2, 1], 'SAME')": "tf1.nn.conv2d(x, y, [1, 2, 2, 1], 'SAME')",
    "tf.zeros([n, 4], tf.int32)": "torch.zeros(n, 4, dtype=torch.int32)",
    "tf.zeros_like(x, dtype=tf.int32)": "torch.zeros_like(x, dtype=torch.int32)",
    "tf.fill([2, n], 5.0)": "torch.full([2, n], 5.0)",
    "tf.range(n)": "torch.arange(n)",
    "tf.one_hot(u, depth=n)": "tf1.one_hot(u, depth=n)",
    "tf.to_float(x > y)": "(x > y).float()",
    "tf.stop_gradient(x)": "x.detach()",
    "tf.add_n([x, y])": "sum([x, y])",
    "tf.einsum('ab,cb->ac', x, y)": "torch.einsum('ab,cb->ac', x, y)",
    "tf.tile(x, [2, 1])": "x.tile(2, 1)",
    "tf.tile(x, [2] + [1] * n)": "x.tile([2] + [1] * n)",
    "x.get_shape().as_list()": "list(x.shape)",
    "x.shape.as_list()[1:]": "list(x.shape)[1:]",
    "x.get_shape()[1].value": "x.shape[1]",
    "x.shape[-1].value * 2": "x.shape[-1] * 2",
    "x.shape.ndims": "len(x.shape)",
    "x.get_shape().num_elements()": "x.shape.numel()",
    "[d.value for d in x.get_shape()]": "[d for d in x.shape]",
    "tf.shape(x)[1] - 1": "x.shape[1] - 1",
    "tf.shape(x)[1:3] * 2": "[m * 2 for m in x.shape[1:3]]",
    "tf.shape(x) + tf.shape(y)": "[m + size for m, size in zip(x.shape, y.shape, strict=True)]",
    "x.get_shape()[:1] + [n]": "[*x.shape[:1], n]",
    "u + x.shape[1:]": "[*u, *x.shape[1:]]",
    "x.shape[0] + n": "x.shape[0] + n",
    "x * (n, 4)": "x * torch.as_tensor((n, 4))",
    "x is y if x == y else u": "x is y if x == y else u",
    "x[:, tf.newaxis]": "x[:, None]",
    "u(activation=tf.nn.relu)": "u(activation=torch.relu)",
    "tf.float32.min": "torch.finfo(torch.float32).min",
    "tf.logging.info('%s', n)": "logging.info('%s', n)",
    "isinstance(u, tf.Tensor)": "isinstance(u, torch.Tensor)",
    "tf.contrib.layers.xavier_initializer()": "tf1.contrib.layers.xavier_initializer()",
    "tf.initializers.zeros()": "zeros_initializer()",
    "tf.get_variable('w', [3], use_resource=True)": "get_variable('w', [3])",
    "tf.get_variable('w', [3], tf.float32)": "get_variable('w', [3], torch.float32)",
    "tf.estimator.ModeKeys.TRAIN": '"train"',
    "tf.math.reduce_sum(x, 1)": "x.sum(1)",
    "tf.compat.v1.nn.leaky_relu(x)": "tf1.nn.leaky_relu(x)",
    "tf.set_random_seed(n)": "torch.manual_seed(n)",
    "tf.test.is_gpu_available()": "torch.cuda.is_available()",
    "tf.executing_eagerly()": "False",
    "tf.sort(x)": "x.sort(-1)[0]",
    "tf.sort(x, direction='DESCENDING')": "tf.sort(x, direction='DESCENDING')",
    "tf.argsort(x, direction='DESCENDING')": "tf.argsort(x, direction='DESCENDING')",
    "tf.cumprod(x, axis=1)": "x.cumprod(1)",
    "tf.cumprod(x, exclusive=True)": "tf.cumprod(x, exclusive=True)",
    "tf.reduce_prod(x, [0, 1])": "tf.reduce_prod(x, [0, 1])",
    "tf.reduce_logsumexp(tf.exp(x))": "tf.reduce_logsumexp(x.exp())",
    "tf.norm(x, ord=3)": "tf.norm(x, ord=3)",
    "tf.eye(3, batch_shape=[2])": "tf.eye(3, batch_shape=[2])",
    "tf.matmul(x, y, transpose_b=u)": "tf.matmul(x, y, transpose_b=u)",
    "tf.gather(x, u, batch_dims=1)": "tf.gather(x, u, batch_dims=1)",
    "tf.matrix_inverse(x, adjoint=True)": "tf.matrix_inverse(x, adjoint=True)",
    "tf.identity(tf.shape(x))": "x.shape",
    "tf.identity(x)": "tf1.identity(x)",
    "n * tf.shape(x)": "[n * m for m in x.shape]",
    "x.shape.dims": "x.shape",
    "x.shape.with_rank(4)": "x.shape",
    "tf.zeros([])": "torch.zeros([])",
    "x != y": "x != y",
}


@pytest.mark.parametrize("text", PAIRS)
def test_an_expression_becomes(text: str) -> None:
    assert expression(text) == PAIRS[text]


FILES = {
    "an alias of a package stays": (
        "slim = tf.contrib.slim\ndef f(x):\n  return slim.conv2d(x, 3, 1)\n",
        "slim = tf1.contrib.slim\ndef f(x):\n  return slim.conv2d(x, 3, 1)",
    ),
    "x += y makes a new tensor": (
        "def f(x):\n  y = tf.nn.relu(x)\n  y += x\n  n = 0\n  n += 1\n  names = []\n  names += [n]\n  return y\n",
        "def f(x):\n  y = torch.relu(x)\n  y = y + x\n  n = 0\n  n += 1\n  names = []\n  names += [n]\n  return y",
    ),
    "x *= of a sum keeps the sum together": (
        "def f(x, a):\n  y = tf.nn.relu(x)\n  y *= a + 1\n  return y\n",
        "def f(x, a):\n  y = torch.relu(x)\n  y = y * (a + 1)\n  return y",
    ),
    "several names take what is unstacked": (
        "def f(x):\n  a, b = tf.unstack(tf.exp(x), axis=1)\n  return a\n",
        "def f(x):\n  a, b = tf1.convert_to_tensor(x).exp().unbind(1)\n  return a",
    ),
    "a branch for a version is decided": (
        "if 'concat_v2' in dir(tf):\n  c = 1\nelse:\n  c = 2\n",
        "c = 2",
    ),
    "a try for an old version is decided": (
        "try:\n  c = tf.pack\nexcept AttributeError:\n  c = 3\n",
        "tf = unported\nc = 3",
    ),
    "a summary is a comment": (
        "def f(x):\n  tf.summary.scalar('x', x)\n  return tf.exp(x)\n",
        "def f(x):\n  # torchscope port: tf.summary.scalar: instead, `torch.utils.tensorboard.SummaryWriter`.\n"
        "  # tf.summary.scalar('x', x)\n  return tf1.convert_to_tensor(x).exp()",
    ),
    "a summary on a line with other statements is a comment too": (
        "def f(x):\n  y = tf.exp(x); tf.summary.scalar('x', x)\n  return y\n",
        "tf = unported\ndef f(x):\n  y = tf1.convert_to_tensor(x).exp()\n"
        "  # torchscope port: tf.summary.scalar: instead, `torch.utils.tensorboard.SummaryWriter`.\n"
        "  # tf.summary.scalar('x', x)\n  return y",
    ),
    "what changes a variable is no comment": (
        "def f(v):\n  tf.assign_add(v, v)\n",
        "tf = unported\ndef f(v):\n"
        "  # torchscope port: tf.assign_add: instead, `buffer.copy_(value)`, `add_`, `sub_`, "
        "`clone()` before it for gradients.\n"
        "  tf.assign_add(v, v)",
    ),
    "what only tensors of a graph have is told": (
        "def f(x):\n  y = tf.exp(x)\n  y.set_shape([2])\n  return y.op.name\n",
        "def f(x):\n  y = tf1.convert_to_tensor(x).exp()\n"
        "  # torchscope port: Tensor.set_shape: instead, nothing: its shape is known.\n"
        "  # y.set_shape([2])\n  # torchscope port: Tensor.op: instead, a name of your own, or"
        " `tf1.name_of(v)` of a variable.\n  return y.op.name",
    ),
    "the switch to TensorFlow 1 is a comment": (
        "import tensorflow.compat.v1 as tf\ntf.disable_v2_behavior()\nx = tf.exp(1.0)\n",
        "# torchscope port: tf.disable_v2_behavior: instead, nothing: each call is a graph of TensorFlow 1.\n"
        "# tf.disable_v2_behavior()\nx = math.exp(1.0)",
    ),
    "a block of nothing but summaries stays a block": (
        "def f(x):\n  for n in range(3):\n    tf.summary.scalar('x', x)\n",
        "def f(x):\n  for n in range(3):",
    ),
    "what is left stands under a note": (
        "def f():\n  with tf.Session() as session:\n    return session\n",
        "tf = unported\ndef f():\n  # torchscope port: tf.Session: instead, `ScopedModule`, which is called.\n"
        "  with tf.Session() as session:",
    ),
    "code that chooses by names": (
        "def f():\n  for v in tf.trainable_variables():\n    print(v.name, v.op.name)\n",
        "def f():\n  for v in tf1.trainable_variables():",
    ),
    "a comment inside a call stays": (
        "def f(x):\n  return tf.nn.conv2d(\n      x,  # images\n      3)\n",
        "def f(x):\n  return tf1.nn.conv2d(",
    ),
    "what stands in a name of one's own is not touched": (
        "class T:\n  shape = 3\ndef f(tf):\n  return tf.reshape(3)\n",
        "class T:\n  shape = 3\ndef f(tf):\n  return tf.reshape(3)",
    ),
    "numbers of numpy that torch.compile would make tensors": (
        "import numpy as np\ndef f(x):\n  size = np.prod(x.get_shape().as_list()[1:])\n"
        "  return tf.reshape(x, [-1, size])\n",
        "def f(x):\n  size = math.prod(list(x.shape)[1:])\n  return x.reshape(-1, size)",
    ),
}


@pytest.mark.parametrize("what", FILES)
def test_a_file_becomes(what: str) -> None:
    text, expected = FILES[what]
    found = body(text)
    assert found == "\n".join(line for line in expected.splitlines() if not line.startswith("    "))


def test_every_way_to_import_is_known() -> None:
    ported = port(
        "from __future__ import division\n"
        "import tensorflow.compat.v1 as tf1x\n"
        "import tensorflow.contrib.slim as slim\n"
        "from tensorflow.contrib import layers as L, rnn\n"
        "from tensorflow.python.ops import array_ops, math_ops\n"
        "from tensorflow.python.ops.nn import relu\n"
        "import tf_slim, os\n"
        "def f(x):\n"
        "    y = slim.conv2d(x, 3, 1) + L.batch_norm(x) + tf_slim.flatten(x)\n"
        "    return relu(math_ops.exp(array_ops.reshape(y, [1]))), rnn.GRUCell(3), tf1x.nn.l2_loss(y)\n"
    )
    assert not ported.left
    assert ported.code.splitlines() == [
        "from __future__ import division",
        "import torch",
        "from torchscope import tf1",
        "from torchscope.tf1.contrib import layers as L",
        "from torchscope.tf1.contrib import rnn",
        "from torchscope.tf1.contrib import slim",
        "from torchscope.tf1.contrib import slim as tf_slim",
        "import os",
        "def f(x):",
        "    y = slim.conv2d(x, 3, 1) + L.batch_norm(x) + tf_slim.flatten(x)",
        "    return torch.relu(y.reshape(1).exp()), rnn.GRUCell(3), tf1.nn.l2_loss(y)",
    ]


def test_a_name_of_ones_own_is_not_hidden() -> None:
    code = port(HEAD + "def get_variable(name):\n  F = 1\n  return tf.get_variable(name, [F]), tf.nn.elu(F)\n").code
    assert "return tf1.get_variable(name, [F]), torch.nn.functional.elu(torch.as_tensor(F))" in code


def test_python_2_becomes_python_3() -> None:
    ported = port(
        HEAD + "print 'a', 3\nprint\ntry:\n  pass\nexcept ValueError, e:\n  print e,\nfor i in xrange(3): pass\n"
        "for k, v in {}.iteritems(): print('%s' % k)\n"
    )
    assert ported.code.splitlines()[-8:] == [
        "print('a', 3)",
        "print()",
        "try:",
        "  pass",
        "except ValueError as e:",
        "  print(e, end=chr(32))",
        "for i in range(3): pass",
        "for k, v in {}.items(): print('%s' % k)",
    ]
    assert ported.changed == {"Python 2  ->  Python 3": [2, 3, 6, 7]}


def told(ported: Ported) -> list[tuple[int, str, str]]:
    return [(each.line, each.symbol, each.how) for each in ported.found]


def test_every_use_is_told_with_its_line() -> None:
    ported = port(HEAD + "def f(x):\n  x = tf.exp(x)\n  return tf.svd(x), tf.nn.lrn(x), tf.zeros_initializer()\n")
    assert told(ported) == [
        (3, "tf.exp", "torch"),
        (4, "tf.svd", "left"),
        (4, "tf.nn.lrn", "torchscope.tf1"),
        (4, "tf.zeros_initializer", "torchscope"),
    ]
    assert ported.left[0].note == "torchscope has nothing for it yet"
    assert "    # torchscope port: tf.svd" not in ported.code
    assert "  # torchscope port: tf.svd: torchscope has nothing for it yet.\n  return tf.svd(x)" in ported.code


def test_a_call_with_arguments_that_cannot_be_told_is_left() -> None:
    ported = port(HEAD + "def f(x, how):\n  return tf.reduce_sum(x, **how)\n")
    assert [each.symbol for each in ported.left] == ["tf.reduce_sum"]
    assert "tf.reduce_sum(x, **how)" in ported.code


def test_arguments_without_effect_are_counted() -> None:
    ported = port(HEAD + "y = tf.exp(tf.zeros([2], name='zeros'), name='e')\n")
    assert ported.dropped == {"name": 2}
    assert ported.code.endswith("y = torch.zeros(2).exp()\n")


BAD = {
    "no Python": ("import tensorflow as tf\ndef f(:\n", "It is no Python: line 2"),
    "TensorFlow 2": ("import tensorflow as tf\n@tf.function\ndef f(): pass\n", "written for TensorFlow 2"),
    "a name that is needed": ("import tensorflow as tf\ntorch = tf.exp(1.0)\n", "a name of its own, torch"),
}


@pytest.mark.parametrize("what", BAD)
def test_what_cannot_be_ported_is_refused(what: str) -> None:
    text, message = BAD[what]
    with pytest.raises(ArgumentValueError, match=message):
        port(text, "file.py")


def test_a_file_without_tensorflow_stays_as_it_is() -> None:
    text = "import os\nx = 1\n"
    assert port(text).code == text


def test_divisions_of_python_2_are_told() -> None:
    text = "print 'x'\ny = tf.exp(1.0) / 2.0\nz = 3 / 2\n"
    told = "/ of two integers gave an integer in Python 2: look whether // is meant"
    assert port(HEAD + text).changed[told] == [4]
    assert told not in port("from __future__ import division\n" + HEAD + text).changed
    assert told not in port(HEAD + "z = tf.exp(1.0) / 2\n").changed


PYTHON_2 = {
    "raise ValueError, 'x'": "raise ValueError('x')",
    "exec 'x = 1'": "exec('x = 1')",
    "x = `y`": "x = repr(y)",
    "x = 0755": "x = 0o755",
    "print 'a' % 3": "print('a' % 3)",
}


@pytest.mark.parametrize("line", PYTHON_2)
def test_a_line_of_python_2_becomes(line: str) -> None:
    assert port(f"{HEAD}y = tf.exp(1.0)\n{line}\n").code.splitlines()[-1] == PYTHON_2[line]
