"""Sources that once lost code, hung, or gave other numbers when they were ported."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch

from torchscope import ArgumentValueError, ScopedModule
from torchscope.port import port
from torchscope.port._check import difference

HEAD = "import tensorflow as tf\n"


def run(text: str, *arguments: Any, name: str = "f") -> Any:
    found: dict[str, Any] = {}
    exec(port(HEAD + text).code, found)
    return ScopedModule(found[name])(*arguments)


def test_a_try_that_does_something_keeps_all_of_it() -> None:
    text = (
        "try:\n  for n in range(3):\n    loss = tf.reduce_mean(tf.sub(a, b))\nexcept KeyboardInterrupt:\n"
        "  print('stopped')\nfinally:\n  coord.join()\n"
    )
    code = port(HEAD + text).code
    assert "for n in range(3)" in code
    assert "finally:\n  coord.join()" in code
    text = "try:\n  import tensorflow.contrib.foo as foo\nexcept ImportError:\n  foo = None\nelse:\n  setup()\n"
    assert "else:\n  setup()" in port(HEAD + text + "x = tf.exp(1.0)\n").code


def test_an_elif_for_a_version_is_decided() -> None:
    text = "if a:\n  c = 1\nelif 'concat_v2' in dir(tf):\n  c = 2\nelse:\n  c = 3\nx = tf.exp(1.0)\n"
    assert "if a:\n  c = 1\nelse:\n  c = 3\n" in port(HEAD + text).code
    text = "if a:\n  c = 1\nelif 'concat' in dir(tf):\n  c = 2\nelse:\n  c = 3\nx = tf.exp(1.0)\n"
    assert "if a:\n  c = 1\nelse:\n  c = 2\n" in port(HEAD + text).code


@pytest.mark.parametrize(
    "block", ["  if c > {n}:\n    x = x / 2.0\n  else:\n    x = x * 2.0\n", "  x = tf.sqrt(x + x * x)\n"]
)
def test_many_steps_are_read_in_linear_time(block: str) -> None:
    text = "def f(x, c):\n" + "".join(block.format(n=n) for n in range(60)) + "  return tf.sqrt(x)\n"
    began = time.perf_counter()
    assert not port(HEAD + text).left
    assert time.perf_counter() - began < 20


def test_a_name_of_the_file_is_not_captured() -> None:
    text = "def f(x):\n  n = 2\n  return tf.zeros(tf.shape(x) + n), tf.zeros(tf.shape(x) * n)\n"
    more, times = run(text, torch.ones(3, 4))
    assert (more.shape, times.shape) == ((5, 6), (6, 8))


def test_sizes_of_other_lengths_are_refused_and_not_cut() -> None:
    with pytest.raises(ValueError, match="zip"):
        run("def f(x):\n  return tf.zeros(tf.shape(x) * [2])\n", torch.ones(3, 4))


def test_comments_inside_of_a_call_stay() -> None:
    code = port(
        HEAD + "def f(x, y):\n  z = tf.add(x,  # the input\n             # and\n             y)\n  return z\n"
    ).code
    assert "  # the input\n  # and\n  z = " in code


@pytest.mark.parametrize("value", ["not w", "a or b", "lambda: 1", "1 if w else 2"])
def test_what_is_added_keeps_its_bounds(value: str) -> None:
    code = port(f"{HEAD}def f(x, w, a, b):\n  n = tf.exp(x)\n  n += {value}\n  return n\n").code
    assert f"n = n + ({value})" in code


def test_strings_stay_as_they_are() -> None:
    text = 'def f(x):\n  """Take\n  except the first, last: ones."""\n  return tf.exp(x), "a 07"\n'
    code = port(HEAD + text).code
    assert '  except the first, last: ones."""' in code
    with pytest.raises(ArgumentValueError, match="It is no Python"):
        port(HEAD + 'os.chmod("a 07 05", 0755)\n')


def test_arguments_that_callers_hand_on_are_not_dropped() -> None:
    text = "def mean(x, **kw):\n  return tf.reduce_mean(x, **kw)\ndef f(x):\n  return mean(x, axis=1)\n"
    assert run(text, torch.ones(2, 3)).shape == (2,)
    ported = port(HEAD + "def total(x, **kw):\n  return tf.reduce_sum(x, **kw)\ny = total(x, axis=1)\n")
    assert [each.symbol for each in ported.left] == ["tf.reduce_sum"]


def test_keepdims_may_be_a_variable() -> None:
    text = "def f(x, keep):\n  x = tf.exp(x)\n  return tf.reduce_sum(x, keepdims=keep)\n"
    assert run(text, torch.ones(2, 3), False).shape == ()
    assert run(text, torch.ones(2, 3), True).shape == (1, 1)


@pytest.mark.parametrize(
    "expression", ["tf.reduce_mean([x, 2.0 * x])", "tf.reduce_mean(losses)", "tf.convert_to_tensor([x, 1.0])[0]"]
)
def test_gradients_go_through_lists(expression: str) -> None:
    x = torch.tensor(3.0, requires_grad=True)
    run(f"def f(x):\n  losses = []\n  losses.append(x)\n  losses.append(x)\n  return {expression}\n", x).backward()
    assert x.grad is not None
    assert float(x.grad) > 0


def test_python_bools_stay_bools() -> None:
    text = (
        "def f(x):\n  n = x.get_shape().as_list()[0]\n"
        "  return tf.cond(tf.logical_not(tf.less(n, 5)), lambda: x, lambda: -x)\n"
    )
    assert run(text, torch.ones(2)).tolist() == [-1, -1]
    assert run(text, torch.ones(6)).tolist() == [1] * 6


def test_an_attribute_named_value_may_be_a_tensor() -> None:
    text = (
        "class M: pass\ndef f(x):\n  m = M()\n  m.value = x\n  m.value += 1.0\n  return m.value - x, tf.exp(m.value)\n"
    )
    x = torch.tensor(2.0, requires_grad=True)
    difference, exp = run(text, x)
    assert float(difference.detach()) == 1
    exp.backward()
    assert x.grad is not None


def test_a_default_tells_no_kind() -> None:
    text = "def act(t, k=2.0):\n  return t * tf.exp(k)\ndef f(x, k):\n  return act(x) + act(*[x, k])\n"
    k = torch.tensor(1.0, requires_grad=True)
    run(text, torch.tensor(1.0), k).backward()
    assert k.grad is not None


def test_names_that_functions_share_tell_no_kind() -> None:
    inner = "  def inner():\n    nonlocal acc\n    acc = x\n"
    text = f"def f(x):\n  acc = 0.0\n{inner}  inner()\n  acc += 1.0\n  return acc - x\n"
    assert float(run(text, torch.tensor(5.0))) == 1


def test_a_method_of_the_name_of_a_function_tells_nothing_of_it() -> None:
    method = "class A:\n  def scale(self):\n    return 2.0\n"
    text = f"{method}def f(x, scale):\n  y = scale(x)\n  y += 1.0\n  return tf.sqrt(y)\n"
    x = torch.tensor(3.0)
    assert float(run(text, x, lambda x: x)) == 2
    assert float(x) == 3


def test_what_compares_stays_and_is_told() -> None:
    ported = port(HEAD + "def f(x):\n  y = tf.exp(x)\n  z = tf.exp(x)\n  return y == z\n")
    assert "return y == z" in ported.code
    assert [each.symbol for each in ported.left] == ["Tensor.=="]


def test_a_computed_target_is_computed_once() -> None:
    ported = port(HEAD + "def f(d, it, x):\n  y = tf.exp(x)\n  d[next(it)] += y\n  return d\n")
    assert "d[next(it)] += y" in ported.code
    assert [each.symbol for each in ported.left] == ["Tensor.+= in place"]


def test_rows_are_gathered_by_lists_of_any_shape() -> None:
    x = torch.arange(8.0).reshape(2, 4)
    assert run("def f(x):\n  return tf.gather(x, [[0, 1], [1, 0]])\n", x).shape == (2, 2, 4)
    assert run("def f(x):\n  return tf.gather(x, (0, 1))\n", x).shape == (2, 4)


def test_a_long_expression_is_refused_or_read() -> None:
    # Each term is one level deeper in the tree, and Python starts with a limit of 1,000.
    text = "def f(x):\n  return " + " + ".join(["tf.square(x)"] * 1500) + "\n"
    try:
        assert not port(HEAD + text).left
    except ArgumentValueError as error:
        assert "too long to be read" in str(error)


def test_a_star_import_is_refused() -> None:
    with pytest.raises(ArgumentValueError, match="imports \\* from tensorflow"):
        port("from tensorflow import *\nx = exp(1.0)\n")


def test_lines_end_as_they_did() -> None:
    assert port("import tensorflow as tf\r\nx = tf.exp(1.0)\r\n").code == "import math\r\nx = math.exp(1.0)\r\n"


def test_a_method_of_the_file_is_its_own() -> None:
    text = (
        "class C:\n  def get_shape(self):\n    return 3\n  def g(self):\n    return self.get_shape()\nx = tf.exp(1.0)\n"
    )
    assert "return self.get_shape()" in port(HEAD + text).code


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ([float("-inf"), 1.0], [float("-inf"), 1.0], 0.0),
        ([float("nan")], [float("nan")], 0.0),
        ([1.0], [1.0 + 100j], 100 / abs(1 + 100j)),
        ([], [], 0.0),
        ([2.0], [1.0], 1.0),
    ],
)
def test_differences_of_what_is_not_finite_or_complex(ours: list[Any], theirs: list[Any], expected: float) -> None:
    assert difference(torch.tensor(ours), torch.tensor(theirs)) == pytest.approx(expected)
    assert not difference(torch.tensor([float("nan")]), torch.tensor([1.0])) <= 1e-5
