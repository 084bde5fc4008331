"""Checkpoints of others, read without the libraries that wrote them: exactly, or not at all."""

from __future__ import annotations

import json
import os
import shutil
import struct
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.data.make_checkpoints import HERE, WRITERS, joined
from torchscope import CheckpointError, checkpoint
from torchscope.checkpoint import _bundle
from torchscope.checkpoint._crc import masked_crc

pytest.importorskip("crc32c")
NAMES = sorted(WRITERS)


def raw(entry: checkpoint.Entry) -> bytes:
    """The bytes of an array as TensorFlow stores them, in row-major order."""
    held = entry.read()
    if entry.dtype is bytes:
        return joined(held)
    return held.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() if held.numel() else b""


def copied(name: str, folder: Path) -> Path:
    """A copy of a checkpoint's files; its prefix."""
    for file in HERE.glob(f"{name}.ckpt.*"):
        shutil.copy(file, folder)
    return folder / f"{name}.ckpt"


@pytest.mark.parametrize("name", NAMES)
def test_every_array_is_what_tensorflow_read(name: str) -> None:
    facts = json.loads((HERE / f"{name}.json").read_text())
    expected = np.load(HERE / f"{name}.npz")
    saved = checkpoint.open(HERE / f"{name}.ckpt")
    assert set(saved) == set(facts)
    for n, (path, fact) in enumerate(facts.items()):
        entry = saved[path]
        dtype = "string" if entry.dtype is bytes else str(entry.dtype).removeprefix("torch.")
        assert (path, dtype, list(entry.shape)) == (path, fact["dtype"], fact["shape"])
        assert raw(entry) == expected[str(n)].tobytes(), path


def test_shape_dtype_and_size_are_known_without_the_data(tmp_path: Path) -> None:
    prefix = copied("image_filters", tmp_path)
    Path(f"{prefix}.data-00000-of-00001").unlink()
    entry = checkpoint.open(prefix)["image_filters/conv1/weights"]
    assert (entry.shape, entry.dtype, entry.numel, entry.nbytes) == ((5, 5, 3, 8), torch.float32, 600, 2400)
    with pytest.raises(CheckpointError, match=r"entry 'image_filters/conv1/weights': this shard is missing"):
        entry.read()


def test_a_tensor_is_the_mapped_file_and_writing_into_it_leaves_the_file_alone(tmp_path: Path) -> None:
    prefix = copied("image_filters", tmp_path)
    saved = checkpoint.open(prefix)
    before = Path(f"{prefix}.data-00000-of-00001").read_bytes()
    weights = saved["image_filters/conv1/weights"].read()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        weights.zero_()
    assert Path(f"{prefix}.data-00000-of-00001").read_bytes() == before
    assert not bool(checkpoint.open(prefix)["image_filters/conv1/weights"].read().eq(0).any())
    assert not bool(saved["image_filters/conv1/weights"].read().eq(0).any())


def test_a_large_tensor_is_mapped_alone_wherever_it_lies(tmp_path: Path) -> None:
    numbers = np.arange(60_000, dtype=np.float32)
    data = b"even" * 4 + numbers.tobytes() + b"!" + numbers.tobytes()
    pairs = [HEADER]
    for name, offset in ((b"a", 16), (b"b", 17 + numbers.nbytes)):
        checksum = b"\x35" + masked_crc(numbers.tobytes()).to_bytes(4, "little")
        entry = FLOAT + shape_of(60_000) + field(4, offset) + field(5, numbers.nbytes) + checksum
        pairs.append((name, entry))
    (tmp_path / "large.index").write_bytes(table(pairs))
    (tmp_path / "large.data-00000-of-00001").write_bytes(data)
    saved = checkpoint.open(tmp_path / "large")
    first, again, other = saved["a"].read(), saved["a"].read(), saved["b"].read()
    first.zero_()
    for tensor in (again, other, saved["a"].read()):
        assert np.array_equal(tensor.numpy(), numbers)
    assert (tmp_path / "large.data-00000-of-00001").read_bytes() == data


def test_more_large_arrays_are_read_than_files_may_be_open(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    numbers = np.arange(1 << 14, dtype=np.float32)
    checksum = b"\x35" + masked_crc(numbers.tobytes()).to_bytes(4, "little")
    entry = FLOAT + shape_of(1 << 14) + field(5, numbers.nbytes) + checksum
    (tmp_path / "many.index").write_bytes(table([HEADER, *((b"a%03d" % n, entry) for n in range(300))]))
    (tmp_path / "many.data-00000-of-00001").write_bytes(numbers.tobytes())
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
    try:
        held = [entry.read() for entry in checkpoint.open(tmp_path / "many").values()]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert all(np.array_equal(tensor.numpy(), numbers) for tensor in held)


def test_what_was_opened_can_be_read_when_the_file_is_removed(tmp_path: Path) -> None:
    prefix = copied("image_filters", tmp_path)
    saved = checkpoint.open(prefix)
    before = {path: entry.read() for path, entry in saved.items()}
    Path(f"{prefix}.data-00000-of-00001").unlink()
    assert all(torch.equal(entry.read(), before[path]) for path, entry in saved.items())


def test_a_name_that_is_not_there_is_told_with_the_nearest() -> None:
    saved = checkpoint.open(HERE / "image_filters.ckpt")
    with pytest.raises(
        KeyError, match=r"there is no 'image_filters/conv1/weight' in .*The nearest: 'image_filters/conv"
    ):
        saved["image_filters/conv1/weight"]
    assert saved.get("nothing") is None
    assert "nothing" not in saved


def test_an_entry_is_an_array_for_numpy() -> None:
    saved = checkpoint.open(HERE / "dtypes.ckpt")
    assert np.asarray(saved["dtype/bfloat16"]).tolist() == [[3.0, 2.0, 1.0], [0.0, 1.0, 2.0]]
    assert np.asarray(saved["strings"])[0, 0] == b"a"
    assert repr(saved["strings"]) == "<Entry 'strings' bytes [2, 3]>"
    assert repr(saved).endswith("dtypes.ckpt' of 22 arrays>")


# How it is named ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["", ".index", ".data-00000-of-00001"])
def test_a_checkpoint_is_found_by_its_prefix_and_by_each_of_its_files(ending: str) -> None:
    assert len(checkpoint.open(f"{HERE}/objects.ckpt{ending}")) == 3


LISTINGS: dict[str, Callable[[Path], str]] = {
    "relative": lambda folder: "objects.ckpt",
    "absolute": lambda folder: str(folder / "objects.ckpt"),
    "absolute, before the folder was moved": lambda folder: "/nowhere/else/objects.ckpt",
}


@pytest.mark.parametrize("how", LISTINGS)
def test_a_folder_is_its_latest_checkpoint(how: str, tmp_path: Path) -> None:
    copied("objects", tmp_path)
    named = LISTINGS[how](tmp_path)
    text = f'model_checkpoint_path: "{named}"\nall_model_checkpoint_paths: "other"\n'
    (tmp_path / "checkpoint").write_text(text)
    assert len(checkpoint.open(tmp_path)) == 3


LISTED = {
    "octal escapes": (rb'model_checkpoint_path: "m\303\250le"', "mèle"),
    "single quotes": (b"model_checkpoint_path: 'a\"b'", 'a"b'),
    "on one line with others": (b'all_model_checkpoint_paths: "x" model_checkpoint_path: "y"', "y"),
    "the last of two": (b'model_checkpoint_path: "x"\nmodel_checkpoint_path: "y"', "y"),
    "behind a comment": (b'# model_checkpoint_path: "x"\nmodel_checkpoint_path:"y"', "y"),
    "quoted in another": (b'model_checkpoint_path: "y"\nother: "model_checkpoint_path: \\"x\\""', "y"),
}


@pytest.mark.parametrize("how", LISTED)
def test_the_list_of_a_folder_is_read_as_text_of_protocol_buffers(how: str, tmp_path: Path) -> None:
    text, name = LISTED[how]
    for file in HERE.glob("objects.ckpt.*"):
        shutil.copy(file, tmp_path / file.name.replace("objects.ckpt", name))
    (tmp_path / "checkpoint").write_bytes(text)
    assert len(checkpoint.open(tmp_path)) == 3


def test_a_list_that_is_long_and_says_nothing_is_read_in_time_proportional_to_its_length(tmp_path: Path) -> None:
    (tmp_path / "checkpoint").write_text("\n" * 3_000_000)  # hours, if each line were looked at from each other
    with pytest.raises(CheckpointError, match="it has no field"):
        checkpoint.open(tmp_path)


def looped(folder: Path) -> Path:
    (folder / "loop").symlink_to("loop")
    (folder / "checkpoint").write_text('model_checkpoint_path: "loop"')
    return folder


def both(folder: Path) -> Path:
    torch.save({}, folder / "both.pt")
    shutil.copy(folder / "objects.ckpt.index", folder / "both.pt.index")
    return folder / "both.pt"


def empty(folder: Path) -> Path:
    (folder / "empty").mkdir()
    return folder / "empty"


def two(folder: Path) -> Path:
    shutil.copy(folder / "objects.ckpt.index", folder / "other.index")
    return folder


BAD_PATHS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no file": (lambda f: f / "none.ckpt", r"there is no such checkpoint\.\nIn '.*' there are: objects\.ckpt"),
    "no folder": (lambda f: f / "none" / "a", r"there is no such checkpoint\.\nThere is no folder '.*none' either"),
    "folder of two without a list": (two, r"has no file called 'checkpoint' and 2 checkpoints, objects\.ckpt, other"),
    "an empty folder": (empty, r"called 'checkpoint' and no checkpoint\."),
    "out of the folder": (
        lambda f: (f / "checkpoint").write_text('model_checkpoint_path: "../objects.ckpt"') and f,
        r"it names '\.\./objects\.ckpt', which is not in this folder",
    ),
    "a list without a name": (lambda f: (f / "checkpoint").write_text("x") and f, r"it has no field 'model_checkpoint"),
    "a list that ends in itself": (looped, r"there is no such checkpoint"),
    "a list of no path": (
        lambda f: (f / "checkpoint").write_bytes(b'model_checkpoint_path: "a\\000b"') and f,
        r"it names 'a\\x00b', which is not in this folder",
    ),
    "a shard that is none": (lambda f: f / "objects.ckpt.data-backup", r"there is no such checkpoint"),
    "a shard that is not there": (lambda f: f / "objects.ckpt.data-00001-of-00001", r"there is no such checkpoint"),
    "two at once": (both, r"this is a file, and there is a TensorFlow checkpoint of that name too"),
    "the graph": (lambda f: (f / "m.meta").write_text("x") and f / "m.meta", r"this is the graph, not the weights"),
    "something else": (lambda f: (f / "m.txt").write_text("x") and f / "m.txt", r"no checkpoint of a format that is"),
    "the V1 format": (
        lambda f: shutil.copy(HERE / "objects.ckpt.index", f / "old.ckpt"),
        r"this is TensorFlow's V1 format, one file for everything, which is not read\.\nLoad and save it anew",
    ),
}


@pytest.mark.parametrize("how", BAD_PATHS)
def test_a_path_to_nothing_readable_says_what_it_is(how: str, tmp_path: Path) -> None:
    copied("objects", tmp_path)
    make, message = BAD_PATHS[how]
    with pytest.raises(CheckpointError, match=message):
        checkpoint.open(make(tmp_path))


def saved_model(folder: Path) -> Path:
    (folder / "saved").mkdir()
    (folder / "saved" / "saved_model.pb").write_bytes(b"")
    (folder / "saved" / "variables").mkdir()
    for file in folder.glob("objects.ckpt.*"):
        shutil.move(file, folder / "saved" / "variables" / file.name.replace("objects.ckpt", "variables"))
    return folder / "saved"


def listed(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / "checkpoint").write_text(f'model_checkpoint_path: "{name}"')
        return folder

    return make


GOOD_FOLDERS: dict[str, Callable[[Path], Path]] = {
    "the only one": lambda f: f,
    "a SavedModel": saved_model,
    "a list from Windows": listed(r"C:\\old\\objects.ckpt"),
    "a list from elsewhere": listed("/old/objects.ckpt"),
}


@pytest.mark.parametrize("how", GOOD_FOLDERS)
def test_a_folder_that_can_only_mean_one_checkpoint_is_it(how: str, tmp_path: Path) -> None:
    copied("objects", tmp_path)
    assert list(checkpoint.open(GOOD_FOLDERS[how](tmp_path))) == list(checkpoint.open(HERE / "objects.ckpt"))


# Damage ------------------------------------------------------------------------------------------------------------


def read_all(prefix: Path) -> dict[str, bytes]:
    return {path: raw(entry) for path, entry in checkpoint.open(prefix).items()}


def spoiled(file: Path, spoil: Callable[[bytes], Iterable[bytes]]) -> Iterator[None]:
    """Let the file hold each of what is made of it in turn, and at last what it held."""
    good = file.read_bytes()
    for bad in spoil(good):
        file.write_bytes(bad)
        yield
    file.write_bytes(good)


def flipped(*bits: int) -> Callable[[bytes], Iterator[bytes]]:
    """Everything that differs in one of these bits of one byte."""

    def spoil(good: bytes) -> Iterator[bytes]:
        for at in range(len(good)):
            for bit in bits:
                yield good[:at] + bytes([good[at] ^ bit]) + good[at + 1 :]

    return spoil


@pytest.mark.parametrize("name", ["objects", "sharded"])
def test_every_flipped_bit_of_an_index_is_found(name: str, tmp_path: Path) -> None:
    prefix = copied(name, tmp_path)
    index = Path(f"{prefix}.index")
    for _ in spoiled(index, flipped(1, 128)):
        with pytest.raises(CheckpointError, match=r"\.index"):
            read_all(prefix)
    read_all(prefix)


@pytest.mark.parametrize("name", ["objects", "dtypes", "sharded"])
def test_every_flipped_bit_of_the_data_is_found(name: str, tmp_path: Path) -> None:
    prefix = copied(name, tmp_path)
    for file in tmp_path.glob("*.data-*"):
        for _ in spoiled(file, flipped(1)):
            with pytest.raises(CheckpointError, match="damaged|checksum|longer than|add up|cut short|takes"):
                read_all(prefix)
    read_all(prefix)


@pytest.mark.parametrize("name", ["objects", "sharded", "dtypes"])
def test_a_file_that_is_cut_short_anywhere_is_refused(name: str, tmp_path: Path) -> None:
    prefix = copied(name, tmp_path)
    for file in tmp_path.iterdir():
        for _ in spoiled(file, lambda good: (good[:length] for length in range(len(good)))):
            with pytest.raises(CheckpointError):
                read_all(prefix)


def test_random_bytes_are_refused(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    index = tmp_path / "random.index"
    for length in range(0, 600, 3):
        noise = generator.bytes(length)
        for held in (noise, noise + bytes.fromhex("57fb808b247547db")):
            index.write_bytes(held)
            with pytest.raises(CheckpointError):
                read_all(tmp_path / "random")


# Files that somebody made to do harm: every checksum is right ------------------------------------------------------


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def block(pairs: list[tuple[bytes, bytes]], compression: int = 0, held: bytes | None = None) -> bytes:
    if held is None:
        held = b"".join(varint(0) + varint(len(k)) + varint(len(v)) + k + v for k, v in pairs) + struct.pack(
            "<II", 0, 1
        )
    held += bytes([compression])
    return held + masked_crc(held).to_bytes(4, "little")


def table(pairs: list[tuple[bytes, bytes]], data: bytes | None = None) -> bytes:
    data = block(pairs) if data is None else data
    meta = block([])
    index = block([(b"\xff", varint(0) + varint(len(data) - 5))])
    places = varint(len(data)) + varint(len(meta) - 5) + varint(len(data) + len(meta)) + varint(len(index) - 5)
    return data + meta + index + places.ljust(40, b"\0") + bytes.fromhex("57fb808b247547db")


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value & (1 << 64) - 1)
    return varint(number << 3 | 2) + varint(len(value)) + value


def shape_of(*sizes: int) -> bytes:
    return field(2, b"".join(field(2, field(1, size)) for size in sizes))


HEADER = (b"", field(1, 1))
FLOAT = field(1, 1)
HARMFUL: dict[str, tuple[Any, str]] = {
    "no header": ([(b"a", FLOAT)], r"the header tells of 0 shards"),
    "big-endian": ([(b"", field(1, 1) + field(2, 1))], r"numbers are stored big-endian"),
    "no such dtype": ([HEADER, (b"a", field(1, 99))], r"entry 'a': its dtype is unknown \(number 99"),
    "a resource": ([HEADER, (b"a", field(1, 20))], r"entry 'a': its dtype is resource"),
    "an absurd shape": ([HEADER, (b"a", FLOAT + shape_of(1 << 20, 1 << 20))], r"which is not what shape"),
    "a shape of no tensor": ([HEADER, (b"a", FLOAT + shape_of(0, 1 << 62, 1 << 62))], r"no tensor can have its shape"),
    "too many axes": ([HEADER, (b"a", FLOAT + shape_of(*[1] * 100))], r"no tensor can have its 100 axes"),
    "an unknown shape": ([HEADER, (b"a", FLOAT + field(2, field(3, 1)))], r"its shape is unknown"),
    "a slice of nothing": ([HEADER, (b"\0a", FLOAT)], r"a slice that belongs to no array"),
    "an absurd shape in slices": (
        [HEADER, (b"a", FLOAT + shape_of(1 << 40) + field(7, field(1, b"")))],
        r"its slice \['0:1099511627776'\] is missing",
    ),
    "a negative shape": ([HEADER, (b"a", FLOAT + shape_of(-1))], r"a size or an offset is negative"),
    "a size without data": ([HEADER, (b"a", FLOAT + field(5, 4))], r"this shard is missing"),
    "another shard": ([HEADER, (b"a", FLOAT + field(3, 7) + field(5, 4))], r"it lies in shard 7 of 1"),
    "a billion strings": ([HEADER, (b"a", field(1, 7) + shape_of(1 << 40))], r"strings cannot lie in 0 bytes"),
    "a slice outside": (
        [HEADER, (b"a", FLOAT + shape_of(4) + field(7, field(1, field(1, 3) + field(2, 9))))],
        r"a slice from 3 of length 9 is not within 4",
    ),
    "slices that overlap": (
        [HEADER, (b"a", FLOAT + shape_of(4) + field(7, field(1, field(2, 3))) * 2)],
        r"its slices do not cover it",
    ),
    "a slice that is missing": (
        [HEADER, (b"a", FLOAT + shape_of(4) + field(7, field(1, b"")))],
        r"its slice \['0:4'\] is missing",
    ),
    "slices of too many axes": (
        [HEADER, (b"a", FLOAT + shape_of(4) + field(7, field(1, b"") * 2))],
        r"a slice has 2 axes, not 1",
    ),
    "a name that is no text": ([HEADER, (b"\xff\xfe", FLOAT)], r"a name is not UTF-8"),
    "keys out of order": ([HEADER, (b"b", FLOAT), (b"a", FLOAT)], r"keys are not in order"),
    "a text where a number belongs": ([HEADER, (b"a", field(1, b"x"))], r"entry 'a'.*field 1 is no number"),
    "a number where a message belongs": ([HEADER, (b"a", FLOAT + field(2, 3))], r"entry 'a'.*field 2 is a number"),
    "an unknown wire type": ([HEADER, (b"a", b"\x0b")], r"unknown wire type 3"),
    "a field that is too long": ([HEADER, (b"a", varint(2 << 3 | 2) + varint(1 << 60))], r"a field takes 11529"),
    "an endless number": ([HEADER, (b"a", b"\x08" + b"\xff" * 20)], r"longer than a 64-bit integer"),
    "an unknown compression": (block([HEADER], compression=9), r"compressed in an unknown way \(9\)"),
    "a key that shares too much": (
        block([], held=varint(5) + varint(0) + varint(0) + struct.pack("<II", 0, 1)),
        r"a key shares 5 bytes with one of 0",
    ),
    "too many restarts": (block([], held=struct.pack("<I", 1 << 31)), r"claims 2147483648 restarts"),
    "keys that would fill the memory": (
        block([], held=b"".join(varint(n) + b"\1\0a" for n in range(3000)) + struct.pack("<II", 0, 1)),
        r"the keys of a block of \d+ bytes take \d+ and more",
    ),
    "a block of nothing": (block([], held=b""), r"a block is too short"),
    "Snappy that would fill the memory": (
        block([], compression=1, held=varint(1 << 40) + b"\0" * 8),
        r"a Snappy block of 14 bytes claims to hold 1099511627776",
    ),
    "Snappy that is none": (block([], compression=1, held=varint(20) + b"\xff" * 8), r"cannot be decompressed"),
}


@pytest.mark.parametrize("how", HARMFUL)
def test_a_file_made_to_do_harm_is_refused(how: str, tmp_path: Path) -> None:
    made, message = HARMFUL[how]
    (tmp_path / "bad.index").write_bytes(table([], data=made) if isinstance(made, bytes) else table(made))
    with pytest.raises(CheckpointError, match=message):
        read_all(tmp_path / "bad")


def test_a_compressed_index_is_read(tmp_path: Path) -> None:
    snappy = pytest.importorskip("cramjam").snappy
    of_nothing = b"\x35" + masked_crc().to_bytes(4, "little")  # field 6, of 32 bits
    plain = block([HEADER, (b"a", FLOAT + shape_of(0) + of_nothing)])[:-5]
    squeezed = block([], compression=1, held=bytes(snappy.compress_raw(plain)))
    (tmp_path / "small.index").write_bytes(table([], data=squeezed))
    assert checkpoint.open(tmp_path / "small")["a"].read().shape == (0,)


# Other formats -----------------------------------------------------------------------------------------------------

TENSORS = {
    "a/w": torch.arange(6.0).reshape(2, 3),
    "step": torch.tensor(3),
    "flag": torch.tensor([True, False]),
    "half": torch.ones(2, dtype=torch.float16),
}


def save_npz(file: Path) -> None:
    np.savez(file, **{name: tensor.numpy() for name, tensor in TENSORS.items()})  # type: ignore[arg-type]


def save_safetensors(file: Path) -> None:
    pytest.importorskip("safetensors.torch").save_file(TENSORS, file)


OTHERS: dict[str, Callable[[Path], None]] = {
    "m.npz": save_npz,
    "m.safetensors": save_safetensors,
    "m.pt": lambda file: torch.save(TENSORS, file),
    "nested.pth": lambda file: torch.save(
        {"a": {"w": TENSORS["a/w"]}, "epoch": 3, **{name: t for name, t in TENSORS.items() if name != "a/w"}}, file
    ),
    "legacy.bin": lambda file: torch.save(TENSORS, file, _use_new_zipfile_serialization=False),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_formats_are_read_alike(name: str, tmp_path: Path) -> None:
    OTHERS[name](tmp_path / name)
    saved = checkpoint.open(tmp_path / name)
    assert set(saved) == set(TENSORS)
    for path, tensor in TENSORS.items():
        assert (saved[path].shape, saved[path].dtype) == (tuple(tensor.shape), tensor.dtype)
        assert torch.equal(saved[path].read(), tensor)


@pytest.mark.parametrize("name", OTHERS)
def test_a_damaged_file_of_another_format_is_a_checkpoint_error(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    OTHERS[name](file)
    good = file.read_bytes()
    for length in (0, 1, 7, 40, len(good) // 2):
        file.write_bytes(good[:length])
        with pytest.raises(CheckpointError, match=name):
            checkpoint.open(file)


class Harm:
    def __reduce__(self) -> Any:
        return (print, ("harm",))


def test_a_shard_that_is_no_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    prefix = copied("image_filters", tmp_path)
    shard = Path(f"{prefix}.data-00000-of-00001")
    shard.unlink()
    for make in (lambda: os.mkfifo(shard), shard.mkdir):
        make()
        with pytest.raises(CheckpointError, match="this shard is no file"):
            checkpoint.open(prefix)["image_filters/conv1/weights"].read()
        shard.unlink() if shard.is_fifo() else shard.rmdir()


def test_slices_cannot_take_more_memory_than_there_are_bytes(tmp_path: Path) -> None:
    """A thousand slices that all lie in the same four bytes."""
    part = struct.pack("<f", 1.0)
    checksum = b"\x35" + masked_crc(part).to_bytes(4, "little")
    count = 1 << 10
    extents = [field(7, field(1, field(1, n) + field(2, 1))) for n in range(count)]
    whole = FLOAT + shape_of(count) + b"".join(extents)
    piece = FLOAT + shape_of(1) + field(5, 4) + checksum
    keys = sorted(_bundle._slice_key("a", (_bundle._Extent(n, 1, False),)) for n in range(count))
    pairs = [HEADER, *((key, piece) for key in keys), (b"a", whole)]
    (tmp_path / "bad.index").write_bytes(table(pairs))
    (tmp_path / "bad.data-00000-of-00001").write_bytes(part)
    with pytest.raises(CheckpointError, match="its slices take more bytes than there are"):
        checkpoint.open(tmp_path / "bad")["a"].read()


def test_an_npz_file_gives_each_array_by_its_own_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "m.npz", **{"w": np.zeros(2), "w.npy": np.ones(2)})
    assert {path: entry.read().tolist() for path, entry in checkpoint.open(tmp_path / "m.npz").items()} == {
        "w": [0.0, 0.0],
        "w.npy": [1.0, 1.0],
    }
    with zipfile.ZipFile(tmp_path / "m.npz", "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr("w.npy", archive.read("w.npy"))
    with pytest.raises(CheckpointError, match="two arrays are called 'w'"):
        checkpoint.open(tmp_path / "m.npz")


def test_an_npz_file_may_hold_text_and_numbers_of_other_machines(tmp_path: Path) -> None:
    arrays = {
        "big": np.arange(3, dtype=">f4"),
        "text": np.array(["a", "é"]),
        "bytes": np.array([b"x"]),
        "z": np.ones(1),
    }
    np.savez(tmp_path / "m.npz", **arrays)  # type: ignore[arg-type]
    read = {path: entry.read() for path, entry in checkpoint.open(tmp_path / "m.npz").items()}
    assert (read["big"].tolist(), read["text"], read["bytes"]) == ([0.0, 1.0, 2.0], [b"a", "é".encode()], [b"x"])


def itself() -> dict[str, Any]:
    held: dict[str, Any] = {"w": torch.ones(1)}
    held["again"] = held
    return held


STRANGE: dict[str, tuple[Callable[[], Any], str]] = {
    "two of one name": (lambda: {"a/b": torch.ones(1), "a": {"b": torch.ones(1)}}, "two arrays are called 'a/b'"),
    "holds itself": (itself, "entry 'again': it holds a dict or list that holds itself"),
    "sparse": (lambda: {"w": torch.eye(2).to_sparse()}, "entry 'w': this tensor is sparse"),
    "without numbers": (lambda: {"w": torch.ones(2, device="meta")}, "entry 'w': this tensor is on the meta device"),
    "expanded": (lambda: {"w": torch.zeros(1).expand(10**12)}, "entry 'w': this tensor was expanded"),
}


@pytest.mark.parametrize("how", STRANGE)
def test_a_torch_file_whose_tensors_are_none_is_refused(how: str, tmp_path: Path) -> None:
    make, message = STRANGE[how]
    torch.save(make(), tmp_path / "m.pt")
    with pytest.raises(CheckpointError, match=message):
        checkpoint.open(tmp_path / "m.pt")


def test_a_torch_file_gives_the_tensors_in_its_lists_and_each_anew(tmp_path: Path) -> None:
    torch.save({"l": [torch.ones(1), (torch.zeros(1), 3)]}, tmp_path / "m.pt")
    saved = checkpoint.open(tmp_path / "m.pt")
    assert list(saved) == ["l/0", "l/1/0"]
    saved["l/0"].read().zero_()
    assert saved["l/0"].read().tolist() == [1.0]


def test_nothing_but_tensors_is_unpickled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"w": Harm()}, tmp_path / "bad.pt")
    with pytest.raises(CheckpointError, match="Weights only load failed"):
        checkpoint.open(tmp_path / "bad.pt")
    np.savez(tmp_path / "bad.npz", w=np.array([Harm()], dtype=object))
    with pytest.raises(CheckpointError, match=r"bad\.npz, entry 'w'"):
        checkpoint.open(tmp_path / "bad.npz")
    torch.save([torch.ones(2)], tmp_path / "list.pt")
    with pytest.raises(CheckpointError, match="it holds a list, not tensors by name"):
        checkpoint.open(tmp_path / "list.pt")
    assert "harm" not in capsys.readouterr().out


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    from torchscope.checkpoint import _crc

    _crc._crc32c.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "crc32c", None)
    with pytest.raises(
        ImportError, match=r"package crc32c \(python -m pip install 'torch-variable-scope\[checkpoint\]'\)"
    ):
        checkpoint.open(HERE / "objects.ckpt")
    _crc._crc32c.cache_clear()
