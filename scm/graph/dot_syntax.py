"""Reader of the statements that DOT and dagitty share: ``A -> { B "x y" } [key=value]``."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from scm.errors import GraphError
from scm.graph.grammar import syntax_error, unquoted

__all__ = ["Document", "Statement", "read"]

TOKEN = re.compile(
    r"(?P<space>\s+|//[^\n]*|/\*.*?\*/|^\#[^\n]*)"
    r'|(?P<name>"(?:\\.|[^"\\])*"|-?(?:\.\d+|\d+(?:\.\d*)?)(?!\w)|[\w.]+)'
    r"|(?P<arrow><->|->|<-|--|@-@|@->|<-@)|(?P<mark>[{}\[\]=,;:])",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Statement:
    """Groups of names joined by arrows, with attributes, and the defaults for new nodes."""

    groups: list[list[str]]
    arrows: list[str]
    attributes: dict[str, str]
    node_defaults: dict[str, str]


@dataclass(frozen=True)
class Document:
    """What stands before the braces (``strict digraph G``), and the statements in them."""

    head: list[str]
    statements: list[Statement]


def read(text: str, keywords: Collection[str] = ()) -> Document:
    """Read ``head { statements }``.

    Args:
        text: The document.
        keywords: Words that set defaults where attributes follow, as ``node [shape=box]``.

    Raises:
        GraphError: Where the text leaves the syntax; it shows the line and the column.

    Example:
        >>> read("digraph { A -> B -> C [dir=both] }").statements[0].attributes
        {'dir': 'both'}
    """
    return _Reader(text, keywords).document()


class _Reader:
    def __init__(self, text: str, keywords: Collection[str]) -> None:
        self.text = text
        self.defaults: dict[str, dict[str, str]] = {keyword: {} for keyword in keywords}
        self.tokens: list[tuple[str, str, int]] = []
        position = 0
        while position < len(text):
            match = TOKEN.match(text, position)
            if match is None:
                raise syntax_error(text, position, "a name, an arrow or a brace", text[position])
            if match.lastgroup != "space":
                self.tokens.append((str(match.lastgroup), match.group(), position))
            position = match.end()
        self.tokens.append(("end", "", len(text)))
        self.at = 0
        self.statements: list[Statement] = []

    def document(self) -> Document:
        head: list[str] = []
        while self.tokens[self.at][0] == "name":
            head.append(self.name())
        self.expect("{")
        self.block()
        if self.tokens[self.at][0] != "end":
            raise self.error("the end of the graph")
        return Document(head, self.statements)

    def block(self) -> list[str]:
        """Read statements up to the closing brace; return the names they mention."""
        mentioned: list[str] = []
        outside = dict(self.defaults)
        while not self.skip("}"):
            if self.tokens[self.at][0] == "end":
                raise self.error("'}'")
            if not self.skip(";") and not self.skip(","):
                mentioned += self.statement()
        self.defaults = outside
        return list(dict.fromkeys(mentioned))

    def statement(self) -> list[str]:
        word = self.tokens[self.at][1]
        if word in self.defaults and self.tokens[self.at + 1][1] == "[":
            self.at += 1
            self.defaults[word] = self.defaults[word] | self.attributes()
            return []
        if self.tokens[self.at + 1][1] == "=":
            self.at += 2
            self.name()
            return []
        groups, arrows = [self.group()], list[str]()
        while self.tokens[self.at][0] == "arrow":
            arrows.append(self.tokens[self.at][1])
            self.at += 1
            groups.append(self.group())
        look = self.defaults.get("edge", {}) if arrows else {}
        nodes = self.defaults.get("node", {})
        self.statements.append(Statement(groups, arrows, look | self.attributes(), nodes))
        return [name for group in groups for name in group]

    def group(self) -> list[str]:
        if self.tokens[self.at][1] == "subgraph":
            self.at += 1
            if self.tokens[self.at][0] == "name":
                self.at += 1
        if self.skip("{"):
            return self.block()
        name = self.name()
        while self.skip(":"):
            self.name()
        return [name]

    def attributes(self) -> dict[str, str]:
        found: dict[str, str] = {}
        while self.skip("["):
            while not self.skip("]"):
                if self.skip(",") or self.skip(";"):
                    continue
                key = self.name()
                found[key] = self.name() if self.skip("=") else "true"
        return found

    def name(self) -> str:
        kind, text, _ = self.tokens[self.at]
        if kind != "name":
            raise self.error("a name")
        self.at += 1
        return unquoted(text)

    def skip(self, mark: str) -> bool:
        kind, text, _ = self.tokens[self.at]
        found = kind == "mark" and text == mark
        self.at += found
        return found

    def expect(self, mark: str) -> None:
        if not self.skip(mark):
            raise self.error(repr(mark))

    def error(self, expected: str) -> GraphError:
        _, text, position = self.tokens[self.at]
        return syntax_error(self.text, position, expected, text)
