"""What an audit found of all pairs: a matrix, a partial graph, JSON, a data frame."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scm import html
from scm.discovery.kept import finite
from scm.discovery.verdicts import Direction
from scm.errors import ScmError, nearest

if TYPE_CHECKING:
    import networkx
    import pandas

__all__ = ["Audit"]


@dataclass(frozen=True, eq=False)
class Audit:
    """What a generator has learnt of its attributes, pair by pair.

    Attributes:
        names: The attributes.
        pairs: What was found, by the names of the pair in the order of `names`.
        adjustment: How the association p-values were adjusted for the number of pairs.
        seed: Seed of the run.
        warnings: What concerns all pairs.

    Example:
        >>> from scm.discovery import Direction
        >>> from scm.estimate import Estimate
        >>> found = Direction("age", "grey", "c->e", 0.001, 0.002, None, None, None,
        ...                   (Estimate(0.5), Estimate(0.5)))
        >>> whole = Audit(("age", "grey"), {("age", "grey"): found}, "holm", 0)
        >>> whole.arrows, whole.matrix
        ([('age', 'grey')], [['', '->'], ['<-', '']])
        >>> whole["grey", "age"].words
        'age -> grey'
    """

    names: tuple[str, ...]
    pairs: Mapping[tuple[str, str], Direction]
    adjustment: str
    seed: int
    warnings: tuple[str, ...] = ()

    def __getitem__(self, pair: tuple[str, str]) -> Direction:
        """The finding of a pair, in either order; c is the attribute that was named first.

        Raises:
            ScmError: If there is no such pair.
        """
        for key in (pair, pair[::-1]):
            if key in self.pairs:
                return self.pairs[key]
        raise ScmError(f"{pair!r} is no pair of this audit; {nearest(pair[0], self.names)}")

    @property
    def arrows(self) -> list[tuple[str, str]]:
        """Cause and effect of every arrow that was earned."""
        return [found.arrow for found in self.pairs.values() if found.arrow is not None]

    @property
    def matrix(self) -> list[list[str]]:
        """Verdicts, row to column: "->", "<-", "both", "none" or "abstain"; "" on the diagonal."""
        return [["" if a == b else self._word(a, b) for b in self.names] for a in self.names]

    @property
    def graph(self) -> networkx.DiGraph[str]:
        """The partial graph: an edge for each arrow, both ways with `directed=False` for "both".

        Arrows come from pairs, so one may stand for a path, and they need not be acyclic.
        """
        import networkx

        graph: networkx.DiGraph[str] = networkx.DiGraph()
        graph.add_nodes_from(self.names)
        graph.add_edges_from(self.arrows, directed=True)
        for (a, b), found in self.pairs.items():
            if found.verdict.startswith("both"):
                graph.add_edges_from([(a, b), (b, a)], directed=False)
        return graph

    def to_pandas(self) -> pandas.DataFrame:
        """One row for each pair.

        Raises:
            ScmError: If pandas is missing.
        """
        try:
            import pandas
        except ImportError as error:
            raise ScmError(
                "a data frame needs pandas: pip install 'neural-scm[discovery]'"
            ) from error
        return pandas.json_normalize([found.as_json() for found in self.pairs.values()])

    def to_json(self, path: str | Path | None = None) -> str:
        """Everything as JSON, written to a file if its path is given."""
        content = {
            "attributes": list(self.names),
            "adjustment": self.adjustment,
            "seed": self.seed,
            "warnings": list(self.warnings),
            "matrix": self.matrix,
            "pairs": [found.as_json() for found in self.pairs.values()],
        }
        text = json.dumps(finite(content), indent=2, ensure_ascii=False)
        if path is not None:
            Path(path).write_text(text + "\n", encoding="utf-8")
        return text

    def _word(self, a: str, b: str) -> str:
        found = self[a, b]
        if found.arrow is not None:
            return "->" if found.arrow == (a, b) else "<-"
        return found.verdict.split()[0]

    def __str__(self) -> str:
        return "\n".join([*map(str, self.pairs.values()), *(f"! {w}" for w in self.warnings)])

    def _repr_html_(self) -> str:
        rows = [(name, *words) for name, words in zip(self.names, self.matrix, strict=True)]
        notes = [("", w) for w in self.warnings]
        notes += [(p.words, w) for p in self.pairs.values() for w in p.warnings]
        matrix = html.table("Verdicts, row to column", ("", *self.names), rows)
        return matrix + (html.table("Warnings", ("pair", "what to know"), notes) if notes else "")
