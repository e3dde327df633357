"""The text form of a causal graph: a parser, and a printer that is its inverse.

    text      = statement { (";" | newline) statement }      "#" comments to the end of the line
    statement = [ list { arrow list } ]                      A -> B -> C, D
    list      = name { "," name }
    arrow     = "->" | "<-" | "<->" | "=>"
    name      = letters, digits, "_", and dots inside; or anything in "double quotes"

An arrow joins every name on its left with every name on its right. A list without an
arrow declares nodes. Nodes and parents keep the order in which they appear.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from scm.errors import GraphError
from scm.graph.structure import Pair, Structure

__all__ = ["parse", "quoted", "show", "show_name", "syntax_error", "unquoted"]

NAME = r"[^\W\d]\w*(?:\.\w+)*"
QUOTED = r'"(?:\\.|[^"\\\n])+"'
TOKEN = re.compile(
    rf"(?P<space>[^\S\n]+|\#[^\n]*)|(?P<end>[;\n])|(?P<arrow><->|->|<-|=>)"
    rf"|(?P<comma>,)|(?P<name>{NAME}|{QUOTED})"
)
A_NAME = 'a node name (letters, digits, "_"; any other name in double quotes, as "age (y)")'
AN_ARROW = "',', an arrow (->, <-, <->, =>), or the end of the statement (';' or a new line)"
WITH_SPACES = f"{AN_ARROW}; a name with spaces stands in double quotes"


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    start: int


def parse(text: str) -> Structure:
    """Read ``text`` into nodes and edges, without checking that they make a causal graph.

    Raises:
        GraphError: Where the text leaves the grammar; it shows the statement, the column,
            and what was expected there.

    Example:
        >>> parse("A, B -> C; C <-> D").edges
        (('A', 'C'), ('B', 'C'))
        >>> parse("A -> -> B")
        Traceback (most recent call last):
        scm.errors.GraphError: line 1, column 6: expected a node name ...
            A -> -> B
                 ^
    """
    nodes: list[str] = []
    pairs: dict[str, list[Pair]] = {"->": [], "<->": [], "=>": []}
    for statement in _statements(text):
        lists, arrows = _read(text, statement)
        nodes += [name for names in lists for name in names]
        for arrow, left, right in zip(arrows, lists[:-1], lists[1:], strict=True):
            if arrow == "<-":
                arrow, left, right = "->", right, left
            pairs[arrow] += [(a, b) for a in left for b in right]
    return Structure(
        nodes=tuple(dict.fromkeys(nodes)),
        edges=tuple(pairs["->"]),
        bidirected=tuple(pairs["<->"]),
        constitutive=tuple(pairs["=>"]),
    )


def _statements(text: str) -> Iterator[list[_Token]]:
    """Cut ``text`` into statements; each ends with a token of kind ``end``."""
    statement: list[_Token] = []
    position = 0
    while position < len(text):
        match = TOKEN.match(text, position)
        if match is None:
            expected = AN_ARROW if statement and statement[-1].kind == "name" else A_NAME
            raise syntax_error(text, position, expected, text[position])
        token = _Token(str(match.lastgroup), match.group(), position)
        position = match.end()
        if token.kind == "space":
            continue
        statement.append(token)
        if token.kind == "end":
            yield statement
            statement = []
    yield [*statement, _Token("end", "", len(text))]


def _read(text: str, statement: list[_Token]) -> tuple[list[list[str]], list[str]]:
    """Return the lists of names of one statement, and the arrows between them."""
    lists: list[list[str]] = [[]]
    arrows: list[str] = []
    if len(statement) == 1:
        return lists, arrows
    for i, token in enumerate(statement):
        if i % 2 == 0 and token.kind == "name":
            lists[-1].append(unquoted(token.text))
        elif i % 2 == 1 and token.kind == "arrow":
            arrows.append(token.text)
            lists.append([])
        elif i % 2 == 0 or token.kind == "name":
            expected = A_NAME if i % 2 == 0 else WITH_SPACES
            raise syntax_error(text, token.start, expected, token.text)
    return lists, arrows


def syntax_error(text: str, position: int, expected: str, found: str) -> GraphError:
    """Return the error that shows the line of ``position`` with a caret under its column."""
    start = text.rfind("\n", 0, position) + 1
    line, column = text.count("\n", 0, position) + 1, position - start + 1
    statement = text[start:].partition("\n")[0]
    caret = re.sub(r"\S", " ", text[start:position]) + "^"
    got = repr(found) if found.strip() else "the end of the statement"
    return GraphError(
        f"line {line}, column {column}: expected {expected}, found {got}\n"
        f"    {statement}\n    {caret}"
    )


def show(structure: Structure) -> str:
    """Print ``structure`` so that ``parse`` reads the same nodes and edges, in the same order.

    Example:
        >>> show(parse("C -> Z; C -> Y; Z, F -> X; X <-> Y"))
        'C -> Z, Y; Z, F -> X; X <-> Y'
    """
    lines: list[str] = []
    mentioned: dict[str, None] = {}
    for arrow, pairs in (
        ("->", structure.edges),
        ("=>", structure.constitutive),
        ("<->", structure.bidirected),
    ):
        for left, right in _grouped(pairs):
            lines.append(f"{_show_list(left)} {arrow} {_show_list(right)}")
            mentioned |= dict.fromkeys([*left, *right])
    if tuple(mentioned) != structure.nodes[: len(mentioned)]:
        lines.insert(0, _show_list(structure.nodes))
    elif alone := structure.nodes[len(mentioned) :]:
        lines.append(_show_list(alone))
    return "; ".join(lines)


def _grouped(pairs: Iterable[Pair]) -> list[tuple[list[str], list[str]]]:
    """Join neighbouring pairs into products of lists, keeping their order."""
    runs: list[tuple[list[str], list[str]]] = []
    for a, b in pairs:
        if runs and runs[-1][0] == [a]:
            runs[-1][1].append(b)
        elif runs and runs[-1][1] == [b]:
            runs[-1][0].append(a)
        else:
            runs.append(([a], [b]))
    merged: list[tuple[list[str], list[str]]] = []
    for left, right in runs:
        if merged and merged[-1][1] == right:
            merged[-1][0].extend(left)
        else:
            merged.append((left, right))
    return merged


def show_name(name: str) -> str:
    r"""Print one name, in double quotes where the grammar needs them.

    Example:
        >>> show_name("age"), show_name("age (y)")
        ('age', '"age (y)"')
    """
    return name if re.fullmatch(NAME, name) else quoted(name)


def quoted(name: str) -> str:
    """Print one name in double quotes."""
    escaped = name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _show_list(names: Sequence[str]) -> str:
    return ", ".join(map(show_name, names))


def unquoted(text: str) -> str:
    """Read one name, in double quotes or not: the inverse of ``show_name``."""
    if not text.startswith('"'):
        return text
    return re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], text[1:-1])
