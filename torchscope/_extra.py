"""Optional packages: imported where they are needed, with an error that names what to install."""

from __future__ import annotations

import importlib
from types import ModuleType


def need(module: str, extra: str, purpose: str) -> ModuleType:
    """Import a module of an optional package.

    Raises:
        ImportError: it is not installed; the message names the extra that brings it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ImportError(
            f"{purpose} needs the package {package} (python -m pip install 'torch-variable-scope[{extra}]'): {error}",
            name=package,
        ) from error
