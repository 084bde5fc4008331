"""The table of contents, and the law of imports."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import torchscope

PACKAGE = Path(torchscope.__file__).parent

PUBLIC = """
ScopedModule variable_scope get_variable get_buffer get_local_variable get_module get_variable_scope VariableScope
AUTO_REUSE no_regularizer scoped make_template name_scope name_ops op_name
ArgumentTypeError ArgumentValueError CheckpointError InitializerError InvalidNameError NoActiveModuleError
NotBuiltError ScopeError ScopeNestingError TracingError VariableDtypeError VariableExistsError VariableKindError
VariableNotFoundError VariableShapeError
zeros_initializer ones_initializer constant_initializer random_normal_initializer truncated_normal_initializer
random_uniform_initializer uniform_unit_scaling_initializer variance_scaling_initializer glorot_normal_initializer
glorot_uniform_initializer he_normal_initializer he_uniform_initializer lecun_normal_initializer
lecun_uniform_initializer orthogonal_initializer identity_initializer
""".split()

# Who comes before whom. A module may import those above it and none below: a reader can go through the house from the
# top, and no import has to be done late to dodge a circle.
ORDER = """
errors _extra _names initializers _tracing _spec _path_tree _initialize _request _parameter_dict _store _call _partition
_op_names _default_name _getter _scope _submodule recompute _name_scope _variable _module _template _table __init__
__main__
""".split()
# The same within the folders, which may import all that is above but __init__.
FOLDERS = {
    "graph": "_node _dot _tensorboard _graph _record __init__".split(),
    "checkpoint": """
    _bytes _crc _leveldb _proto _entry _bundle _others _open _roles _layout _report _load __init__
    """.split(),
    "cli": "_common _inspect _convert _diff __init__".split(),
}


def test_the_public_names_are_these_and_no_others() -> None:
    modules = {path.stem for path in PACKAGE.iterdir()}
    names = {name for name in vars(torchscope) if not name.startswith("_")} - modules
    assert names == set(PUBLIC) == set(torchscope.__all__)


def imported_by(module: str, level: int = 1) -> set[str]:
    """The modules of this package that a module imports, anywhere in its text; with level 2, from the folder above."""
    found = set()
    for node in ast.walk(ast.parse((PACKAGE / f"{module}.py").read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == level:
            found |= {node.module} if node.module else {alias.name for alias in node.names}
    return {name for name in found if name}


def test_every_module_has_its_place_in_the_order() -> None:
    assert {path.stem for path in PACKAGE.glob("*.py")} == set(ORDER)
    assert {path.parent.name for path in PACKAGE.glob("*/*.py")} == set(FOLDERS)
    for folder, order in FOLDERS.items():
        assert {path.stem for path in (PACKAGE / folder).glob("*.py")} == set(order)


def test_imports_point_up_the_order_only() -> None:
    for place, module in enumerate(ORDER):
        assert imported_by(module) <= set(ORDER[:place]) | (set(FOLDERS) if module == "__main__" else set()), module
    above = set(ORDER) - {"__init__", "__main__"}
    for folder, order in FOLDERS.items():
        for place, module in enumerate(order):
            assert imported_by(f"{folder}/{module}") <= set(order[:place]) | {""}, module
            from_above = imported_by(f"{folder}/{module}", level=2) - {"__version__"}
            assert {name.partition(".")[0] for name in from_above} <= above, module
        above.add(folder)


def test_no_import_is_done_late() -> None:
    for module in [*ORDER, *(f"{folder}/{module}" for folder, order in FOLDERS.items() for module in order)]:
        tree = ast.parse((PACKAGE / f"{module}.py").read_text())
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef):
                late = [n for n in ast.walk(function) if isinstance(n, ast.ImportFrom) and n.level]
                assert not late, f"{module}.{function.name}"


def test_importing_torchscope_imports_nothing_heavy_beyond_torch() -> None:
    script = (
        "import sys, torch; before = set(sys.modules); import torchscope;"
        "print(*sorted({m.split('.')[0] for m in set(sys.modules) - before} - {'torchscope'}))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= {"difflib", "hashlib", "_hashlib", "_blake2", "pickle"}, done.stdout
    assert "torch._dynamo" not in done.stdout
