"""A virtual environment with a given release of torch, for a CPU, without the gigabytes of CUDA.

torch's own index has CPU builds. Where it cannot be reached, the CUDA build from PyPI does: its wheel is installed
without what it depends on, and libraries whose functions nothing on a CPU calls take the place of those of CUDA that it
links. That needs Linux with gcc and readelf (binutils).
"""

from __future__ import annotations

import glob
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

CPU_INDEX = "https://download.pytorch.org/whl/cpu"
# The libraries of CUDA that torch calls on a CPU too, to learn that there is no GPU; they are small.
RUNTIME = ("nvidia-cuda-runtime", "nvidia-cuda-cupti")
# What torch itself imports, and what the core of the suite needs.
PACKAGES = """
filelock typing-extensions sympy networkx jinja2 fsspec setuptools numpy
pytest pytest-xdist hypothesis cramjam crc32c libcst rich safetensors tqdm
""".split()
# Of the libraries that are loaded, those that every Linux has.
OF_THE_SYSTEM = re.compile(r"(lib(c|m|dl|rt|pthread|stdc\+\+|gcc_s|z|util)|ld-linux.*|libcuda)\.so")

# The names of C++, its runtime and Python.
NOT_OF_CUDA = ("_Z", "__cxa", "__gxx", "_Unwind", "Py", "_Py")


class Symbol(NamedTuple):
    """A function or variable of a library."""

    name: str
    version: str


def find_python(version: str) -> str | None:
    """The interpreter of a version like ``3.12``: on the path, or where pyenv keeps it."""
    kept = glob.glob(os.path.expanduser(f"~/.pyenv/versions/{version}.*/bin/python"))
    for candidate in (shutil.which(f"python{version}"), *sorted(kept)):
        if candidate is not None and _runs(candidate, version):
            return candidate
    return None


def _runs(python: str, version: str) -> bool:
    """Whether it is that version; a shim of pyenv may lead to none."""
    ask = [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    return subprocess.run(ask, capture_output=True, text=True, check=False).stdout.strip() == version


def make(folder: Path, torch: str, python: str) -> Path:
    """Make the environment and return its interpreter."""
    _run("uv", "venv", "-q", "--no-python-downloads", "--python", python, str(folder))
    interpreter = folder / "bin" / "python"
    install = ("uv", "pip", "install", "-q", "--python", str(interpreter))
    _run(*install, *PACKAGES)
    build = subprocess.run(
        [*install, "--no-deps", "--default-index", CPU_INDEX, f"torch=={torch}"],
        env={**os.environ, "UV_HTTP_TIMEOUT": "10", "UV_HTTP_RETRIES": "0"},
        capture_output=True,
        check=False,
    )
    if build.returncode != 0:
        _run(*install, "--no-deps", f"torch=={torch}")
        site = next((folder / "lib").glob("python*/site-packages"))
        cuda = re.search(r"^cuda.*= '(\d+)", (site / "torch" / "version.py").read_text(), re.MULTILINE)
        if cuda is not None:
            suffix = "-cu12" if cuda[1] == "12" else ""  # from CUDA 13 on, the packages have it no more
            _run(*install, *(package + suffix for package in RUNTIME))
            stand_in_for_cuda(site)
    return interpreter


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def stand_in_for_cuda(site: Path) -> None:
    """Put a library in the place of each that torch links and that is not there; its functions return at once."""
    folder = site / "torch" / "lib"
    linked = [*folder.glob("*.so*"), *(site / "torch").glob("*.so")]
    there = {library.name for library in linked} | {library.name for library in (site / "nvidia").rglob("*.so*")}
    missing: dict[str, set[Symbol]] = {}
    for library in linked:
        needed = re.findall(r"\(NEEDED\).*\[(.*)\]", _run("readelf", "-dW", str(library)))
        absent = [name for name in needed if name not in there and not OF_THE_SYSTEM.match(name)]
        for name in absent:
            missing.setdefault(name, set())
    defined: set[str] = set()
    wanted: set[Symbol] = set()
    holder: dict[str, str] = {}  # the library that a version belongs to
    for library in linked:
        here, elsewhere = _symbols(library)
        defined |= here
        wanted |= elsewhere
        holder |= _holders(library)
    for symbol in wanted:
        # What has no version may come from any of them, if it is a name of CUDA's interface, which is C.
        holders = [holder[symbol.version]] if symbol.version in holder else [] if symbol.version else list(missing)
        if symbol.name not in defined and not symbol.name.startswith(NOT_OF_CUDA):
            for name in filter(missing.__contains__, holders):
                missing[name].add(symbol)
    for name, symbols in missing.items():
        _build(folder / name, symbols)


def _symbols(library: Path) -> tuple[set[str], set[Symbol]]:
    """The names that a library defines, and what it wants from others; weak symbols may be missing."""
    defined, wanted = set(), set()
    for line in _run("readelf", "--dyn-syms", "-W", str(library)).splitlines():
        match line.split():
            case [_, _, _, "NOTYPE" | "FUNC" | "OBJECT", "GLOBAL", _, "UND", name, *_]:
                wanted.add(Symbol(name.partition("@")[0], name.rpartition("@")[2] if "@" in name else ""))
            case [number, _, _, _, _, _, section, name, *_] if number[:-1].isdigit() and section != "UND":
                defined.add(name.partition("@")[0])
    return defined, wanted


def _holders(library: Path) -> dict[str, str]:
    """Which other library each version comes from that a library asks for."""
    found, name = {}, ""
    for line in _run("readelf", "-VW", str(library)).splitlines():
        if file := re.search(r"Version: \d+ +File: (\S+)", line):
            name = file[1]
        elif (version := re.search(r" Name: (\S+) +Flags", line)) and name:
            found[version[1]] = name
    return found


def _build(library: Path, symbols: Iterable[Symbol]) -> None:
    by_version: dict[str, list[str]] = {}
    for symbol in sorted(symbols):
        by_version.setdefault(symbol.version, []).append(symbol.name)
    names = sorted({symbol.name for symbol in symbols})
    with tempfile.TemporaryDirectory() as folder:
        assembly, script = Path(folder) / "a.s", Path(folder) / "a.map"
        lines = [f".globl {name}\n.type {name}, @function\n{name}:" for name in names]
        assembly.write_text(".text\n" + "\n".join(lines) + "\n    mov $1, %eax\n    ret\n")
        nodes = [f"{version} {{ global: {'; '.join(held)}; }};" for version, held in by_version.items() if version]
        script.write_text("\n".join(nodes) + "\n")
        options = [f"-Wl,--version-script={script}"] if nodes else []
        _run("gcc", "-shared", "-nostdlib", f"-Wl,-soname,{library.name}", *options, "-o", str(library), str(assembly))
