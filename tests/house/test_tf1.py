"""The page docs/tf1.md: each deliberate difference with both answers, and a table that leaves nothing out.

TensorFlow's answers are written down, so that the cases run without it; where it is installed (extra ``oracle``), it is
asked again.
"""

from __future__ import annotations

import functools
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import torchscope as ts
from torchscope import AUTO_REUSE, ScopedModule, get_variable, variable_scope
from torchscope._modules.template import Template

PAGE = (Path(__file__).parents[2] / "docs" / "tf1.md").read_text()
Sees = Callable[[Any], Any]


def answer(function: Callable[[], Any]) -> Any:
    """What a function returns, or the builtin kind of the error that it raises."""
    try:
        return function()
    except (ValueError, TypeError, RuntimeError) as error:
        return next(kind for kind in type(error).__mro__ if kind.__module__ == "builtins")


def in_a_call(function: Callable[[], Any]) -> Any:
    return answer(ScopedModule(function))


def in_as_default(function: Callable[[ScopedModule], Any]) -> Any:
    model = ScopedModule()
    with model.as_default():
        return answer(lambda: function(model))


# Each difference is a pair of functions that run the same lines: TensorFlow's, then ours.


def again_theirs(tf: Any) -> Any:
    tf.get_variable("w", [3])
    return answer(lambda: tf.get_variable("w", [3]))


def again_ours() -> Any:
    model = ScopedModule(lambda: get_variable("w", [3]))
    return "the same" if model() is model() else "another"


def new_theirs(tf: Any) -> Any:
    def forward(name: str) -> str:
        with tf.variable_scope("", reuse=tf.AUTO_REUSE):
            return str(tf.get_variable(name, [3]).name)

    return forward("weights"), forward("wieghts")


def new_ours() -> Any:
    def forward(name: str) -> str:
        with variable_scope("", reuse=AUTO_REUSE):
            return str(model.variable_name(get_variable(name, [3])))

    model = ScopedModule(forward)
    return model("weights"), answer(lambda: model("wieghts"))


def handle_theirs(tf: Any) -> Any:
    with tf.name_scope("w"):
        pass
    return tf.get_variable("w", [3]).name


def handle_ours() -> Any:
    def body(model: ScopedModule) -> str:
        with ts.name_scope("w"):
            pass
        return model.variable_name(get_variable("w", [3]))

    return in_as_default(body)


def empty_theirs(tf: Any) -> Any:
    with tf.variable_scope("b/"):
        return tf.get_variable("a//w", [3]).name, tf.get_variable("v", [3]).name


def empty_ours() -> Any:
    return in_a_call(lambda: get_variable("a//w", [3])), in_a_call(lambda: variable_scope("b/").__enter__())


def dots_theirs(tf: Any) -> Any:
    with tf.variable_scope("l1.0"):
        return tf.get_variable("w", [3]).name


def dots_ours() -> Any:
    return in_a_call(lambda: get_variable("l1.0/w", [3]))


def empty_scope_theirs(tf: Any) -> Any:
    with tf.variable_scope("a"), tf.variable_scope(""):
        return tf.get_variable("w", [3]).name


def empty_scope_ours() -> Any:
    def forward() -> Any:
        with variable_scope("a"), variable_scope(""):
            return get_variable("w", [3])

    return in_a_call(forward)


def scope_dtype_theirs(tf: Any) -> Any:
    with tf.variable_scope("a"):
        tf.get_variable("w", [3])
    with tf.variable_scope("a", reuse=True, dtype=tf.float64):
        return answer(lambda: tf.get_variable("w", [3]).dtype.base_dtype.name)


def scope_dtype_ours() -> Any:
    def forward() -> Any:
        with variable_scope("a"):
            get_variable("w", [3])
        with variable_scope("a", reuse=True, dtype=torch.float64):
            return str(get_variable("w", [3]).dtype).removeprefix("torch.")

    return in_a_call(forward)


def integers_theirs(tf: Any) -> Any:
    return tf.get_variable("n", [], tf.int32, trainable=True).trainable


def integers_ours() -> Any:
    return in_a_call(lambda: get_variable("n", [], torch.int32, trainable=True))


def inside_itself_theirs(tf: Any) -> Any:
    def run() -> str:
        manager = tf.variable_scope("a")
        with manager, manager:
            pass
        return str(tf.get_variable_scope().name)

    return answer(run)


def inside_itself_ours() -> Any:
    def forward() -> str:
        manager = variable_scope("a")
        with manager, manager:
            pass
        return ts.get_variable_scope().name

    return in_a_call(forward)


def manager_reuse_theirs(tf: Any) -> Any:
    manager, seen = tf.variable_scope("a"), []
    with tf.variable_scope("", reuse=True), manager as scope:
        seen.append(bool(scope.reuse))
    with manager as scope:
        return [*seen, bool(scope.reuse)]


def manager_reuse_ours() -> Any:
    def forward() -> Any:
        manager, seen = variable_scope("a"), []
        with variable_scope("", reuse=True), manager as scope:
            seen.append(bool(scope.reuse))
        with manager as scope:
            return [*seen, bool(scope.reuse)]

    return in_a_call(forward)


def manager_jump_theirs(tf: Any) -> Any:
    with tf.variable_scope("a") as scope:
        pass
    manager = tf.variable_scope(scope)
    with manager as again:
        again.reuse_variables()
    with manager as again:
        return bool(again.reuse)


def manager_jump_ours() -> Any:
    def forward() -> bool:
        with variable_scope("a") as scope:
            pass
        manager = variable_scope(scope)
        with manager as again:
            again.reuse_variables()
        with manager as again:
            return bool(again.reuse)

    return in_a_call(forward)


def _without_reuse(getter: Any, name: str, *args: Any, **kwargs: Any) -> Any:
    del kwargs["reuse"]
    return getter(name, *args, **kwargs)


def dropped_reuse_theirs(tf: Any) -> Any:
    with tf.variable_scope("a", custom_getter=_without_reuse):
        tf.get_variable("w", [3])
        return answer(lambda: tf.get_variable("w", [3]).name)


def dropped_reuse_ours() -> Any:
    def forward() -> Any:
        with variable_scope("a", custom_getter=_without_reuse):
            get_variable("w", [3])
            return get_variable("w", [3])

    return in_a_call(forward)


def template_dtype_theirs(tf: Any) -> Any:
    with tf.variable_scope("a", dtype=tf.float64):
        made = tf.make_template("t", lambda: tf.get_variable("w", [3]), create_scope_now_=True)
    return made().dtype.base_dtype.name


def template_dtype_ours() -> Any:
    def forward() -> str:
        with variable_scope("a", dtype=torch.float64):
            made = ts.make_template("t", lambda: get_variable("w", [3]), create_scope_now_=True)
        return str(made().dtype).removeprefix("torch.")

    return in_a_call(forward)


def keywords_theirs(tf: Any) -> Any:
    seen: list[str] = []

    def look(getter: Any, name: str, *args: Any, **kwargs: Any) -> Any:
        seen.extend(sorted(kwargs))
        return getter(name, *args, **kwargs)

    tf.get_variable("w", [3], custom_getter=look)
    return seen


def keywords_ours() -> Any:
    seen: list[str] = []

    def look(getter: Any, name: str, *args: Any, **kwargs: Any) -> Any:
        seen.extend(sorted(kwargs))
        return getter(name, *args, **kwargs)

    in_a_call(lambda: get_variable("w", [3], custom_getter=look))
    return seen


def initializer_theirs(tf: Any) -> Any:
    seen: list[Any] = []

    def ones(shape: Any, dtype: Any = None, **_: Any) -> Any:
        seen.append(list(shape))
        return tf.ones(shape, dtype)

    tf.get_variable("w", [3], initializer=ones)
    return seen


def initializer_ours() -> Any:
    seen: list[Any] = []

    def ones(tensor: torch.Tensor) -> None:
        seen.append(type(tensor).__name__)
        tensor.fill_(1.0)

    in_a_call(lambda: get_variable("w", [3], initializer=ones))
    return seen


def selection_theirs(tf: Any) -> Any:
    for scope in ("D", "D_pre"):
        with tf.variable_scope(scope):
            tf.get_variable("w", [3])
    return [v.name for v in tf.trainable_variables("D")]


def selection_ours() -> Any:
    def body(model: ScopedModule) -> list[str]:
        for scope in ("D", "D_pre"):
            with variable_scope(scope):
                get_variable("w", [3])
        return [model.variable_name(v) for v in model.trainable_variables("D")]

    return in_as_default(body)


def operation_theirs(tf: Any) -> Any:
    with tf.variable_scope("a"):
        return tf.matmul(tf.ones([1, 1]), tf.get_variable("w", [1, 1])).op.name


def operation_ours() -> Any:
    def forward() -> str:
        with variable_scope("a"):
            return ts.op_name(torch.matmul(torch.ones(1, 1), get_variable("w", [1, 1])))

    with ts.name_ops():
        return in_a_call(forward)


def failing_theirs(tf: Any) -> Any:
    def fails(*args: Any, **kwargs: Any) -> Any:
        raise ValueError("no")

    answer(lambda: tf.get_variable("w", [3], initializer=fails))
    with tf.variable_scope("w") as scope:
        return scope.original_name_scope


def failing_ours() -> Any:
    def fails(tensor: torch.Tensor) -> Any:
        raise ValueError("no")

    def body(model: ScopedModule) -> str:
        answer(lambda: get_variable("w", [3], initializer=fails))
        with variable_scope("w") as scope:
            return scope.original_name_scope

    return in_as_default(body)


def template_outside_theirs(tf: Any) -> Any:
    made = tf.make_template("t", lambda: tf.get_variable("w", [3]).name)
    seen = []
    for _ in range(2):
        with tf.Graph().as_default():
            seen.append(answer(made))
    return seen


def template_outside_ours() -> Any:
    def name() -> str | None:
        return model.variable_name(get_variable("w", [3]))

    model = ScopedModule(ts.make_template("t", name))
    return [answer(model), answer(model)]


def root_theirs(tf: Any) -> Any:
    with tf.name_scope("n"), tf.variable_scope("") as scope:
        return scope.original_name_scope


def root_ours() -> Any:
    def forward() -> str:
        with ts.name_scope("n"), variable_scope("") as scope:
            return scope.original_name_scope

    return in_a_call(forward)


def parts_theirs(tf: Any) -> Any:
    return type(tf.get_variable("w", [4], partitioner=tf.fixed_size_partitioner(2))).__name__


def parts_ours() -> Any:
    return in_a_call(lambda: type(get_variable("w", [4], partitioner=lambda shape, dtype: [2])).__name__)


def constant_parts_theirs(tf: Any) -> Any:
    halves = tf.fixed_size_partitioner(2)
    return tf.get_variable("w", [3], initializer=[1.0, 2.0], partitioner=halves).shape.as_list()


def constant_parts_ours() -> Any:
    def halves(shape: Any, dtype: Any) -> list[int]:
        return [2]

    wrong = in_a_call(lambda: get_variable("w", [3], initializer=[1.0, 2.0], partitioner=halves))
    return wrong, in_a_call(lambda: len(get_variable("w", initializer=[1.0, 2.0], partitioner=halves)))


def local_parts_theirs(tf: Any) -> Any:
    with tf.variable_scope("a", partitioner=tf.fixed_size_partitioner(2)):
        tf.get_local_variable("w", [4])
    return [v.name for v in tf.local_variables()]


def local_parts_ours() -> Any:
    def body(model: ScopedModule) -> Any:
        with variable_scope("a", partitioner=lambda shape, dtype: [2]):
            ts.get_local_variable("w", [4])
        return [model.variable_name(v) for v in model.local_variables()]

    return in_as_default(body)


def default_dtype_theirs(tf: Any) -> Any:
    return tf.get_variable("w", [3]).dtype.base_dtype.name


def default_dtype_ours() -> Any:
    return str(ScopedModule(lambda: get_variable("w", [3]), dtype=torch.float16)().dtype).removeprefix("torch.")


def not_callable_theirs(tf: Any) -> Any:
    return answer(lambda: tf.get_variable("w", [3], custom_getter=3))


def not_callable_ours() -> Any:
    return in_a_call(lambda: get_variable("w", [3], custom_getter=3))


def buffer_theirs(tf: Any) -> Any:
    tf.get_variable("w", [3])
    with tf.variable_scope("", reuse=True):
        return answer(lambda: tf.get_local_variable("w", [3]).name)


def buffer_ours() -> Any:
    def forward() -> Any:
        get_variable("w", [3])
        with variable_scope("", reuse=True):
            return ts.get_local_variable("w", [3])

    return in_a_call(forward)


GETTER_KEYWORDS = (
    "aggregation caching_device collections constraint dtype initializer partitioner regularizer reuse shape "
    "synchronization trainable use_resource validate_shape"
).split()
OUR_KEYWORDS = "collections constraint device dtype initializer partitioner regularizer reuse shape trainable".split()


# The first column of the page's table: TensorFlow's lines and answer, ours and our answer.
def number_theirs(tf: Any) -> Any:
    asked = answer(lambda: tf.get_variable("a", dtype=tf.float64, initializer=1.5))
    return asked, tf.get_variable("b", initializer=4).dtype.base_dtype.name


def number_ours() -> Any:
    def forward() -> tuple[str, str]:
        asked = get_variable("a", dtype=torch.float64, initializer=1.5)
        return str(asked.dtype).removeprefix("torch."), str(get_variable("b", initializer=4).dtype).removeprefix(
            "torch."
        )

    return in_a_call(forward)


ROOT_NAMES = ["_w", "-w", "training"]


def root_names_theirs(tf: Any) -> Any:
    return [answer(functools.partial(lambda name: tf.get_variable(name, [3]).name, name)) for name in ROOT_NAMES]


def root_names_ours() -> Any:
    def forward(name: str) -> Any:
        get_variable(name, [3])
        return name

    return [answer(functools.partial(ScopedModule(forward), name)) for name in ROOT_NAMES]


def in_a_thread(run: Callable[[], Any]) -> Any:
    """What a function gives in a new thread."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(answer(run)))
    thread.start()
    thread.join()
    return found[0]


def threads_theirs(tf: Any) -> Any:
    graph = tf.get_default_graph()

    def other() -> Any:
        with graph.as_default():
            return tf.get_variable("w", [3]).name

    with tf.variable_scope("a"):
        return in_a_thread(other), in_a_thread(other)


def threads_ours() -> Any:
    def forward() -> Any:
        with variable_scope("a"):
            return in_a_thread(lambda: get_variable("w", [3]))

    model = ScopedModule(lambda: get_variable("w", [3])).build()
    both = [in_a_thread(model) for _ in range(2)]
    return in_a_call(forward), both[0] is both[1]


DIFFERENCES: dict[str, tuple[Sees, Any, Callable[[], Any], Any]] = {
    "running the function again": (again_theirs, ValueError, again_ours, "the same"),
    "a variable that is new in a later run": (
        new_theirs,
        ("weights:0", "wieghts:0"),
        new_ours,
        ("weights", ValueError),
    ),
    "names of variables": (handle_theirs, "w_1:0", handle_ours, "w"),
    "empty segments, trailing slashes": (
        empty_theirs,
        ("b//a//w:0", "b//v:0"),
        empty_ours,
        (ValueError, ValueError),
    ),
    "dots in names": (dots_theirs, "l1.0/w:0", dots_ours, ValueError),
    '`variable_scope("")` inside another scope': (empty_scope_theirs, "a//w:0", empty_scope_ours, ValueError),
    "dtype of the scope, on a variable that exists": (scope_dtype_theirs, ValueError, scope_dtype_ours, "float32"),
    "`trainable=True` for integers": (integers_theirs, True, integers_ours, ValueError),
    "one manager object inside itself": (inside_itself_theirs, RuntimeError, inside_itself_ours, ""),
    "one manager object, once entered under reuse": (
        manager_reuse_theirs,
        [True, True],
        manager_reuse_ours,
        [True, False],
    ),
    "one manager object that jumps, entered again": (manager_jump_theirs, True, manager_jump_ours, False),
    "`reuse` dropped by a custom getter": (dropped_reuse_theirs, "a/w:0", dropped_reuse_ours, ValueError),
    "`make_template(create_scope_now_=True)`": (template_dtype_theirs, "float32", template_dtype_ours, "float64"),
    "a getter's keywords": (keywords_theirs, GETTER_KEYWORDS, keywords_ours, OUR_KEYWORDS),
    "initializers": (initializer_theirs, [[3]], initializer_ours, ["Tensor"]),
    "`scope=` of collections": (selection_theirs, ["D/w:0", "D_pre/w:0"], selection_ours, ["D/w"]),
    "names of operations": (operation_theirs, "a/MatMul", operation_ours, "a/matmul"),
    "a get that fails": (failing_theirs, "w_1/", failing_ours, "w/"),
    "a template made outside the graph": (
        template_outside_theirs,
        ["t/w:0", ValueError],
        template_outside_ours,
        ["t/w", "t/w"],
    ),
    '`variable_scope("")` at the root, in a name scope': (root_theirs, "", root_ours, "n/"),
    "a variable in parts": (parts_theirs, "PartitionedVariable", parts_ours, "Tensor"),
    "a Python number of another dtype than the one that is asked for": (
        number_theirs,
        (ValueError, "int32"),
        number_ours,
        ("float64", "int64"),
    ),
    "a constant in parts": (constant_parts_theirs, [3], constant_parts_ours, (ValueError, 2)),
    "a local variable in parts": (local_parts_theirs, ["a/w/part_0:0", "a/w/part_1:0"], local_parts_ours, ["a/w"]),
    "the default dtype": (default_dtype_theirs, "float32", default_dtype_ours, "float16"),
    "a getter, regularizer or partitioner that is no function": (
        not_callable_theirs,
        ValueError,
        not_callable_ours,
        TypeError,
    ),
    "a local variable where a variable is": (buffer_theirs, "w:0", buffer_ours, TypeError),
    "names at the root": (
        root_names_theirs,
        [ValueError, ValueError, "training:0"],
        root_names_ours,
        ["_w", "-w", ValueError],
    ),
    "threads": (threads_theirs, ("w:0", ValueError), threads_ours, (RuntimeError, True)),
}


@pytest.fixture(scope="module")
def tf() -> Any:
    tensorflow = pytest.importorskip("tensorflow", reason="needs the extra `oracle`: tensorflow-cpu")
    tensorflow.compat.v1.disable_resource_variables()
    return tensorflow.compat.v1


@pytest.mark.parametrize("what", DIFFERENCES)
def test_a_difference_is_as_the_page_says(what: str) -> None:
    _, _, ours, expected = DIFFERENCES[what]
    assert ours() == expected


@pytest.mark.parametrize("what", DIFFERENCES)
@pytest.mark.filterwarnings("ignore")  # TensorFlow's own
def test_tensorflows_answer_is_as_written_down(what: str, tf: Any) -> None:
    theirs, expected, _, _ = DIFFERENCES[what]
    with tf.Graph().as_default():
        assert theirs(tf) == expected


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading of the page."""
    table = re.search(rf"^## {re.escape(heading)}\n(?:[^|]*\n)*?((?:\|.*\n)+)", PAGE, re.MULTILINE)
    assert table, heading
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table[1].splitlines()[2:]]


def test_the_page_lists_the_differences_that_are_tested() -> None:
    assert [row[0] for row in rows("Deliberate differences")] == list(DIFFERENCES)


def mentioned() -> set[str]:
    """The names in code quotes in the first column of the tables of functions, arguments and attributes."""
    tables = (rows(heading) for heading in ("Functions", "Arguments", "Attributes and methods"))
    return {name for table in tables for row in table for name in re.findall(r"`([^`]+)`", row[0])}


@pytest.mark.filterwarnings("ignore")  # TensorFlow's own
def test_the_page_leaves_out_no_function_argument_or_attribute_of_tensorflow(tf: Any) -> None:
    from tensorflow.python.ops import init_ops, partitioned_variables, template, variable_scope, variables
    from tensorflow.python.util import tf_inspect

    names = set()
    for module in (variable_scope, template, partitioned_variables, variables, init_ops):
        for value in vars(module).values():
            names |= {f"tf.{name}" for name in getattr(value, "_tf_api_names_v1", None) or ()}
    assert len(names) > 50
    assert names <= mentioned(), names - mentioned()

    arguments = set()
    for function in (tf.get_variable, tf.get_local_variable, tf.variable_scope.__init__, tf.make_template):
        arguments |= set(tf_inspect.signature(function).parameters) - {"self", "args", "kwargs"}
    assert arguments <= mentioned(), arguments - mentioned()

    attributes = {f"VariableScope.{name}" for name in dir(tf.VariableScope) if not name.startswith("_")}
    attributes |= {f"Template.{name}" for name in dir(template.Template) if not name.startswith("_")}
    assert attributes <= mentioned(), attributes - mentioned()


def test_what_the_page_calls_ours_exists() -> None:
    import torchscope.graph

    for _, ours, _ in rows("Functions"):
        for name in re.findall(r"`([^`]+)`", ours):
            if name.startswith("model."):
                assert hasattr(ScopedModule, name.removeprefix("model.")), name
            elif name.startswith("torchscope."):
                assert hasattr(torchscope.graph, name.rpartition(".")[2]), name
            else:
                assert hasattr(ts, name), name
    for theirs, ours, _ in rows("Attributes and methods"):
        for name in re.findall(r"`([^`]+)`", theirs) if ours else ():
            owner, _, attribute = name.partition(".")
            assert hasattr({"VariableScope": ts.VariableScope, "Template": Template}[owner], attribute), name
