"""Rules of our own that no linter has: `python -m tools.code_rules` prints each violation and exits with 1.

- mac-compared: a signature or digest is compared with `==`, which takes longer the more of it is right.
- no-timeout: a request of requests, httpx, urllib or a socket that may wait forever.
- network-in-atomic: a call that asks FeexPay, or sends anything, while a transaction holds its locks.
- unescaped-html: `mark_safe`, `SafeString`, `|safe`, `autoescape off`, or `format_html` with a text that was built
before.
- personal-data: a variable with a phone number, a name, a code or a secret in a log call, or in an exception's text.
- all-fields: `fields = "__all__"`, which publishes a column as soon as it is added.

A line may be excepted by `# allowed: <rule> -- <reason>`. An exception without a reason, or without a violation, is a
violation itself.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tools.network_calls import NetworkCalls, dotted, imported_names

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("django_feexpay", "sample_project", "client_app/src", "tools")

_ALLOWED = re.compile(r"# allowed: (?P<rule>[a-z-]+)(?P<reason> -- \S.*)?")
_MAC = re.compile(r"(?:^|_)(?:signatures?|macs?|hmacs?|digests?|hexdigest)$")
_PERSONAL = re.compile(r"(?:^|_)(?:msisdn|phone|national|otp|first_name|last_name|email|api_key|password|secret)$")
_LOG_METHODS = {"debug", "info", "warning", "error", "exception", "critical", "log"}
_UNSAFE_CALLS = {"mark_safe", "SafeString", "SafeText", "format_html", "format_html_join"}
_UNSAFE_TEMPLATE = re.compile(r"\|\s*safe(?:seq)?\b|{%\s*autoescape\s+off|{%\s*filter\s+safe")
_REQUESTS = {"get", "post", "put", "patch", "delete", "head", "options", "request", "stream", "send"}
_CLIENTS = {"httpx.Client", "httpx.AsyncClient"}


@dataclass(frozen=True, order=True)
class Violation:
    line: int
    rule: str
    what: str


def violations(source: str, network: NetworkCalls | None = None, module: str = "") -> list[Violation]:
    """The violations of a Python source, without the excepted lines. `network`: what the other modules call."""
    tree = ast.parse(source)
    network = network or NetworkCalls({module: tree})
    found = [violation for node in ast.walk(tree) for violation in _violations_of(node)]
    found += [Violation(line, "no-timeout", what) for line, what in _without_timeout(tree)]
    found += [Violation(line, "network-in-atomic", what) for line, what in network.inside_atomic(module)]
    return sorted(set(_without_exceptions(source, found)))


def template_violations(text: str) -> list[Violation]:
    """The places of a template that are not escaped."""
    lines = enumerate(text.splitlines(), 1)
    return [
        Violation(number, "unescaped-html", line.strip()) for number, line in lines if _UNSAFE_TEMPLATE.search(line)
    ]


def _violations_of(node: ast.AST) -> Iterator[Violation]:
    match node:
        case ast.Compare(left=left, ops=operators, comparators=others):
            equal = any(isinstance(operator, ast.Eq | ast.NotEq) for operator in operators)
            if equal and any(_MAC.search(_last_name(side)) for side in (left, *others)):
                yield Violation(node.lineno, "mac-compared", ast.unparse(node))
        case ast.Call(func=function) if _last_name(function) in _UNSAFE_CALLS:
            if _last_name(function).startswith("format_html"):
                yield from _made_before(node)
            else:
                yield Violation(node.lineno, "unescaped-html", ast.unparse(node))
        case ast.Call(func=ast.Attribute(value=owner, attr=method)) if method in _LOG_METHODS and _is_logger(owner):
            arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
            yield from _personal(node, [inner for argument in arguments for inner in ast.walk(argument)])
        case ast.Raise(exc=ast.Call() as error):
            texts = [
                inner for inner in ast.walk(error) if isinstance(inner, ast.JoinedStr | ast.BinOp) or _is_format(inner)
            ]
            yield from _personal(node, [inner for text in texts for inner in ast.walk(text)])
        case ast.Assign(targets=[ast.Name(id="fields")], value=ast.Constant(value="__all__")):
            yield Violation(node.lineno, "all-fields", ast.unparse(node))


def _made_before(call: ast.Call) -> Iterator[Violation]:
    """`format_html` escapes its arguments only: its first text must be a literal, or a translated one."""
    text = call.args[0] if call.args else None
    if isinstance(text, ast.JoinedStr | ast.BinOp) or _is_format(text):
        yield Violation(call.lineno, "unescaped-html", ast.unparse(call))


def _is_format(node: ast.AST | None) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format"


def _is_logger(owner: ast.expr) -> bool:
    return _last_name(owner).lower().strip("_") in {"logger", "log", "logging"}


def _personal(statement: ast.stmt | ast.expr, nodes: Iterable[ast.AST]) -> Iterator[Violation]:
    for node in nodes:
        if isinstance(node, ast.Name | ast.Attribute) and _PERSONAL.search(_last_name(node).lower()):
            yield Violation(statement.lineno, "personal-data", ast.unparse(node))


def _last_name(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Call(func=function):
            return _last_name(function)
        case ast.Subscript(value=value, slice=ast.Constant(value=str() as key)):
            return key or _last_name(value)
    return ""


def _without_timeout(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Requests made through a library, its sessions or its clients without a timeout."""
    names = imported_names(tree)
    if not any(path.partition(".")[0] in {"requests", "httpx", "urllib", "socket"} for path in names.values()):
        return
    names |= _sessions(tree, names)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        path = _resolved(dotted(node.func), names)
        library, _, method = path.partition(".")
        is_request = library in {"requests", "httpx"} and method.rpartition(".")[2] in _REQUESTS
        waits = is_request or path in {*_CLIENTS, "urllib.request.urlopen", "socket.create_connection"}
        if waits and not _sets_timeout(node, path):
            yield node.lineno, ast.unparse(node)


def _sets_timeout(call: ast.Call, path: str) -> bool:
    for keyword in call.keywords:
        if keyword.arg == "timeout":
            return not (isinstance(keyword.value, ast.Constant) and keyword.value.value is None)
        if keyword.arg is None:
            return True  # **options: the caller chooses
    return path == "socket.create_connection" and len(call.args) > 1


def _sessions(tree: ast.Module, names: dict[str, str]) -> dict[str, str]:
    """The variables that hold a `requests.Session`.

    An httpx client has its own timeout, which must be set when it is created.
    """
    found = {}
    for node in ast.walk(tree):
        pairs: list[tuple[ast.expr, ast.expr]] = []
        if isinstance(node, ast.Assign):
            pairs = [(target, node.value) for target in node.targets]
        elif isinstance(node, ast.withitem) and node.optional_vars is not None:
            pairs = [(node.optional_vars, node.context_expr)]
        for target, value in pairs:
            if isinstance(value, ast.Call) and _resolved(dotted(value.func), names) in {
                "requests.Session",
                "requests.session",
            }:
                found[dotted(target)] = "requests.Session"
    return found


def _resolved(path: str, names: dict[str, str]) -> str:
    """The path with its beginning replaced by what was imported under that name."""
    for length in range(path.count(".") + 1, 0, -1):
        head = ".".join(path.split(".")[:length])
        if head in names:
            return ".".join([names[head], *path.split(".")[length:]])
    return path


def _without_exceptions(source: str, found: Iterable[Violation]) -> Iterator[Violation]:
    """Drop the violations of excepted lines; report exceptions without a reason or a violation."""
    excepted = {number: match for number, line in enumerate(source.splitlines(), 1) if (match := _ALLOWED.search(line))}
    used = set()
    for violation in found:
        match = excepted.get(violation.line)
        if match is not None and match["rule"] == violation.rule and match["reason"]:
            used.add(violation.line)
        else:
            yield violation
    for number, match in excepted.items():
        if number not in used:
            yield Violation(number, "allowed", f"{match[0]}: no such violation here, or no reason")


def main() -> int:
    modules = {path: _module_name(path) for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))}
    network = NetworkCalls({name: ast.parse(path.read_text()) for path, name in modules.items()})
    count = 0
    for path, name in modules.items():
        count += _printed(path, violations(path.read_text(), network, name))
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.html")):
            count += _printed(path, template_violations(path.read_text()))
    print(f"own rules: {len(modules)} modules, {count} violations")
    return int(count > 0)


def _module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    skip = 1 if parts[0] == "sample_project" else 2 if parts[0] == "client_app" else 0
    return ".".join(part for part in parts[skip:] if part != "__init__")


def _printed(path: Path, found: list[Violation]) -> int:
    for violation in found:
        print(f"{path.relative_to(ROOT)}:{violation.line}: {violation.rule}: {violation.what}")
    return len(found)


if __name__ == "__main__":
    sys.exit(main())
