"""Templates; the rules are tf.make_template's, and tests/oracle runs them against TensorFlow."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from torchscope import (
    AUTO_REUSE,
    ArgumentTypeError,
    InvalidNameError,
    NoActiveModuleError,
    ScopedModule,
    VariableExistsError,
    VariableNotFoundError,
    get_variable,
    get_variable_scope,
    make_template,
    variable_scope,
)


def w(name: str = "w") -> Any:
    return get_variable(name, [2])


def test_the_first_call_makes_the_variables_and_later_ones_share() -> None:
    def forward() -> bool:
        template = make_template("t", w)
        with variable_scope("elsewhere"):
            first = template()
        with variable_scope("somewhere/else"):
            return template() is first

    model = ScopedModule(forward)
    assert [model(), model()] == [True, True]
    assert list(model.variables) == ["elsewhere/t/w"]


def test_a_template_that_outlives_a_call_starts_anew_in_each() -> None:
    class Shared(ScopedModule):
        def __init__(self) -> None:
            super().__init__()
            self.template = make_template("t", w)

        def forward(self) -> bool:
            return self.template() is self.template()

    model = Shared()
    assert [model() for _ in range(3)] == [True] * 3
    assert list(model.variables) == ["t/w"]


def test_names_are_made_unique_where_the_scope_is_opened() -> None:
    def forward(now: bool) -> list[str]:
        one = make_template("t", lambda: get_variable_scope().name, now)
        two = make_template("t", lambda: get_variable_scope().name, now)
        return [two(), one(), two()]

    assert ScopedModule(forward)(False) == ["t", "t_1", "t"]
    assert ScopedModule(forward)(True) == ["t_1", "t", "t_1"]


def test_a_unique_name_is_taken_as_it_is() -> None:
    def forward() -> None:
        make_template("t", w, unique_name_="u")()
        make_template("t", w, unique_name_="u")()

    with pytest.raises(VariableExistsError, match="'u/w' was already got"):
        ScopedModule(forward)()


def test_a_variable_that_only_a_later_call_asks_for_is_an_error_with_where_the_template_was_made() -> None:
    def forward() -> None:
        template = make_template("t", w)
        template()
        template("other")

    with pytest.raises(VariableNotFoundError, match="'t/other' does not exist") as raised:
        ScopedModule(forward)()
    assert "in template 't', made at tests/modules/test_template.py:" in raised.value.__notes__[0]


def test_arguments_getter_lists_and_methods() -> None:
    seen: list[str] = []

    def look(getter: Any, name: str, *args: Any, **kwargs: Any) -> Any:
        seen.append(name)
        return getter(name, *args, **kwargs)

    def scale(x: float, by: float) -> Any:
        get_variable("frozen", [2], trainable=False)
        return x * by * w()

    class Twice:
        def __init__(self, by: float) -> None:
            self.by = by

        def call(self, x: float) -> Any:
            return x * self.by * w()

        method = make_template("method", call)

    def forward() -> None:
        template = make_template("t", scale, custom_getter_=look, by=2.0)
        assert (template.variables, template.trainable_variables, template.variable_scope) == ([], [], None)
        assert torch.equal(template(1.0) * 2, template(2.0))
        assert template.variables == [model.variables["t/frozen"], model.variables["t/w"]]
        assert template.trainable_variables == [model.variables["t/w"]]
        assert template.variable_scope is not None
        assert (template.name, template.variable_scope.name) == ("t", "t")
        thing = Twice(3.0)
        assert torch.equal(thing.method(1.0), 3 * model.variables["method/w"])
        assert repr(template).startswith("<Template 't' made at tests/modules/test_template.py:")

    model = ScopedModule(forward)
    model()
    assert seen == ["t/frozen", "t/w"] * 2


def test_templates_nest() -> None:
    def forward() -> list[Any]:
        inner = make_template("inner", w)
        outer = make_template("outer", lambda: [inner(), w()])
        return [*outer(), *outer()]

    model = ScopedModule(forward)
    one, two, three, four = model()
    assert (one is three, two is four) == (True, True)
    assert list(model.variables) == ["outer/inner/w", "outer/w"]


def test_a_failing_first_call_makes_no_variables_shared() -> None:
    def forward() -> Any:
        def fails(fail: bool) -> Any:
            variable = w()
            assert not fail
            return variable

        template = make_template("t", fails)
        with pytest.raises(AssertionError):
            template(True)
        with pytest.raises(VariableExistsError):
            template(False)

    ScopedModule(forward)()


def test_what_is_no_template_is_refused() -> None:
    with pytest.raises(InvalidNameError):
        make_template("a b", w)
    with pytest.raises(InvalidNameError):
        make_template(None, w)  # type: ignore[call-overload]
    with pytest.raises(ArgumentTypeError, match="func_ cannot be 3"):
        make_template("t", 3)  # type: ignore[call-overload]
    with pytest.raises(ArgumentTypeError, match="custom_getter cannot be 3"):
        make_template("t", w, custom_getter_=3)  # type: ignore[call-overload]
    with pytest.raises(NoActiveModuleError):
        make_template("t", w, create_scope_now_=True)
    with pytest.raises(NoActiveModuleError):
        make_template("t", w)()


def test_a_template_that_calls_itself_shares_as_in_tensorflow() -> None:
    def forward() -> None:
        def down(n: int) -> None:
            get_variable("w", [1])
            if n:
                template(n - 1)

        template = make_template("t", down)
        template(1), template(1)

    assert list(ScopedModule(forward).build().variables) == ["t/w"]


def test_a_trainable_variable_of_a_later_call_is_an_error_as_in_tensorflow() -> None:
    def forward() -> None:
        names = iter("abcd")

        def grow(trainable: bool) -> None:
            with variable_scope("q", reuse=AUTO_REUSE):
                get_variable(next(names), [1], trainable=trainable)

        template = make_template("t", grow)
        template(True), template(False)
        with pytest.raises(VariableNotFoundError, match=r"'t/q/c' of .* is new in a later call of template 't'"):
            template(True)

    model = ScopedModule(forward)
    for _ in range(3):
        model()
