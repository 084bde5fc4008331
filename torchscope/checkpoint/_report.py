"""What became of each array of a checkpoint and of each variable of a module."""

from __future__ import annotations

from dataclasses import dataclass, field

from .._names.paths import say_nearest
from .._table import as_text

_MOST_HINTS = 50  # missing variables that are told their nearest arrays: each is compared with all that are unused


@dataclass
class LoadReport:
    """What :func:`load_checkpoint` did, or would have done; ``str(report)`` is a table.

    Where nothing was loaded, the table has what is in the way and only counts the rest. The first 50 missing variables
    have the nearest names among the unused arrays beside them.

    Attributes:
        loaded: variable -> (the array that it was loaded from, how it was converted: ``""`` if not at all).
        missing: variables that no array is for.
        unused: arrays that are for no variable.
        skipped: array -> what it is: a slot of an optimizer, a count of steps, a moving average.
        renamed: array -> the name that it goes by.
        refused: variable -> (array, why it cannot be loaded from that).
        done: whether what is in ``loaded`` was loaded; if not, as in the report of an error, it only fits.
    """

    loaded: dict[str, tuple[str, str]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    refused: dict[str, tuple[str, str]] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    done: bool = False

    @property
    def complete(self) -> bool:
        """Whether every variable was loaded and every array used or skipped for a reason."""
        return not (self.missing or self.unused or self.refused)

    def __str__(self) -> str:
        counts = (
            f"{len(self.loaded)} {'loaded' if self.done else 'fit'}, {len(self.refused)} refused, "
            f"{len(self.missing)} missing, {len(self.unused)} unused, {len(self.skipped)} skipped"
        )
        unused = {self.renamed.get(array, array): array for array in self.unused}
        rows = [("refused", path, f"<- {name}", why) for path, (name, why) in self.refused.items()]
        for number, path in enumerate(self.missing):
            near = say_nearest(path, unused) if number < _MOST_HINTS else ""
            rows.append(("missing", path, "", f"no array is for it. {near}".rstrip()))
        for name, array in unused.items():
            was = f", by the name '{name}'" if name != array else ""
            rows.append(("unused", "", f"   {array}", f"it is for no variable{was}"))
        if self.done:
            rows += [("loaded", path, f"<- {name}", how) for path, (name, how) in self.loaded.items()]
            rows += [("skipped", "", f"   {name}", why) for name, why in self.skipped.items()]
        return counts + ("\n" + as_text(rows) if rows else "")
