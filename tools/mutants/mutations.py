"""Every small change of a module: the operators of mutmut, and two that matter for money.

mutmut's own runner leaves out decorated functions (`ledger.move`) and everything outside a function (the table of legal
moves), so only its operators are used. Added are the deletion of a call whose result nobody uses (a lock, a signal, a
refusal) and the removal of one entry of a table.

Not changed: annotations, docstrings, imports, decorators, and the wording of sentences, which are for people.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation.mutators import mutation_operators, operator_string

#: Calls that cannot be changed to anything useful: mutmut leaves them out, too.
_LEFT_OUT_CALLS = {"len", "isinstance"}


@dataclass(frozen=True)
class Mutant:
    """One changed module. before, after: the changed lines; number: counts equal changes of one function."""

    function: str
    line: int
    before: str
    after: str
    number: int
    source: str

    @property
    def name(self) -> str:
        """Stable while the function stays as it is, wherever the function moves."""
        numbered = f" #{self.number}" if self.number > 1 else ""
        return f"{self.function}: {self.before} ⇒ {self.after}{numbered}"


def mutants_of(source: str) -> Iterator[Mutant]:
    """Every mutant of a module that still compiles, in the order of its lines."""
    wrapper = MetadataWrapper(cst.parse_module(source), unsafe_skip_copy=True)
    finder = _Finder(wrapper.module)
    wrapper.visit(finder)
    pieces = _Pieces(wrapper.module)
    seen, names = {source}, Counter[tuple[str, str, str]]()
    for change in finder.changes:
        changed = pieces.with_change(change)
        if changed is None or changed in seen:
            continue
        seen.add(changed)
        before, after = _changed_lines(source, changed)
        names[change.function, before, after] += 1
        yield Mutant(change.function, change.line, before, after, names[change.function, before, after], changed)


@dataclass(frozen=True)
class _Change:
    """statement: the index of the statement of the module that contains the node."""

    statement: int
    function: str
    line: int
    node: cst.CSTNode
    replacement: cst.CSTNode


class _Pieces:
    """The text of a module by its statements, so that a change renders only one of them."""

    def __init__(self, module: cst.Module) -> None:
        self._module = module
        self._texts = [module.code_for_node(statement) for statement in module.body]
        text = "".join(self._texts)
        self._head, _, self._tail = module.code.partition(text)

    def with_change(self, change: _Change) -> str | None:
        """The text of the changed module; None if it does not compile."""
        statement = self._module.body[change.statement].deep_replace(change.node, change.replacement)
        text = self._module.code_for_node(statement)  # type: ignore[arg-type]  # no statement is replaced as a whole
        if not _compiles(text):
            return None
        texts = [*self._texts[: change.statement], text, *self._texts[change.statement + 1 :]]
        return self._head + "".join(texts) + self._tail


class _Finder(cst.CSTVisitor):
    """Collects the changes of a module."""

    METADATA_DEPENDENCIES = (PositionProvider,)

    def __init__(self, module: cst.Module) -> None:
        super().__init__()
        self.changes: list[_Change] = []
        self._statements = set(module.body)
        self._statement = -1
        self._names: list[str] = []

    def on_visit(self, node: cst.CSTNode) -> bool:
        if node in self._statements:
            self._statement += 1
        if isinstance(node, cst.Annotation | cst.Decorator | cst.Import | cst.ImportFrom) or _is_left_out(node):
            return False
        if isinstance(node, cst.FunctionDef | cst.ClassDef):
            self._names.append(node.name.value)
        function = ".".join(self._names) or "<module>"
        for replacement in _replacements(node):
            line = self.get_metadata(PositionProvider, node).start.line
            self.changes.append(_Change(self._statement, function, line, node, replacement))
        return True

    def on_leave(self, original_node: cst.CSTNode) -> None:
        if isinstance(original_node, cst.FunctionDef | cst.ClassDef):
            self._names.pop()


def _is_left_out(node: cst.CSTNode) -> bool:
    if isinstance(node, cst.Expr) and isinstance(node.value, cst.BaseString):
        return True  # a docstring
    called = node.func if isinstance(node, cst.Call) else None
    return isinstance(called, cst.Name) and called.value in _LEFT_OUT_CALLS


def _replacements(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    for kind, operator in mutation_operators:
        if isinstance(node, kind) and not (operator is operator_string and _is_sentence(node)):
            yield from operator(node)
    if isinstance(node, cst.Expr) and isinstance(node.value, cst.Call):
        yield cst.Pass()
    if isinstance(node, cst.Set | cst.List | cst.Tuple | cst.Dict) and len(node.elements) > 1:
        yield from _without_one_element(node)


def _without_one_element(node: cst.Set | cst.List | cst.Tuple | cst.Dict) -> Iterator[cst.CSTNode]:
    elements: Sequence[cst.CSTNode] = node.elements
    for index in range(len(elements)):
        yield node.with_changes(elements=[*elements[:index], *elements[index + 1 :]])


def _is_sentence(node: cst.CSTNode) -> bool:
    return isinstance(node, cst.SimpleString) and " " in node.raw_value.strip()


def _compiles(source: str) -> bool:
    try:
        compile(source, "mutant", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return False
    return True


def _changed_lines(source: str, changed: str) -> tuple[str, str]:
    """The lines between the equal beginning and the equal end of the two texts."""
    old, new = source.splitlines(), changed.splitlines()
    head = _equal_lines(old, new)
    tail = _equal_lines(old[head:][::-1], new[head:][::-1])
    return _joined(old[head : len(old) - tail]), _joined(new[head : len(new) - tail])


def _equal_lines(old: Sequence[str], new: Sequence[str]) -> int:
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(old, new, strict=False)))


def _joined(lines: Iterable[str]) -> str:
    return " ".join(line.strip() for line in lines)
