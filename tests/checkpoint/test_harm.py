"""Damaged files and files made to do harm: an error, in time and memory that grow no faster than the file."""

from __future__ import annotations

import contextlib
import shutil
import struct
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.checkpoint.test_open import FLOAT, HEADER, OTHERS, TENSORS, field, shape_of, table
from tests.data.make_checkpoints import HERE
from torchscope import CheckpointError, checkpoint
from torchscope.cli import main

pytest.importorskip("crc32c")
CHECKED = ["m.npz", "m.pt", "nested.pth"]  # the formats that have checksums


def read_all(file: Path) -> dict[str, Any]:
    return {path: entry.read() for path, entry in checkpoint.open(file).items()}


@pytest.mark.parametrize("name", CHECKED)
def test_every_flipped_bit_is_found_or_changes_nothing(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    OTHERS[name](file)
    good = file.read_bytes()
    expected = read_all(file)
    silent = 0
    for at in range(len(good)):
        file.write_bytes(good[:at] + bytes([good[at] ^ 1 << at % 8]) + good[at + 1 :])
        try:
            found = read_all(file)
        except CheckpointError:
            continue
        silent += 1
        assert list(found) == list(expected), at
        assert all(torch.equal(found[path], tensor) for path, tensor in expected.items()), at
    assert silent < len(good)  # dates, paddings and second copies of the headers


def test_the_names_of_a_torch_file_are_held_against_their_checksum_when_it_is_opened(tmp_path: Path) -> None:
    file = tmp_path / "m.pt"
    torch.save(TENSORS, file)
    good = file.read_bytes()
    at = good.index(b"half")
    file.write_bytes(good[:at] + b"hulf" + good[at + 4 :])
    with pytest.raises(CheckpointError, match=r"BadZipFile: Bad CRC-32 for file '.*data\.pkl'"):
        checkpoint.open(file)


def test_a_file_of_torch_that_was_written_without_checksums_is_read(tmp_path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(TENSORS, tmp_path / "m.pt")
    finally:
        torch.serialization.set_crc32_options(True)
    assert torch.equal(read_all(tmp_path / "m.pt")["a/w"], TENSORS["a/w"])


@pytest.mark.parametrize("size", [4, 100_000])
@pytest.mark.parametrize("name", OTHERS)
def test_what_is_written_into_a_tensor_is_not_what_is_read_next(name: str, size: int, tmp_path: Path) -> None:
    file = tmp_path / name
    before, TENSORS["large"] = dict(TENSORS), torch.ones(size, device="cpu")
    try:
        OTHERS[name](file)
    finally:
        TENSORS.clear()
        TENSORS.update(before)
    held = file.read_bytes()
    saved = checkpoint.open(file)
    for path in ("a/w", "large"):
        saved[path].read().fill_(7)
        assert not bool((saved[path].read() == 7).any())
    assert file.read_bytes() == held


def npy(header: bytes, length: int, version: int = 2) -> bytes:
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<I" if version > 1 else "<H", length) + header


def npz(folder: Path, member: bytes) -> Path:
    with zipfile.ZipFile(folder / "bad.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("w.npy", member)
    return folder / "bad.npz"


def header_of(shape: str, dtype: str = "'<f4'") -> bytes:
    return f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()


def shared_lists(folder: Path, depth: int = 60) -> Path:
    held: Any = [torch.ones(1)]
    for _ in range(depth):
        held = [held, held]
    torch.save({"w": held}, folder / "bad.pt")
    return folder / "bad.pt"


def deep_lists(folder: Path) -> Path:
    held: Any = torch.ones(1)
    for _ in range(300):
        held = [held]
    torch.save({"w": held}, folder / "deep.pt")
    return folder / "deep.pt"


def long_name_of_slices(folder: Path) -> Path:
    name, slices = b"n" * 80_000, field(7, field(1, field(1, 3) + field(2, 1))) * 10_000
    (folder / "bad.index").write_bytes(table([HEADER, (name, FLOAT + shape_of(4) + slices)]))
    return folder / "bad"


HARMFUL: dict[str, tuple[Callable[[Path], Path], str]] = {
    "a header of two gigabytes": (
        lambda f: npz(f, npy(b" " * 5_000_000, 1 << 31)),
        r"entry 'w': it cannot be read: ValueError: its header claims to be 2147483648 bytes long",
    ),
    "an array of terabytes": (
        lambda f: npz(f, npy(h := header_of("(1000000000000,)"), len(h), 1)),
        r"entry 'w': .* it would take 4000000000000 bytes, and the file has \d+ of it at most",
    ),
    "text of terabytes": (
        lambda f: npz(f, npy(h := header_of("(2,)", "'<U100000000'"), len(h), 1)),
        r"entry 'w': .* it would take 800000000 bytes",
    ),
    "lists that share lists": (shared_lists, r"more than 100 deep, or have more than \d+ names"),
    "lists in lists in lists": (deep_lists, r"more than 100 deep"),
    "a long name of many slices": (long_name_of_slices, r"the keys of its slices take more than \d+ bytes"),
}


@pytest.mark.parametrize("how", HARMFUL)
def test_a_file_made_to_fill_the_memory_is_refused(how: str, tmp_path: Path) -> None:
    make, message = HARMFUL[how]
    file = make(tmp_path)
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match=message):
            read_all(file)
        assert tracemalloc.get_traced_memory()[1] < 50_000_000
    finally:
        tracemalloc.stop()


def test_a_member_that_the_directory_does_not_list_is_found(tmp_path: Path) -> None:
    file = tmp_path / "m.npz"
    np.savez(file, a=np.ones(3), b=np.ones(3))
    held = bytearray(file.read_bytes())
    first = held.index(b"PK\1\2")
    second = held.index(b"PK\1\2", first + 1)
    held[first + 30 : first + 32] = struct.pack("<H", second - first)  # the first entry takes the second for its own
    file.write_bytes(held)
    with pytest.raises(CheckpointError, match=r"directory|cannot be read"):
        checkpoint.open(file)


# Work, counted: the calls of Python's functions and the most memory, for a file of one size and one four times as large


def names_of(count: int, length: int) -> list[str]:
    return ["n" * length + str(number) for number in range(count)]


def save_names(file: Path, names: list[str]) -> None:
    if file.suffix == ".npz":
        np.savez(file, **{name: np.zeros(1) for name in names})  # type: ignore[arg-type]
    elif file.suffix == ".safetensors":
        pytest.importorskip("safetensors.torch").save_file({name: torch.zeros(1) for name in names}, file)
    else:
        torch.save({name: torch.zeros(1) for name in names}, file)


def work(run: Callable[[], Any]) -> tuple[int, int]:
    calls = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += 1

    tracemalloc.start()
    sys.setprofile(count)
    try:
        run()
    finally:
        sys.setprofile(None)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return calls, peak


@pytest.mark.parametrize("what", ["many", "long"])
@pytest.mark.parametrize("ending", [".npz", ".safetensors", ".pt"])
@pytest.mark.parametrize("command", ["inspect", "tree", "json", "diff"])
def test_the_work_grows_with_the_file(command: str, ending: str, what: str, tmp_path: Path) -> None:
    arguments = {"tree": ["inspect", "--tree"], "json": ["inspect", "--json"]}.get(command, [command])
    found = []
    for size in (50, 50, 200):  # the first time, packages are imported
        file = tmp_path / f"{size}{ending}"
        save_names(file, names_of(*((size, 10) if what == "many" else (20, size * 20))))
        files = [str(file)] * (2 if command == "diff" else 1)
        found.append(work(lambda arguments=arguments, files=files: main([*arguments, *files])))  # type: ignore[misc]
    (_, (calls, memory), (more_calls, more_memory)) = found
    assert more_calls < 6 * calls
    assert more_memory < 6 * memory + 200_000


def test_one_long_name_does_not_widen_every_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_names(tmp_path / "m.pt", ["n" * 10_000, *names_of(1000, 3)])
    assert main(["inspect", str(tmp_path / "m.pt")]) == 0
    assert len(capsys.readouterr().out) < 300_000


@settings(max_examples=60)
@given(st.binary(min_size=0, max_size=300), st.sampled_from(["npz", "pt", "safetensors", "index"]), st.data())
def test_random_damage_ends_in_an_answer_or_a_checkpoint_error(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, ending: str, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("noise")
    file = folder / f"m.{ending}"
    if ending == "index":
        file.write_bytes(table([HEADER, (b"a", FLOAT + shape_of(0))]))
    else:
        OTHERS[f"m.{ending}"](file)
    held = file.read_bytes()
    at = data.draw(st.integers(0, len(held)))
    file.write_bytes(held[:at] + noise + held[at + data.draw(st.integers(0, 20)) :])
    with contextlib.suppress(CheckpointError):
        read_all(folder / "m" if ending == "index" else file)


def filled(value: float) -> dict[str, torch.Tensor]:
    return {"large": torch.full((100_000,), value), "small": torch.full((3,), value)}


def save(file: Path, value: float) -> None:
    if file.suffix == ".safetensors":
        pytest.importorskip("safetensors.torch").save_file(filled(value), file)
    elif file.suffix == ".npz":
        np.savez(file, **{name: tensor.cpu().numpy() for name, tensor in filled(value).items()})  # type: ignore[arg-type]
    else:
        torch.save(filled(value), file)


@pytest.mark.parametrize("ending", [".npz", ".safetensors", ".pt"])
def test_a_file_that_is_replaced_after_it_was_opened_is_read_as_it_was(ending: str, tmp_path: Path) -> None:
    file, newer = tmp_path / f"m{ending}", tmp_path / f"newer{ending}"
    save(file, 1)
    save(newer, 2)
    saved = checkpoint.open(file)
    first = saved["small"].read()
    newer.replace(file)
    for tensor in (first, saved["small"].read(), saved["large"].read()):
        assert bool((tensor == 1).all())


@pytest.mark.parametrize("ending", [".safetensors", ".pt"])
def test_a_file_that_is_written_into_after_it_was_opened_is_an_error(ending: str, tmp_path: Path) -> None:
    file, newer = tmp_path / f"m{ending}", tmp_path / f"newer{ending}"
    save(file, 1)
    save(newer, 2)
    saved = checkpoint.open(file)
    saved["small"].read()
    file.write_bytes(newer.read_bytes()[:-8])
    for name in ("small", "large"):
        with pytest.raises(CheckpointError, match="it was written into since it was opened"):
            saved[name].read()


@pytest.mark.parametrize("how", ["replaced", "written into"])
def test_a_shard_that_changes_after_it_was_read_gives_no_other_numbers(how: str, tmp_path: Path) -> None:
    for path in HERE.glob("image_filters.ckpt.*"):
        shutil.copy(path, tmp_path)
    saved = checkpoint.open(tmp_path / "image_filters.ckpt")
    name = "image_filters/conv1/weights"
    before = saved[name].read()
    (shard,) = tmp_path.glob("*.data-*")
    other = bytes(len(shard.read_bytes()))
    if how == "replaced":
        (tmp_path / "newer").write_bytes(other)
        (tmp_path / "newer").replace(shard)
        assert torch.equal(saved[name].read(), before)
    else:
        shard.write_bytes(other[:-1])
        with pytest.raises(CheckpointError, match="written into since it was opened"):
            saved[name].read()


def test_text_of_no_letters_takes_no_more_than_the_file_has(tmp_path: Path) -> None:
    header = header_of("(20000000,)", "'<U0'")
    with pytest.raises(CheckpointError, match="it would take 20000000 bytes"):
        read_all(npz(tmp_path, npy(header, len(header), 1)))
