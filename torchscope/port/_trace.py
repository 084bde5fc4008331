"""Where a port first differs: the value of each call, in TensorFlow and here, in the order in which they run."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from .. import checkpoint as checkpoints
from ._call import Arrays, by_name, named, prepared, run, said
from ._check import difference
from ._kinds import Recorded
from ._port import port, port_text
from ._run import Finder, importing
from ._tensorflow import sited, tensorflow_1


class Site(NamedTuple):
    """One call that ran: of which file, where, for the how manieth time."""

    path: str
    line: int
    column: int
    turn: int


class Watch:
    """The values of calls as they come."""

    def __init__(self) -> None:
        self.values: dict[Site, object] = {}
        self._counts: dict[tuple[str, int, int], int] = {}

    def globals_of(self, path: str) -> Mapping[str, object]:
        """What the code that tells its sites needs among its globals."""

        def site(at: tuple[int, int], value: object) -> object:
            count = self._counts[(path, *at)] = self._counts.get((path, *at), 0) + 1
            self.values[Site(path, *at, count)] = value
            return value

        return {"__site__": site}

    def forget(self) -> None:
        self.values.clear()
        self._counts.clear()


class Traced(NamedTuple):
    """What one side gave: the value of each call, and the outputs by their names."""

    sites: Mapping[Site, torch.Tensor]
    outputs: Mapping[str, torch.Tensor]


class Attempt(NamedTuple):
    """What is run on both sides."""

    call: str
    files: Sequence[Path]
    folder: Path
    arrays: Arrays
    checkpoint: Path


def first_difference(attempt: Attempt, recorded: Mapping[str, Recorded], tolerance: float) -> str:
    """The first call whose value differs, in words; or why that cannot be told."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is deprecated in TensorFlow
            theirs = _theirs(attempt)
    except ImportError as error:
        return f"not looked for, since TensorFlow cannot be imported: {said(error)}"
    except Exception as error:  # whatever the file does with the TensorFlow of today
        return f"not found, since TensorFlow does not run the file: {said(error)}"
    ours = _ours(attempt, recorded)
    for site, value in ours.sites.items():
        other = theirs.sites.get(site)
        how = None if other is None else _differs(value, other, tolerance)
        if how is not None:
            turn = f", run {site.turn}" if site.turn > 1 else ""
            return f"{Path(site.path).name}:{site.line}{turn}  {how}"
    if any(_differs(value, theirs.outputs[name], tolerance) for name, value in ours.outputs.items()):
        return "in no call: what differs is computed between them"
    return "nowhere: TensorFlow gives the same here, so what was recorded is of other weights or inputs"


def _differs(ours: torch.Tensor, theirs: torch.Tensor, tolerance: float) -> str | None:
    if ours.shape != theirs.shape:
        return f"{list(ours.shape)}, and in TensorFlow {list(theirs.shape)}"
    found = difference(ours.detach().cpu(), theirs)
    return None if found <= tolerance else f"by {found:.1e}"


def _ours(attempt: Attempt, recorded: Mapping[str, Recorded]) -> Traced:
    watch = Watch()
    finder = Finder(
        attempt.folder,
        lambda text, path: port(text, path, recorded=recorded.get(path), mode="sites"),
        watch.globals_of,
        port_text,
    )
    with importing(*finder.beside(attempt.call)):
        called = prepared(attempt.call, attempt.files, finder, attempt.arrays)
        model = called.model()
        run(called, model)
        checkpoints.load_checkpoint(model, attempt.checkpoint, strict=False)
        watch.forget()
        outputs = named(run(called, model), list(called.expected))
    return Traced({site: each for site, each in watch.values.items() if isinstance(each, torch.Tensor)}, outputs)


def _theirs(attempt: Attempt) -> Traced:
    watch = Watch()
    finder = Finder(attempt.folder, sited, watch.globals_of)
    with tensorflow_1() as tf, importing(*finder.beside(attempt.call)), tf.Graph().as_default() as graph:
        called = prepared(attempt.call, attempt.files, finder, attempt.arrays)
        watch.forget()
        result = called.function(*(tf.constant(attempt.arrays[name]) for name in called.inputs))
        # What is computed inside of a loop has a graph of its own, and no value outside.
        tensors = {site: value for site, value in watch.values.items() if getattr(value, "graph", None) is graph}
        outputs = by_name(result, list(called.expected))
        with tf.Session() as session:
            session.run(tf.global_variables_initializer())
            saved = checkpoints.open(attempt.checkpoint)
            for variable in tf.global_variables():
                if variable.op.name in saved:
                    variable.load(saved[variable.op.name].read().numpy(), session)
            values, results = session.run((list(tensors.values()), dict(outputs)))
    sites = {site: torch.as_tensor(value) for site, value in zip(tensors, values, strict=True)}
    return Traced(sites, {name: torch.as_tensor(value) for name, value in results.items()})
