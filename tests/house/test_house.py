"""The house: the table of contents, who may import whom, and how large a piece may be."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import torchscope

PACKAGE = Path(torchscope.__file__).parent
ROOT = Path(__file__).parents[2]

PUBLIC = """
ScopedModule variable_scope get_variable get_buffer get_local_variable get_module get_variable_scope VariableScope
AUTO_REUSE no_regularizer scoped make_template name_scope name_ops op_name get_name_scope unique_name
compile_once current_module
ArgumentTypeError ArgumentValueError CheckpointError InitializerError InvalidNameError NoActiveModuleError
NotBuiltError ScopeError ScopeNestingError TracingError VariableDtypeError VariableExistsError VariableKindError
VariableNotFoundError VariableShapeError
zeros_initializer ones_initializer constant_initializer random_normal_initializer truncated_normal_initializer
random_uniform_initializer uniform_unit_scaling_initializer variance_scaling_initializer glorot_normal_initializer
glorot_uniform_initializer he_normal_initializer he_uniform_initializer lecun_normal_initializer
lecun_uniform_initializer orthogonal_initializer identity_initializer
""".split()

# The floors, from the ground up, and the rooms of each: a room may import those before it and none after it, so a
# reader can go through the house from the door to the roof, and no import has to be done late to dodge a circle.
FLOORS = {
    "": "_torch errors _extra _table initializers",
    "_names": "paths patterns events default_names op_names",
    "_variables": """
    tracing conversion reuse made_at spec sharding path_tree initialize request parameter_dict module_tree making store
    identity resetting collections partition tensors
    """,
    "_scopes": """
    arguments settings history call stack naming getter scope units variable_scope get_variable name_scope
    """,
    "_tools": """
    selection param_groups tying survey outline folding summary plan capture layer targets lora norms averages
    """,
    "_modules": """
    unkept same_start building entry snapshot toolbox scoped_module submodule template recompute control_flow
    compile_once
    """,
    # What stands on the floors.
    "tf1": """
    _graph_only _lacking _axes _nests _layer _collections
    nn._windows nn._convolutions nn._pools nn._normalization nn._activations nn._cross_entropy nn._embedding
    rnn._state rnn._cells rnn._wrappers rnn._run rnn.__init__ nn.rnn_cell nn.__init__
    layers._dense layers._convolutions layers._pools layers._normalization layers.__init__
    contrib._arg_scope contrib._initializers contrib._regularizers contrib._utils contrib._variables contrib._layers
    contrib._convolutions contrib._normalization contrib._shapes contrib.layers contrib.framework contrib.utils
    contrib.rnn contrib.slim contrib.__init__
    _convert _arrays _asserts _math _random _blocks _control_flow image losses __init__
    """,
    "distributed": "_placements _rules _start _attention _calls _sharding _shard _units _traffic _plan __init__",
    "graph": "_node _dot _tensorboard _graph _record __init__",
    "checkpoint": """
    _bytes _crc _leveldb _proto _entry _mapping _zip _bundle _others _open _roles _gates _layout _recurrent _report
    _matching _targets _fit _uninterrupted _write _load _convert __init__
    """,
    "port": """
    _result _symbols _names _kinds _bindings _inference _rule _rules._arithmetic _rules._arrays _rules._creation
    _rules._graph _rules._reductions _rules.__init__ _notes _imports _statements _expressions _rewrite _python2 _port
    _run _call _check _record _report _tensorflow _trace _tool __init__
    """,
}
# The public faces, and the commands; these import from anywhere above but one another's insides.
FACES = [
    "recompute",
    "control_flow",
    "tools",
    "layers",
    "__init__",
    "cli._common",
    "cli._convert",
    "cli._diff",
    "cli._inspect",
    "cli._port",
    "cli.__init__",
    "__main__",
]
ORDER = [f"{floor}.{room}".lstrip(".") for floor, rooms in FLOORS.items() for room in rooms.split()] + FACES
PRIVATE_FLOORS = ("_names", "_variables", "_scopes", "_tools", "_modules")

CATALOGUES = ("errors", "initializers")  # each a list of like things; they may be long
MOST_LINES = {"a file": 400, "a class": 200, "a function": 40}  # without docstrings and arguments
# Lines with `Any` in the library. Each is there because torch or the objects of users are of any type, such as what
# layers and loops of TensorFlow 1 are given. Lower it when there are fewer.
LINES_WITH_ANY = 94


def source(module: str) -> str:
    return (PACKAGE / f"{module.replace('.', '/')}.py").read_text()


def imports(module: str) -> Iterator[tuple[str, bool]]:
    """The modules of this package that a module imports, anywhere in its text; and whether for type checkers alone."""
    tree, folder = ast.parse(source(module)), module.rpartition(".")[0]
    for_types = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = ".".join(folder.split(".")[: -node.level + 1 or None])
            name = ".".join(filter(None, (base, node.module)))
            inside = [f"{name}.{alias.name}".lstrip(".") for alias in node.names]
            rooms = [f"{each}.__init__" if f"{each}.__init__" in ORDER else each for each in inside]
            found = [each for each in rooms if each in ORDER] or [name if name in ORDER else f"{name}.__init__"]
            yield from ((each.lstrip("."), id(node) in for_types) for each in found)


def test_the_public_names_are_these_and_no_others() -> None:
    modules = {path.stem for path in PACKAGE.iterdir()}
    names = {name for name in vars(torchscope) if not name.startswith("_")} - modules
    assert names == set(PUBLIC) == set(torchscope.__all__)


def test_every_room_has_its_place_in_the_house() -> None:
    rooms = {".".join(path.relative_to(PACKAGE).with_suffix("").parts) for path in PACKAGE.rglob("*.py")}
    assert rooms == set(ORDER) | {f"{floor}.__init__" for floor in PRIVATE_FLOORS}


@pytest.mark.parametrize("module", ORDER)
def test_imports_point_down(module: str) -> None:
    """Two records of one floor may name each other's types; that is no import when the program runs."""
    floor = module.rpartition(".")[0]
    for imported, for_types in imports(module):
        if imported == "__init__":  # the commands print the version
            assert module.startswith("cli.")
        elif for_types:
            assert imported.rpartition(".")[0] == floor, f"{module} names a type of {imported}"
        else:
            assert imported in ORDER[: ORDER.index(module)], f"{module} imports {imported}"


def test_what_stands_on_the_floors_is_imported_by_its_public_face() -> None:
    """The commands are a face of checkpoints themselves: they may import its rooms."""
    for module in ORDER:
        for imported, _ in imports(module):
            inside = imported.partition(".")[0]
            if inside in ("graph", "checkpoint", "cli") and not module.startswith(("cli.", f"{inside}.")):
                assert imported == f"{inside}.__init__", f"{module} imports {imported}"


@pytest.mark.parametrize("floor", PRIVATE_FLOORS)
def test_a_floor_opens_with_what_lives_there(floor: str) -> None:
    tree = ast.parse(source(f"{floor}.__init__"))
    text = ast.get_docstring(tree) or ""
    assert len(tree.body) == 1
    assert "Guarantees" in text
    allowed = set(re.findall(r"``(\w+)``", text[text.index("May import:") :]))
    used = {imported.partition(".")[0] for room in FLOORS[floor].split() for imported, _ in imports(f"{floor}.{room}")}
    assert used - {floor} == allowed


@pytest.mark.parametrize("module", ORDER)
def test_no_import_is_done_late(module: str) -> None:
    for function in ast.walk(ast.parse(source(module))):
        if isinstance(function, ast.FunctionDef):
            late = [n for n in ast.walk(function) if isinstance(n, ast.ImportFrom) and n.level]
            assert not late, f"{module}.{function.name}"


def lines_to_read(node: ast.Module | ast.ClassDef | ast.FunctionDef) -> int:
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = [
        (each.body[0].end_lineno or 0) - each.body[0].lineno + 1
        for each in ast.walk(node)
        if isinstance(each, documented) and ast.get_docstring(each) is not None
    ]
    arguments = [
        each.body[0].lineno - each.lineno - 1
        for each in ast.walk(node)
        if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef))
    ]
    first = 1 if isinstance(node, ast.Module) else node.lineno
    return max(getattr(each, "end_lineno", 0) or 0 for each in ast.walk(node)) - first + 1 - sum(docstrings + arguments)


@pytest.mark.parametrize("module", [module for module in ORDER if module not in CATALOGUES])
def test_a_piece_is_small_enough_to_be_read_at_once(module: str) -> None:
    kinds = {ast.Module: "a file", ast.ClassDef: "a class", ast.FunctionDef: "a function"}
    for node in ast.walk(ast.parse(source(module))):
        if type(node) in kinds:
            kind, lines = kinds[type(node)], lines_to_read(node)
            assert lines <= MOST_LINES[kind], f"{module}: {kind} {getattr(node, 'name', '')} of {lines} lines"


def test_the_number_of_lines_with_any_only_falls() -> None:
    found = sum(len(re.findall(r"^.*\bAny\b.*$", source(module), re.MULTILINE)) for module in ORDER)
    print(f"{found} lines of the library have Any in them")
    assert found == LINES_WITH_ANY, "more than before: write the type; fewer: lower the number here"


def test_contributing_shows_every_room() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text()
    missing = [room for room in ORDER if not re.search(rf"`{room.rpartition('.')[2]}(\.py)?`", page)]
    missing = [room for room in missing if room.rpartition(".")[2] not in ("__init__", "__main__")]
    assert not missing


def test_importing_torchscope_imports_nothing_heavy_beyond_torch() -> None:
    script = (
        "import sys, torch; before = set(sys.modules); import torchscope;"
        "print(*sorted({m.split('.')[0] for m in set(sys.modules) - before} - {'torchscope'}))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= {"difflib", "hashlib", "_hashlib", "_blake2", "pickle"}, done.stdout
    assert "torch._dynamo" not in done.stdout
