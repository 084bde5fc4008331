"""What a port and its check are told as, in a few lines or as data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .._names.paths import say_nearest
from ._check import Checked
from ._result import Ported


def lines(files: Sequence[Ported], checked: Checked | None) -> list[str]:
    """The report: what was read, left, changed and dropped; what was loaded, compared and compiled."""
    found = [each for file in files for each in file.found]
    left = [each for each in found if each.how == "left"]
    homes = {how: sum(file.count(how) for file in files) for how in ("torch", "torchscope", "torchscope.tf1")}
    where = ", ".join(f"{count} {how}" for how, count in homes.items() if count)
    counted = f"{len(found) - len(left)} of {len(found)} TensorFlow uses rewritten"
    told = [_line("read", f"{counted}{': ' + where if where else ''}")]
    for file in files:
        name = Path(file.path).name
        told += [_line("left", f"{name}:{each.line}  {each.symbol}: {each.note}") for each in file.left]
    for file in files:
        prefix = f"{Path(file.path).name}:" if len(files) > 1 else ""
        for how, at in file.changed.items():
            told.append(_line("changed", f"{prefix}{', '.join(map(str, sorted(at)))}  {how}"))
    dropped: dict[str, int] = {}
    for file in files:
        for name, count in file.dropped.items():
            dropped[name] = dropped.get(name, 0) + count
    if dropped:
        told.append(_line("dropped", ", ".join(f"{name}= ({count})" for name, count in dropped.items())))
    return told + ([] if checked is None else _checked_lines(checked))


def _checked_lines(checked: Checked) -> list[str]:
    report = checked.report
    told = [_line("loaded", f"{len(report.loaded)} of {checked.variables} variables")]
    for path in report.missing:
        near = say_nearest(path, report.unused)
        told += [_line("missing", f"{path}  the checkpoint has no such array. {near}")]
    for name in report.unused:
        near = say_nearest(name, report.missing)
        told += [_line("unused", f"{name}  the model has no such variable. {near}")]
    told += [_line("refused", f"{path}  {why}") for path, (_, why) in report.refused.items()]
    if checked.errors:
        each = "  ".join(f"{name} {error:.1e}" for name, error in checked.errors.items())
        told.append(_line("compared", each))
    else:
        told.append(_line("compared", "nothing: no outputs were recorded"))
    limit = f"more than {checked.tolerance:.0e}"
    told += [_line("differs", f"{name} by {checked.errors[name]:.1e}, {limit}") for name in checked.differs]
    if checked.first is not None:
        told.append(_line("first", checked.first))
    told.append(_line("compiled", "one graph" if checked.compiled is None else f"no: {checked.compiled}"))
    return told


def _line(what: str, text: str) -> str:
    return f"{what:<10}{text}".rstrip()


def data(files: Sequence[Ported], checked: Checked | None) -> dict[str, object]:
    """The report for programs."""
    told: dict[str, object] = {
        "files": [
            {
                "path": file.path,
                "uses": [vars(each) for each in file.found],
                "changed": file.changed,
                "dropped": file.dropped,
            }
            for file in files
        ]
    }
    if checked is not None:
        report = checked.report
        told["check"] = {
            "variables": checked.variables,
            "loaded": sorted(report.loaded),
            "missing": list(report.missing),
            "unused": list(report.unused),
            "refused": {path: why for path, (_, why) in report.refused.items()},
            "errors": checked.errors,
            "tolerance": checked.tolerance,
            "first": checked.first,
            "compiled": checked.compiled or "one graph",
            "passed": checked.passed,
        }
    return told
