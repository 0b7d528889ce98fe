"""How the package is laid out: what imports what, and what stands where."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import durabletask

PACKAGE = Path(durabletask.__file__).parent

# What packages built on 0.17 import from there. Code of this package's own has no place beside it.
INTERNAL = {
    "internal": {
        "__init__",
        "grpc_interceptor",
        "helpers",
        "orchestrator_service_pb2",
        "orchestrator_service_pb2_grpc",
        "shared",
    },
    "aio/internal": {"__init__", "grpc_interceptor", "shared"},
}


def test_internal_holds_what_0_17_had_there_and_nothing_else() -> None:
    found = {folder: {file.stem for file in (PACKAGE / folder).glob("*.py")} for folder in INTERNAL}
    assert found == INTERNAL


def test_no_module_imports_one_that_imports_it() -> None:
    modules = {_name(file): file for file in PACKAGE.rglob("*.py")}
    graph = {name: _imported(file, name, modules) for name, file in modules.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise AssertionError(f"these import each other: {' <- '.join(error.args[1])}") from None


def _name(file: Path) -> str:
    parts = ["durabletask", *file.relative_to(PACKAGE).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported(file: Path, name: str, modules: dict[str, Path]) -> set[str]:
    """The package's modules that one imports wherever it does, but for types alone."""
    found: set[str] = set()
    for node in _executed(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                found.add(submodule if submodule in modules else node.module)
    return (found & modules.keys()) - {name}


def _executed(tree: ast.AST) -> list[ast.AST]:
    nodes: list[ast.AST] = []
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        nodes += [node, *_executed(node)]
    return nodes
