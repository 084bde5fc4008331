"""How much of public TensorFlow 1 code is rewritten, counted in 28 public model codebases."""

from __future__ import annotations

import pytest

from tests.tf1.symbols import LINES, rows
from torchscope.port import port


def is_rewritten(symbol: str) -> bool:
    """Whether a use of a symbol is rewritten: the call in the table of symbols, a call of one tensor, or its value."""
    path = symbol.replace("tf.", "tensorflow.", 1)
    line = LINES.get(symbol, (f"{symbol}(x)",))[0]
    uses = [line, f"{symbol}(x)", symbol]
    package = path.rpartition(".")[0]
    head = (
        f"import tensorflow as tf\nimport {package}\n"
        if symbol.startswith("tf.python.")
        else "import tensorflow as tf\n"
    )
    return any(not port(f"{head}def f(x, y, p, i, j, b, c, m, n):\n    return {use}\n").left for use in uses)


def test_most_uses_are_rewritten(capsys: pytest.CaptureFixture[str]) -> None:
    """Of all uses that need no graph, at least 95 %; those that are missing are printed, most used first."""
    wanted = [row for row in rows() if row.where != "instead"]
    missing = [row for row in wanted if not is_rewritten(row.symbol)]
    total = sum(row.uses for row in wanted)
    share = 1 - sum(row.uses for row in missing) / total
    with capsys.disabled():
        print(f"\n{share:.1%} of {total} uses are rewritten; not yet:", *(f"{r.symbol} ({r.uses})" for r in missing))
    assert share >= 0.95
