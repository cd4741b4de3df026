"""The structure of the house: rooms without circles, short files, private Keras in one place."""

import ast
import graphlib
from pathlib import Path

import pytest
from conftest import ROOT, once

pytestmark = once

PACKAGES = ("export", "keras_capsules")
SOURCES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
EXAMPLES = sorted((ROOT / "examples").rglob("*.py"))


def module_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in SOURCES}


def imports_of(path):
    """Returns the modules of this repository that a file imports when it runs."""
    tree = ast.parse(path.read_text())
    for node in [node for node in ast.walk(tree) if is_for_types_only(node)]:
        node.body = []
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            imported |= names & MODULES.keys() or {node.module}
    return (imported & MODULES.keys()) - {module_of(path)}


def is_for_types_only(node):
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def room_of(module):
    """Returns the file or folder, right below its package, that a module is in."""
    return ".".join(module.split(".")[:2])


def edges_between_rooms(package):
    edges = {
        (room_of(module), room_of(imported))
        for module, path in MODULES.items()
        if module.partition(".")[0] == package
        for imported in imports_of(path)
        if imported.partition(".")[0] == package
    }
    return {(start, end) for start, end in edges if start != end}


@pytest.mark.parametrize("package", PACKAGES)
def test_no_circle_between_rooms(package):
    graph = {}
    for start, end in edges_between_rooms(package):
        graph.setdefault(start, set()).add(end)
    order = list(graphlib.TopologicalSorter(graph).static_order())  # Raises for a circle.
    assert len(order) > 10


def test_no_circle_between_files():
    # A package imports its modules; what these import of it is what it has imported before.
    graph = {
        module: {name for name in imports_of(path) if MODULES[name].name != "__init__.py"}
        for module, path in MODULES.items()
        if path.name != "__init__.py"
    }
    list(graphlib.TopologicalSorter(graph).static_order())


def test_export_has_few_ways_between_its_rooms():
    edges = edges_between_rooms("export")
    assert len(edges) <= 101, sorted(edges)


def test_the_library_knows_neither_the_export_nor_a_backend():
    for module, path in MODULES.items():
        if module.startswith("keras_capsules"):
            assert not [name for name in imports_of(path) if name.startswith("export")], module
            top_level = ast.parse(path.read_text()).body
            names = {
                name.partition(".")[0]
                for node in top_level
                if isinstance(node, ast.Import | ast.ImportFrom)
                for name in [getattr(node, "module", None) or node.names[0].name]
            }
            assert not names & {"tensorflow", "torch", "jax"}, module


@pytest.mark.parametrize("path", SOURCES + EXAMPLES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_are_short(path):
    assert len(path.read_text().splitlines()) <= 300


@pytest.mark.parametrize(
    "path", sorted((ROOT / "export").rglob("*.py")), ids=lambda path: path.name
)
def test_functions_of_the_export_are_short(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            lines = node.body[-1].end_lineno - body[0].lineno + 1 if body else 0
            assert lines <= 50, f"{path}: {node.name}"


@pytest.mark.parametrize(
    "words, home",
    [
        (("_keras_history", "_inbound_nodes"), "keras_capsules/_graph.py"),
        (("keras.src", "unittest"), "export/convert/patches.py"),
    ],
)
def test_what_is_private_to_keras_is_known_in_one_file(words, home):
    knowing = {
        str(path.relative_to(ROOT))
        for path in SOURCES
        if any(word in line for word in words for line in code_lines(path))
    }
    assert knowing == {home}


def code_lines(path):
    """Returns the lines of a file without docstrings and regular expressions."""
    tree = ast.parse(path.read_text())
    lines = path.read_text().splitlines()
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            for number in range(node.lineno, node.end_lineno + 1):
                lines[number - 1] = ""
    return lines


def test_no_two_rooms_of_the_export_call_a_function_alike():
    """Names of public functions are unique, but for the commands' `main`."""
    homes = {}
    for path in sorted((ROOT / "export").rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                homes.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    alike = {name: files for name, files in homes.items() if len(files) > 1 and name != "main"}
    assert not alike


def test_every_folder_is_a_package_or_holds_none():
    for path in SOURCES:
        assert (path.parent / "__init__.py").is_file(), path


def test_the_map_of_the_house_in_contributing_names_every_room():
    text = Path(ROOT / "CONTRIBUTING.md").read_text()
    rooms = [path.name for path in (ROOT / "export").iterdir() if (path / "__init__.py").is_file()]
    assert [room for room in rooms if f"{room}/" not in text] == []
