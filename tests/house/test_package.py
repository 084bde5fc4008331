"""What stands in more than one file of the package says the same everywhere."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import torchscope
from torchscope._extra import need

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_citation_has_the_version_of_the_package() -> None:
    assert f"version: {torchscope.__version__}\n" in (ROOT / "CITATION.cff").read_text()


def test_the_page_of_versions_says_what_the_package_asks_for() -> None:
    page = (ROOT / "docs" / "versions.md").read_text()
    asked = re.search(r"Python (\S+) or newer and torch (\S+) or newer", page)
    assert asked
    assert PROJECT["requires-python"] == f">={asked[1]}"
    assert PROJECT["dependencies"] == [f"torch >={asked[2]}"]


def test_an_error_about_an_extra_names_the_package_as_it_is_installed() -> None:
    with pytest.raises(ImportError, match=re.escape(f"pip install '{PROJECT['name']}[checkpoint]'")):
        need("no_such_module", "checkpoint", "Reading")


def test_every_extra_that_an_error_names_exists() -> None:
    asked = {
        found
        for file in (ROOT / "torchscope").rglob("*.py")
        for found in re.findall(r'need\("\w+(?:\.\w+)*", "(\w+)"', file.read_text())
    }
    assert asked
    assert asked <= set(PROJECT["optional-dependencies"])
