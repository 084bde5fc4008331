"""``examples/train_lm.py``: one curve, however many processes there are and whenever a run was killed."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.programs import in_this_process

PROGRAM = Path(__file__).parents[2] / "examples" / "train_lm.py"
SHORT = ["--batch", "4", "--device", "cpu"]
pytestmark = pytest.mark.no_cover


def start_two(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [sys.executable, *torchrun, str(PROGRAM), *SHORT, "--out", str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    pipe = subprocess.PIPE
    return subprocess.Popen([*command, *arguments], env=environment, stdout=pipe, stderr=pipe, text=True)


def run(folder: Path, *arguments: str) -> str:
    """Run it in this process."""
    done = in_this_process(PROGRAM, *SHORT, "--out", folder, *arguments, cwd=folder.parent)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_two(folder: Path, *arguments: str) -> str:
    process = start_two(folder, *arguments)
    try:
        out, err = process.communicate(timeout=120)
    except subprocess.TimeoutExpired:
        kill(process)
        raise
    assert process.returncode == 0, err
    return out


def kill(process: subprocess.Popen[str]) -> None:
    """Kill it and what it started at once: torchrun's processes have sessions of their own."""
    for pid in [process.pid, *started_by(process.pid)]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.communicate()


def started_by(pid: int) -> list[int]:
    """The processes that a process started, and those that these did."""
    try:
        children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []
    return [*children, *(each for child in children for each in started_by(child))]


def curve(folder: Path) -> dict[int, float]:
    """The losses by step; of a step that was done twice, those of the last time."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "curves"))
    events.Reload()
    return {event.step: event.value for event in events.Scalars("loss")}


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled")  # a run of one process saves as one
def test_the_curve_is_that_of_one_process_also_after_a_kill(tmp_path: Path) -> None:
    """A run of one process that goes on as tensor-parallel, then as FSDP, killed on the way."""
    for package in ("tensorboard", "tqdm"):
        pytest.importorskip(package)
    one, many = tmp_path / "one", tmp_path / "many"
    printed = run(one, "--steps", "9", "--save-every", "9")
    expected = curve(one)
    assert list(expected) == list(range(9))
    assert expected[8] < expected[0] - 0.3
    assert re.search(r"^817,408 parameters, [\d,]+ characters$", printed, re.MULTILINE)
    assert re.search(r"^it writes: .The import statement ", printed, re.MULTILINE)

    run(many, "--steps", "3", "--save-every", "1")
    killed = start_two(many, "--steps", "500", "--save-every", "1", "--parallel", "tp")
    deadline = time.monotonic() + 90
    while not (many / "step-000005").exists() and killed.poll() is None:
        assert time.monotonic() < deadline, "it makes no step"
        time.sleep(0.01)
    kill(killed)  # wherever it is, in the middle of saving perhaps
    left = sorted(path.name for path in many.glob("step-*"))
    assert left[-1] >= "step-000005", left
    done = int(left[-1].removeprefix("step-"))
    assert done < 9, "it was killed too late to tell anything"

    (many / "partial").mkdir(exist_ok=True)
    (many / "partial" / ".metadata").write_text("cut short")
    printed = run_two(many, "--steps", "9", "--save-every", "9", "--parallel", "fsdp")
    assert f"goes on from step {done}" in printed
    assert curve(many) == pytest.approx(expected, rel=1e-5)
    assert not (many / "partial").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--steps", "0"], "--steps must be positive"),
        (["--parallel", "ddp"], "--parallel ddp: start it by torchrun --nproc-per-node N"),
    ],
)
def test_bad_arguments_are_one_line(arguments: list[str], said: str, tmp_path: Path) -> None:
    done = in_this_process(PROGRAM, *SHORT, "--out", tmp_path / "none", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "none").exists()
