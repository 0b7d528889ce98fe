"""No two files of a crate or of the package import each other in a circle.

Rust: what counts are the `use` lines of a file outside of its tests, each followed to the file that defines
the name, through re-exports (`pub use`, which are no import of their own). Python: the imports that run when
a module is imported; those inside functions and under TYPE_CHECKING do not.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
CRATES = sorted(path.parent.name for path in ROOT.glob("rust/*/Cargo.toml"))

KNOWN: dict[str, list[set[str]]] = {}
"""Circles that are left, by crate or "durabletask": to be taken out of here when they are gone."""

Graph = dict[str, set[str]]


def circles(graph: Graph) -> list[set[str]]:
    """The groups of files that reach each other (Tarjan's algorithm, without recursion)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    path: list[str] = []
    found: list[set[str]] = []
    for start in sorted(graph):
        if start in index:
            continue
        work: list[tuple[str, Iterator[str]]] = []

        def enter(name: str, work: list[tuple[str, Iterator[str]]] = work) -> None:
            index[name] = low[name] = len(index)
            path.append(name)
            work.append((name, iter(sorted(graph.get(name, ())))))

        enter(start)
        while work:
            name, targets = work[-1]
            for target in targets:
                if target not in index:
                    enter(target)
                    break
                if target in path:
                    low[name] = min(low[name], index[target])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[name])
                if low[name] == index[name]:
                    group = set(path[path.index(name) :])
                    del path[path.index(name) :]
                    if len(group) > 1:
                        found.append(group)
    return found


Uses = list[tuple[bool, str]]


class Crate:
    """The modules of a crate, their `use` lines and their re-exports."""

    def __init__(self, source: Path) -> None:
        self.files: dict[str, Path] = {}
        for path in sorted(source.rglob("*.rs")):
            parts = path.relative_to(source).with_suffix("").parts
            if parts[-1] in ("mod", "lib", "main"):
                parts = parts[:-1]
            if parts[:1] != ("bin",) and "tests" not in parts and "generated" not in parts:
                self.files["::".join(parts)] = path
        self.uses: dict[str, Uses] = {name: list(self._uses(name)) for name in self.files}

    def _uses(self, module: str) -> Iterator[tuple[bool, str]]:
        text = re.sub(r"//[^\n]*", "", self.files[module].read_text(encoding="utf-8"))
        text = text.split("#[cfg(test)]\nmod ")[0]
        for match in re.finditer(r"^(pub(?:\([^)]*\))?\s+)?use\s+([^;]+);", text, re.MULTILINE):
            for used in expanded(re.sub(r"\s+", " ", match[2])):
                yield bool(match[1]), self.absolute(module, used)

    @staticmethod
    def absolute(module: str, used: str) -> str:
        """A path from the crate's root; "" for those of other crates."""
        here = module.split("::") if module else []
        first, *rest = used.split("::")
        if first == "crate":
            return "::".join(rest)
        if first == "self":
            return "::".join([*here, *rest])
        if first != "super":
            # A child module may be named without `self`.
            return "::".join([*here, first, *rest])
        while first == "super":
            here = here[:-1]
            first, *rest = rest
        return "::".join([*here, first, *rest])

    def defined_in(self, used: str, depth: int = 8) -> str | None:
        """The module that defines what a path names; None if it is no part of the crate."""
        parts = used.split("::")
        for length in range(len(parts), -1, -1):
            module = "::".join(parts[:length])
            if module not in self.files or (length == 0 and len(parts) > 1):
                continue
            for reexported, path in self.uses[module]:
                last = path.split("::")[-1].split(" as ")[-1]
                if reexported and depth and length < len(parts) and last == parts[length]:
                    return self.defined_in(path.split(" as ")[0], depth - 1)
            return module
        return None

    def graph(self) -> Graph:
        graph: Graph = {name or "lib": set() for name in self.files}
        for module, uses in self.uses.items():
            for reexported, path in uses:
                target = None if reexported else self.defined_in(path.split(" as ")[0])
                if target is not None and target != module:
                    graph[module or "lib"].add(target or "lib")
        return graph


def expanded(tree: str) -> Iterator[str]:
    """The single paths of `a::{b, c::{d, self}}`."""
    tree = tree.strip()
    match = re.match(r"^(.*?)\{(.*)\}$", tree)
    if match is None:
        yield tree.removesuffix("::self").removesuffix("::*")
        return
    depth, begin, inner = 0, 0, match[2] + ","
    for position, character in enumerate(inner):
        depth += (character == "{") - (character == "}")
        if character == "," and depth == 0:
            if part := inner[begin:position].strip():
                yield from expanded(match[1] + part)
            begin = position + 1


def python_graph(package: Path) -> Graph:
    files = {}
    for path in sorted(package.rglob("*.py")):
        parts = [package.name, *path.relative_to(package).with_suffix("").parts]
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    graph: Graph = {}
    for module, path in files.items():
        is_package = path.name == "__init__.py"
        targets = set()
        for name in imported(ast.parse(path.read_text(encoding="utf-8")).body, module, is_package):
            known = name if name in files else name.rpartition(".")[0]
            if known in files and known != module:
                targets.add(known)
        graph[module] = targets
    return graph


def imported(body: list[ast.stmt], module: str, is_package: bool) -> Iterator[str]:
    for statement in body:
        if isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            base = statement.module or ""
            if statement.level:
                parts = module.split(".")
                drop = statement.level - is_package
                base = ".".join([*parts[: len(parts) - drop], *([base] if base else [])])
            yield from (f"{base}.{alias.name}" for alias in statement.names)
        elif isinstance(statement, (ast.If, ast.Try)) and not _is_for_types(statement):
            yield from imported([*statement.body, *statement.orelse], module, is_package)


def _is_for_types(statement: ast.If | ast.Try) -> bool:
    return isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.dump(statement.test)


@pytest.mark.parametrize("crate", CRATES)
def test_no_files_of_a_crate_import_each_other_in_a_circle(crate: str) -> None:
    found = circles(Crate(ROOT / "rust" / crate / "src").graph())
    assert found == KNOWN.get(crate, []), f"rust/{crate}: {found}"


def test_no_modules_of_the_package_import_each_other_in_a_circle() -> None:
    found = circles(python_graph(ROOT / "python" / "durabletask"))
    assert found == KNOWN.get("durabletask", []), f"python/durabletask: {found}"


def test_a_circle_is_found() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set(), "e": {"a"}}
    assert circles(graph) == [{"b", "c"}]
