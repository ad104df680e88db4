"""Which functions call the network, found by following calls from module to module.

A function calls the network if it uses a network client, or calls a function that does. Calls are followed by name:
through imports, to functions of the same module, and to methods of `self`. A function that creates an object is taken
to call each of its methods. Calls of a function that was passed as an argument are not followed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cached_property

#: Calls that ask another machine, by the last parts of their names.
_CLIENTS = (
    "conf.gateway",
    "transport.exchange",
    "requests.get",
    "requests.post",
    "requests.request",
    "requests.Session",
    "httpx.get",
    "httpx.post",
    "urllib.request.urlopen",
    "socket.create_connection",
    "send_mail",
    "get_connection",
)
#: Calls that open a transaction, as a block or as a decorator.
_TRANSACTIONS = {"atomic", "durable", "durable_or_joined", "read_committed"}

_Function = ast.FunctionDef | ast.AsyncFunctionDef


def dotted(node: ast.expr) -> str:
    """`a.b.c` for names and attributes; a call stands for what it calls, anything else for ""."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=attribute):
            inner = dotted(value)
            return f"{inner}.{attribute}" if inner else attribute
        case ast.Call(func=function):
            return dotted(function)
    return ""


def imported_names(tree: ast.Module) -> dict[str, str]:
    """The imported names of a module, each with what it stands for."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for one in node.names:
                package = one.name.partition(".")[0]
                names[one.asname or package] = one.name if one.asname else package
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {one.asname or one.name: f"{node.module}.{one.name}" for one in node.names}
    return names


class NetworkCalls:
    """The network calls of some modules, given as syntax trees by their names."""

    def __init__(self, trees: Mapping[str, ast.Module]) -> None:
        self._trees = trees
        self._imports = {name: imported_names(tree) for name, tree in trees.items()}
        self._functions = {
            f"{module}.{path}": (module, path, node)
            for module, tree in trees.items()
            for path, node in _functions(tree)
        }
        self._classes = {
            f"{module}.{node.name}"
            for module, tree in trees.items()
            for node in tree.body
            if isinstance(node, ast.ClassDef)
        }

    @cached_property
    def callers(self) -> set[str]:
        """The functions that call the network, themselves or through others."""
        calls = {
            name: {self._target(module, path, call) for call in _calls(node)}
            for name, (module, path, node) in self._functions.items()
        }
        found: set[str] = set()
        new = {name for name, called in calls.items() if any(map(_is_client, called))}
        while new:
            found |= new | {name.rpartition(".")[0] for name in new} & self._classes
            new = {name for name, called in calls.items() if name not in found and called & found}
        return found

    def inside_atomic(self, module: str) -> Iterator[tuple[int, str]]:
        """The line and text of every call inside a transaction that calls the network."""
        for path, node in _functions(self._trees[module]):
            name = f"{module}.{path}"
            blocks: list[ast.AST] = [inner for inner in ast.walk(node) if _opens_transaction(inner)]
            if any(_last(decorator) in _TRANSACTIONS for decorator in node.decorator_list):
                blocks.append(node)
            for call in {call for block in blocks for call in _calls(block)}:
                target = self._target(module, path, call)
                if (_is_client(target) or target in self.callers) and target != name:
                    yield call.lineno, ast.unparse(call)

    def _target(self, module: str, path: str, call: ast.Call) -> str:
        """The full name of what is called, as far as it can be told."""
        name = dotted(call.func)
        head, _, rest = name.partition(".")
        if head in {"self", "cls"} and "." in path:
            return f"{module}.{path.rpartition('.')[0]}.{rest}"
        imported = self._imports[module].get(head)
        if imported is not None:
            return f"{imported}.{rest}" if rest else imported
        here = f"{module}.{name}"
        return here if here in self._functions or here in self._classes else name


def _is_client(name: str) -> bool:
    return any(name == client or name.endswith(f".{client}") for client in _CLIENTS)


def _opens_transaction(node: ast.AST) -> bool:
    if not isinstance(node, ast.With | ast.AsyncWith):
        return False
    return any(_last(item.context_expr) in _TRANSACTIONS for item in node.items)


def _last(node: ast.expr) -> str:
    return dotted(node).rpartition(".")[2]


def _calls(node: ast.AST) -> Iterator[ast.Call]:
    return (inner for inner in ast.walk(node) if isinstance(inner, ast.Call))


def _functions(tree: ast.Module) -> Iterator[tuple[str, _Function]]:
    for node in tree.body:
        if isinstance(node, _Function):
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, _Function):
                    yield f"{node.name}.{inner.name}", inner
