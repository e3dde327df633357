"""What a graph implies about the observed distribution, and whether a law or data agree."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scm.graph.empirical import Empirical, as_source
from scm.graph.evaluation import Source

if TYPE_CHECKING:
    from scm.graph.causal_graph import CausalGraph

__all__ = [
    "Independence",
    "IndependenceTest",
    "IndependenceWarning",
    "implied_independencies",
    "test_independencies",
    "warn_of_contradictions",
]

_EXACT = 1e-9  # nats: a law with more information between two nodes contradicts the graph
_LEVEL = 1e-3  # of all tests together
_LARGEST = 2**20  # entries of a table that is tested without being asked


class IndependenceWarning(UserWarning):
    """A law, or data, in which an independence that the graph implies does not hold.

    Example:
        >>> import warnings
        >>> from scm.graph import CausalGraph
        >>> data = {"A": [0, 1] * 50, "B": [0, 1] * 50}
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     found = CausalGraph("A; B").identify("B", do="A").evaluate(data)
        >>> caught[0].category.__name__
        'IndependenceWarning'
    """


@dataclass(frozen=True)
class Independence:
    """Two nodes that the graph says are independent given others.

    Example:
        >>> print(Independence("X", "Y", ("Z",)))
        X ⊥ Y | Z
    """

    x: str
    y: str
    given: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.x} ⊥ {self.y}" + (f" | {', '.join(self.given)}" if self.given else "")


@dataclass(frozen=True)
class IndependenceTest:
    """How an implied independence fares.

    Args:
        independence: What the graph implies.
        statistic: Pearson's chi-square, summed over the levels of the conditions; of an exact
            law, the conditional mutual information in nats.
        dof: Degrees of freedom; 0 for an exact law.
        p_value: Probability of a larger statistic if the graph were right.
    """

    independence: Independence
    statistic: float
    dof: int
    p_value: float

    def __str__(self) -> str:
        if not self.dof:
            return f"{self.independence}: mutual information {self.statistic:.3g} nats"
        return (
            f"{self.independence}: chi-square {self.statistic:.1f} with {self.dof} degrees of "
            f"freedom, p = {self.p_value:.2g}"
        )


def implied_independencies(graph: CausalGraph) -> tuple[Independence, ...]:
    """Return, for each pair of observed nodes that some set separates, a minimal such set.

    Two nodes that no observed set separates (adjacent in the graph's maximal ancestral graph)
    are not listed. The list is a basis for tests of the graph; equality constraints of other
    kinds (Verma's) are not among them. No node can be left out of a set, though
    another set may be smaller.

    References:
        Richardson & Spirtes (2002), Ancestral graph Markov models, theorem 4.2: if any set
        separates two nodes, their ancestors do. van der Zander & Liśkiewicz (2020), Finding
        minimal d-separators in linear time.

    Example:
        >>> from scm.graph import CausalGraph
        >>> graph = CausalGraph("C -> Z, Y; Z -> X -> Y", latent=["C"])
        >>> [str(i) for i in graph.implied_independencies()]
        []
        >>> [str(i) for i in CausalGraph("A -> B -> C; D -> C").implied_independencies()]
        ['A ⊥ C | B', 'A ⊥ D', 'B ⊥ D']
    """
    observed = graph.observed
    found = []
    for i, x in enumerate(observed):
        for y in observed[i + 1 :]:
            given = [n for n in observed if n in graph.ancestors(x, y) - {x, y}]
            if not graph.d_separated(x, y, given):
                continue
            for node in list(given):
                fewer = [n for n in given if n != node]
                if graph.d_separated(x, y, fewer):
                    given = fewer
            found.append(Independence(x, y, tuple(given)))
    return tuple(found)


def test_independencies(graph: CausalGraph, source: Any) -> tuple[IndependenceTest, ...]:
    """Test each implied independence on a law or on discrete data.

    Args:
        graph: The graph.
        source: As in `Estimand.evaluate`.

    Returns:
        One test for each of `implied_independencies`, the most contradicted first.

    Example:
        >>> from scm.graph import CausalGraph
        >>> data = {"X": [0, 0, 1, 1] * 25, "Y": [0, 0, 1, 0] * 25}
        >>> for test in CausalGraph("X; Y").test_independencies(data):
        ...     print(test)
        X ⊥ Y: chi-square 33.3 with 1 degrees of freedom, p = 7.8e-09
    """
    law = as_source(source, graph.nodes)
    tests = [
        _test(law, independence)
        for independence in implied_independencies(graph)
        if {independence.x, independence.y, *independence.given} <= set(law.levels)
    ]
    return tuple(sorted(tests, key=lambda test: (test.p_value, -test.statistic)))


def warn_of_contradictions(graph: CausalGraph, law: Source) -> None:
    """Warn where a law contradicts the graph, or data do so beyond chance.

    Warns:
        IndependenceWarning: with the tests that fail.
    """
    implied = [
        independence
        for independence in implied_independencies(graph)
        if _size(law, independence) <= _LARGEST
    ]
    tests = [_test(law, independence) for independence in implied]
    failed = [test for test in tests if test.p_value < _LEVEL / len(tests)]
    if failed:
        worst = sorted(failed, key=lambda test: (test.p_value, -test.statistic))[:5]
        warnings.warn(
            f"{len(failed)} of {len(tests)} independencies that the graph implies fail here, so "
            f"the formula may be wrong: {'; '.join(map(str, worst))}. Look for a missing edge "
            "(graph.test_independencies lists all), or pass check=False",
            IndependenceWarning,
            stacklevel=3,
        )


def _size(law: Source, independence: Independence) -> float:
    names = (independence.x, independence.y, *independence.given)
    levels: Mapping[str, Any] = law.levels
    return math.prod(len(levels[n]) if n in levels else math.inf for n in names)


def _test(law: Source, independence: Independence) -> IndependenceTest:
    names = (*independence.given, independence.x, independence.y)
    values = np.asarray(law.table(*names).values, dtype=np.float64)
    joint = values.reshape(-1, *values.shape[-2:])
    x, y = joint.sum(2, keepdims=True), joint.sum(1, keepdims=True)
    z = joint.sum((1, 2), keepdims=True)
    expected = np.divide(x * y, z, out=np.zeros_like(joint), where=z > 0)
    if not isinstance(law, Empirical):
        information = _information(joint, expected)
        return IndependenceTest(independence, information, 0, float(information < _EXACT))
    squares = (joint - expected) ** 2
    terms = np.divide(squares, expected, out=np.zeros_like(joint), where=expected > 0)
    statistic = float(law.n * terms.sum())
    rows, columns = (x > 0).sum((1, 2)), (y > 0).sum((1, 2))
    dof = int((np.maximum(rows - 1, 0) * np.maximum(columns - 1, 0)).sum())
    if dof == 0 or law.n < 5 * dof:  # too few rows for the distribution of the statistic
        return IndependenceTest(independence, statistic, dof, 1.0)
    from scipy.special import chdtrc

    return IndependenceTest(independence, statistic, dof, float(chdtrc(dof, statistic)))


def _information(joint: NDArray[np.float64], expected: NDArray[np.float64]) -> float:
    inside = joint > 0
    return max(0.0, float((joint[inside] * np.log(joint[inside] / expected[inside])).sum()))
