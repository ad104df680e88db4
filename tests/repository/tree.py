"""The files of the repository, and the names that a module defines."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OUR_FOLDERS = ("django_feexpay", "sample_project", "tests", "tools", "client_app")
TEXT_SUFFIXES = {".css", ".html", ".js", ".json", ".md", ".po", ".py", ".toml", ".txt", ".yml"}


def python_files(*folders: str) -> list[Path]:
    """Every Python file below these folders of the repository, in a fixed order."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def text_files(folder: str) -> list[Path]:
    """Every text file below the folder, in a fixed order."""
    return sorted(path for path in (ROOT / folder).rglob("*") if path.suffix in TEXT_SUFFIXES)


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def defined_names(source: str) -> Iterator[tuple[int, str]]:
    """The line and name of each class, function and class-level field, without `__dunder__` names."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef):
            yield node.lineno, node.name
            yield from _fields(node)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("__"):
            yield node.lineno, node.name


def _fields(node: ast.ClassDef) -> Iterator[tuple[int, str]]:
    for statement in node.body:
        targets: list[ast.expr] = []
        if isinstance(statement, ast.Assign):
            targets = statement.targets
        elif isinstance(statement, ast.AnnAssign):
            targets = [statement.target]
        for target in targets:
            if isinstance(target, ast.Name) and not target.id.startswith("__"):
                yield statement.lineno, target.id


def setting_names(source: str) -> list[str]:
    """The names of all settings: the keys of DEFAULTS in conf.py."""
    for node in ast.parse(source).body:
        match node:
            case ast.AnnAssign(target=ast.Name(id="DEFAULTS"), value=ast.Dict(keys=keys)):
                return [str(key.value) for key in keys if isinstance(key, ast.Constant)]
    raise LookupError("conf.py has no annotated dict DEFAULTS")
