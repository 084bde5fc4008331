"""The commands against what a file system can offer: an answer or one message, and never half a file."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from torchscope import checkpoint
from torchscope.cli import main

pytest.importorskip("crc32c")
safetensors = pytest.importorskip("safetensors")
HELD = {"a/w": torch.arange(6.0).reshape(2, 3)}


def ran(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main([str(argument) for argument in arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


def file(folder: Path, name: str = "m.pt") -> Path:
    torch.save(HELD, folder / name)
    return folder / name


def empty(folder: Path) -> Path:
    (folder / "m.pt").touch()
    return folder / "m.pt"


def loop(folder: Path) -> Path:
    (folder / "m.pt").symlink_to("m.pt")
    return folder / "m.pt"


def pipe(folder: Path) -> Path:
    os.mkfifo(folder / "m.pt")
    return folder / "m.pt"


def a_folder(folder: Path) -> Path:
    (folder / "m.pt").mkdir()
    return folder / "m.pt"


def dangling(folder: Path) -> Path:
    (folder / "m.pt").symlink_to("nothing")
    return folder / "m.pt"


SOURCES: dict[str, Callable[[Path], Path]] = {
    "nothing": lambda folder: folder / "m.pt",
    "an empty file": empty,
    "a link to itself": loop,
    "a link to nothing": dangling,
    "a pipe": pipe,
    "a folder": a_folder,
    "a name that is too long": lambda folder: folder / ("n" * 300 + ".pt"),
    "a file in a file": lambda folder: file(folder) / "m.pt",
    "a device": lambda folder: Path("/dev/null"),
}


@pytest.mark.parametrize("command", ["inspect", "convert", "diff"])
@pytest.mark.parametrize("source", SOURCES)
def test_a_source_that_is_no_checkpoint_is_one_message(
    source: str, command: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = SOURCES[source](tmp_path)
    before = sorted(os.listdir(tmp_path))
    more = {"convert": [tmp_path / "made.safetensors"], "diff": [path]}.get(command, [])
    code, out, err = ran(capsys, command, path, *more)
    assert (code, out) == (2, "")
    assert err.startswith(f"torchscope {command}: ")
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.parametrize("ending", ["pt", "npz", "safetensors", "index"])
def test_paths_that_are_not_utf_8_are_read_or_refused(
    ending: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from tests.checkpoint.test_open import FLOAT, HEADER, OTHERS, shape_of, table

    folder = tmp_path / os.fsdecode(b"caf\xe9")
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system has no such names")
    plain = tmp_path / f"m.{ending}"
    if ending == "index":
        plain.write_bytes(table([HEADER, (b"a", FLOAT + shape_of(0))]))
    else:
        OTHERS[plain.name](plain)
    plain.rename(folder / plain.name)
    code, _, err = ran(capsys, "inspect", folder / plain.name)
    assert code == 0 or (code == 2 and "torchscope inspect: " in err and "caf" in err)
    code, _, err = ran(capsys, "convert", folder / plain.name, folder / "made.safetensors")
    assert code == 0 or (code == 2 and "torchscope convert: " in err)
    if code == 2:
        assert os.listdir(folder) == [plain.name]


def test_convert_writes_where_a_link_leads_and_keeps_permissions(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    target, link = tmp_path / "elsewhere" / "target.safetensors", tmp_path / "link.safetensors"
    target.write_bytes(b"old")
    target.chmod(0o640)
    link.symlink_to(target)
    assert ran(capsys, "convert", file(tmp_path), link)[0] == 0
    assert link.is_symlink()
    assert target.stat().st_mode & 0o777 == 0o640
    assert torch.equal(checkpoint.open(target)["a/w"].read(), HELD["a/w"])
    assert os.listdir(target.parent) == ["target.safetensors"]


def test_convert_over_its_own_source_works(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    made = tmp_path / "m.safetensors"
    assert ran(capsys, "convert", file(tmp_path), made)[0] == 0
    assert ran(capsys, "convert", made, made, "--rename", "a/=b/")[0] == 0
    assert torch.equal(checkpoint.open(made)["b/w"].read(), HELD["a/w"])


def test_convert_does_not_replace_a_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "made.safetensors").mkdir()
    code, _, err = ran(capsys, "convert", file(tmp_path), tmp_path / "made.safetensors")
    assert (code, "there is something that is no file" in err) == (2, True)


FAILURES = {
    "a full disk": OSError(errno.ENOSPC, "No space left on device"),
    "what safetensors raises": safetensors.SafetensorError("IoError"),
    "a value that it cannot write": ValueError("unsupported"),
    "Ctrl-C": KeyboardInterrupt(),
}


@pytest.mark.parametrize("when", ["save_file", "replace"])
@pytest.mark.parametrize("failure", FAILURES)
def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(
    failure: str, when: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*arguments: object) -> None:
        raise FAILURES[failure]

    source, made = file(tmp_path), tmp_path / "made.safetensors"
    made.write_bytes(b"old")
    if when == "save_file":
        monkeypatch.setattr("safetensors.torch.save_file", fails)
    else:
        monkeypatch.setattr("torchscope.checkpoint._convert.os.replace", fails)
    code, out, err = ran(capsys, "convert", source, made)
    assert (code, out) == (130 if failure == "Ctrl-C" else 2, "")
    assert err.startswith("torchscope convert: ") or failure == "Ctrl-C"
    assert made.read_bytes() == b"old"
    assert sorted(os.listdir(tmp_path)) == ["m.pt", "made.safetensors"]


@pytest.mark.parametrize(
    ("end", "code", "said"), [(">&-", 2, "torchscope inspect: standard output is closed"), (">&- 2>&-", 2, "")]
)
def test_a_closed_output_is_told_by_the_exit_code(end: str, code: int, said: str, tmp_path: Path) -> None:
    command = f"{sys.executable} -m torchscope inspect {file(tmp_path)} {end}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (code, said)


def test_ctrl_c_ends_a_command_without_a_traceback(tmp_path: Path) -> None:
    code = """if True:
        import sys, time
        from torchscope import cli
        cli._inspect.run = lambda args: (print("on", flush=True), time.sleep(60))
        sys.exit(cli.main(["inspect", "x"]))
    """
    running = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with running:
        assert running.stdout is not None
        assert running.stdout.readline() == "on\n"
        time.sleep(0.1)
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=60)
    assert (running.returncode, err) == (130, "")


HOSTILE = "a\x1b[2Jw\nfake: line\u202e"


@pytest.mark.parametrize("how", ["inspect", "diff", "convert", "a message"])
def test_a_hostile_name_does_nothing_to_the_terminal(
    how: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    torch.save({HOSTILE: torch.ones(2)}, tmp_path / "a.pt")
    torch.save({HOSTILE: torch.zeros(2)}, tmp_path / "b.pt")
    arguments = {
        "inspect": ["inspect", tmp_path / "a.pt"],
        "diff": ["diff", tmp_path / "a.pt", tmp_path / "b.pt"],
        "convert": ["convert", tmp_path / "a.pt", tmp_path / "m.safetensors"],
        "a message": ["inspect", tmp_path / "a.pt", "--filter", "a\x1b[2Jv"],
    }[how]
    _, out, err = ran(capsys, *arguments)
    assert "\\x1b[2J" in out + err
    assert not {"\x1b", "\u202e"} & set(out + err)
    assert "\nfake" not in out + err


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.uint64, torch.float32])
@pytest.mark.parametrize("shape", [(0,), (2, 0), (0, 3)])
def test_diff_takes_arrays_without_elements(
    shape: tuple[int, ...], dtype: torch.dtype, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    torch.save({"w": torch.zeros(shape, dtype=dtype)}, tmp_path / "m.pt")
    assert ran(capsys, "diff", tmp_path / "m.pt", tmp_path / "m.pt")[:2] == (0, "0 differences in 1 arrays\n")
