"""Programs on which torchscope once differed from TensorFlow, by what went wrong; what TensorFlow saw is written down.

    python -m tests.oracle.regressions

asks TensorFlow (extra ``oracle``) and writes ``regressions.json`` beside this file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.oracle.dialects import tensorflow_sees
from tests.oracle.programs import (
    CallTemplate,
    Change,
    Get,
    NameScope,
    Op,
    Options,
    Scope,
    Share,
    Statement,
    Template,
)

ANSWERS = Path(__file__).with_suffix(".json")


def get(name: str, shape: Any = (2,), dtype: Any = None, initializer: Any = ("fill", 1), **options: Any) -> Get:
    """A get that asks for no more than it is told."""
    return Get(name, shape, dtype, initializer, **{"regularizer": False, "trainable": None, "getter": None, **options})


def scope(kind: Any, opener: Any, *body: Statement, **options: Any) -> Scope:
    """A scope with these options."""
    return Scope(kind, opener, Options(**options), body)


PROGRAMS: dict[str, tuple[Statement, ...]] = {
    "a constant of another dtype is told before any getter is called": (
        get("a", None, "float64", ("constant", 1), getter="plain"),
        get("a", None, "float32", ("constant", 1), getter="plain"),
    ),
    "a getter is shown the dtype that the variable is going to have": (
        scope("name", "a", get("b", getter="plain"), dtype="float64"),
        get("c", getter="renames"),
    ),
    "a shape beside a constant is refused after the getters": (
        get("a", (2,), None, ("constant", 1), getter="plain"),
        get("a", None, None, ("constant", 1)),
    ),
    "a variable that is shared is regularized once": (
        scope("name", "a", get("b"), Share(), get("b", regularizer=True), regularizer=True),
        scope("name", "a", get("b", regularizer=True), get("c", regularizer=True), reuse="AUTO_REUSE"),
    ),
    "a getter that fills does so for what is new only": (
        get("a"),
        scope("name", "", get("a", getter="fills"), get("b", getter="fills"), reuse="AUTO_REUSE"),
    ),
    "an inner getter renames what the outer one sees": (
        scope("name", "a", scope("name", "b", get("c"), getter="renames"), get("c", getter="fills"), getter="plain"),
    ),
    "a setting changed on a scope goes with a jump to it": (
        scope("name", "a", Change("initializer", 2), get("b", initializer=None)),
        scope("jump", 0, get("c", initializer=None)),
        scope("name", "a", get("d", initializer=None), initializer=1),
    ),
    "reuse of a jump comes from the scope that is jumped to": (
        scope("name", "a", get("b"), Share()),
        scope("jump", 0, get("b"), get("c")),
        scope("name", "a", get("c")),
    ),
    "a template made now keeps the quirk of its original name scope": (
        scope("name", "a", Template("t", True, None, None, (get("b"), Op())), CallTemplate(0), CallTemplate(0)),
        CallTemplate(0),
    ),
    "a template of a unique name shares the path and not the name scope": (
        Template("t", False, "u", None, (get("b"), Op())),
        CallTemplate(0),
        Template("t", False, "u", None, (get("b"), Op())),
        CallTemplate(1),
        CallTemplate(0),
    ),
    "an exact name scope is entered again and counts nothing": (
        NameScope("a", (Op(),)),
        NameScope("a/", (Op(), scope("name", "b", Op()))),
        NameScope("a", (Op(),)),
        scope("name", "a", Op(), get("add")),
    ),
    "a name that differs in case only is taken": (
        NameScope("a", ()),
        NameScope("A", (Op(),)),
        scope("name", "a", Op()),
    ),
    "a manager that is entered again elsewhere keeps its original name scope": (
        scope("name", "a", Op()),
        scope("name", "b", scope("again", 0, Op(), get("c"))),
        scope("again", 0, Op()),
    ),
    "a jump restores the counts of default names": (
        scope("name", "a", scope("default", "b")),
        scope("jump", 0, scope("default", "b"), scope("default", "b")),
        scope("jump", 0, scope("default", "b")),
    ),
    "a scope without a name scope of its own names operations outside": (
        NameScope("a", (scope("name", "b", Op(), scope("name", "c", Op()), auxiliary_name_scope=False),)),
    ),
}


def answers(tf: Any) -> dict[str, Any]:
    """What TensorFlow sees, as JSON has it."""
    seen = {what: tensorflow_sees(tf, program) for what, program in PROGRAMS.items()}
    return dict(json.loads(json.dumps(seen)))


if __name__ == "__main__":
    import tensorflow

    tensorflow.compat.v1.disable_resource_variables()
    ANSWERS.write_text(
        "{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in answers(tensorflow).items()) + "\n}\n"
    )
