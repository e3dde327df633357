"""Auditing a generator: every pair of attributes at once, and the arrows that were earned."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from scm import html
from scm.discovery.asymmetry import Asymmetry, asymmetries
from scm.discovery.attributes import Attribute
from scm.discovery.diagnosis import Diagnosis, diagnose, latent_head
from scm.discovery.gauge import Turn, standard_normal, turned
from scm.discovery.independence import chi_square_test, hsic_test
from scm.discovery.kept import Keep, at_once, finite
from scm.discovery.multiplicity import benjamini_hochberg, holm
from scm.discovery.readings import readings, units
from scm.discovery.responses import Responses, responses
from scm.discovery.verdicts import ARROWS, Direction, Rules, verdict
from scm.errors import ScmError, nearest
from scm.mechanisms.latent import LatentGenerator
from scm.progress import progress_bar

if TYPE_CHECKING:
    import networkx
    import pandas

__all__ = ["Audit", "audit"]

Adjustment = Literal["holm", "benjamini-hochberg", "none"]

_ADJUST: dict[str, Callable[[Tensor], Tensor]] = {
    "holm": holm,
    "benjamini-hochberg": benjamini_hochberg,
    "none": lambda p: p,
}
_BLOCKS = 2
_HEADS, _UNITS, _TURN = 1, 2, 3  # what else is drawn than the scores, by their own seeds
Refits = Mapping[str, Sequence[Attribute]]


@dataclass(frozen=True, eq=False)
class Audit:
    """What a generator has learnt of its attributes, pair by pair.

    Attributes:
        names: The attributes.
        pairs: What was found, by the names of the pair in the order of `names`.
        adjustment: How the association p-values were adjusted for the number of pairs.
        seed: Seed of the run.
        warnings: What concerns all pairs.
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


def audit(
    generator: LatentGenerator,
    attributes: Sequence[Attribute],
    *,
    refits: Refits | None = None,
    fit: int = 5_000,
    block: int = 1_000,
    moved: int = 500,
    permutations: int = 2_500,
    adjustment: Adjustment = "holm",
    gauges: int = 1,
    diagnosis: bool = True,
    rules: Rules = Rules(),  # noqa: B008
    seed: int = 0,
    progress: bool = True,
    keep: Keep = at_once,
) -> Audit:
    """Ask of every pair of attributes what the generator has learnt of them.

    1. Attributes are read in samples of the prior. 2. Their association is tested by permutation:
    HSIC, or chi-square of two binary ones. 3. Where it is significant and both are numbers, an
    additive-noise model is fitted each way on `fit` samples and tested on two blocks of others.
    4. Each attribute is moved along its gradient, and all are read. 5. `verdict` weighs it. Then
    the latent is turned and all but the turn is repeated: p(x) is the same, so that a verdict
    that flips rested on the latent's geometry, or on chance.

    The additive-noise tests are not adjusted for the number of pairs: their p-values decide with
    the margins of `Rules`, and are no error rates of the verdict.

    Args:
        generator: The generator, through which gradients must pass.
        attributes: At least two; of several classes, one of them: `attribute.level(...)`.
        refits: For an attribute, its heads trained on bootstrap samples, for the limits of
            responses; without them these cover the choice of units alone.
        fit: Samples that functions are fitted on.
        block: Samples of each of the two blocks; more make the tests reject the fitted
            function's error.
        moved: Units that are moved.
        permutations: Largest number of permutations of a test of additive noise.
        adjustment: "holm", "benjamini-hochberg" or "none", of the association p-values.
        gauges: How many turns of the latent to try; none for a latent that is not normal.
        diagnosis: Whether to hold delta-tau against what steepness predicts.
        rules: The thresholds.
        seed: Seed of everything.
        progress: Show a progress bar, on a terminal or in a notebook.
        keep: What runs each piece of work; a `Kept` runs none that it has the result of.

    Raises:
        ScmError: If there are fewer than two attributes, two have one name, one has several
            classes, is constant, NaN, or collinear with another, the options are unknown, or so few
            permutations can earn no arrow.

    Source: the project's PAPERS.md, "CAGE, calibrated".

    Example:
        >>> from scm.mechanisms import Real
        >>> cubic = lambda z: torch.stack([z[:, 0], z[:, 0] ** 3 / 2 + z[:, 0] + z[:, 1]], 1)
        >>> generator = LatentGenerator(cubic, 2, Real((2,)))
        >>> a = Attribute.from_measure("a", lambda x: x[:, 0])
        >>> b = Attribute.from_measure("b", lambda x: x[:, 1])
        >>> audit(generator, [a, b], gauges=0, progress=False).arrows
        [('a', 'b')]
    """
    _check(attributes, adjustment, fit, block, moved)
    least = _BLOCKS / (permutations + 1)
    if least >= rules.fails:
        raise ScmError(
            f"permutations={permutations} was given, with which no p-value of additive noise is "
            f"below {least:.2g}, and an arrow needs one below {rules.fails:g}; give at least "
            f"{int(_BLOCKS / rules.fails)}"
        )
    names = [a.name for a in attributes]
    turns = gauges if standard_normal(generator) else 0
    tests = {"fit": fit, "block": block, "moved": moved, "permutations": permutations}
    notes: tuple[str, ...] = (
        () if turns == gauges else ("no gauge check: the latent is not standard normal",)
    )
    if not refits:
        notes += ("limits of responses leave out how the heads were trained: no refits",)
    pairs = list(combinations(names, 2))
    with progress_bar("audit", 1 + turns + diagnosis * len(pairs), "steps", progress) as advance:
        todo = partial(_assess, generator, attributes, refits, adjustment, rules, tests, seed)
        first = keep("tests", todo)
        advance("as it is")
        again = []
        width = torch.Size(generator.latent).numel()
        for k in range(turns):
            turn = Turn(width, seed=seed + k).to(generator.device)
            behind, same = turned(generator, attributes, turn)
            heads = {n: turned(generator, each, turn)[1] for n, each in (refits or {}).items()}
            own = _seed(seed, _TURN + k)
            todo = partial(_assess, behind, same, heads, adjustment, rules, tests, own)
            again.append(keep(f"tests-turned-{k}", todo))
            advance("latent turned")
        found: dict[tuple[str, str], Direction] = {}
        by_name, own = {a.name: a for a in attributes}, _seed(seed, _HEADS)
        head = cache(lambda name: latent_head(generator, by_name[name], seed=own))
        for pair in pairs:
            told: Diagnosis | str | None = None
            if diagnosis:
                ask = partial(_diagnosed, generator, head, pair, own)
                told = keep(f"diagnosis-{len(found)}", ask)
                advance(" ".join(pair))
            found[pair] = _joined(first[pair], [each[pair] for each in again], told)
    return Audit(tuple(names), found, adjustment, seed, notes)


def _assess(
    generator: LatentGenerator,
    attributes: Sequence[Attribute],
    refits: Refits | None,
    adjustment: str,
    rules: Rules,
    tests: Mapping[str, int],
    seed: int,
) -> dict[tuple[str, str], Direction]:
    """Steps 1 to 5 with one latent."""
    names = [a.name for a in attributes]
    latents = units(generator, tests["fit"] + _BLOCKS * tests["block"], seed)
    read = readings(generator, attributes, latents)
    scales = {name: float(values.double().std()) for name, values in read.items()}
    scores = torch.stack([read[n].double() / scales[n] for n in names])
    fit, held = scores[:, : tests["fit"]], scores[:, tests["fit"] :]
    places = list(combinations(range(len(names)), 2))
    p = _associations(attributes, held * scores.new_tensor([[scales[n]] for n in names]), places,
                      seed)  # fmt: skip
    adjusted = _ADJUST[adjustment](p)
    numbers = [a.kind == "continuous" for a in attributes]
    chosen = [
        pair
        for pair, each in zip(places, adjusted.tolist(), strict=True)
        if each < rules.dependent and numbers[pair[0]] and numbers[pair[1]]
    ]
    blocks = held.reshape(len(names), _BLOCKS, -1)
    tried = asymmetries(fit, blocks, chosen, permutations=tests["permutations"], seed=seed)
    models: dict[tuple[int, int], Asymmetry] = dict(zip(chosen, tried, strict=True))
    moving = units(generator, tests["moved"], _seed(seed, _UNITS))
    moves = responses(generator, attributes, moving, scales=scales, refits=refits)
    found = {}
    for place, raw, final in zip(places, p.tolist(), adjusted.tolist(), strict=True):
        c, e = names[place[0]], names[place[1]]
        both = (moves.ratio.get((c, e)), moves.ratio.get((e, c)))
        told = verdict(final, models.get(place), both, rules)
        doses = (moves.dose[c], moves.dose[e])
        warnings = _warnings(attributes, place, moves, final, models.get(place), rules)
        found[c, e] = Direction(
            c, e, told, raw, final, models.get(place), *both, doses, warnings=warnings
        )
    return found


def _associations(
    attributes: Sequence[Attribute],
    held: Tensor,
    places: Sequence[tuple[int, int]],
    seed: int,
) -> Tensor:
    """p-values of independence, in the order of the places."""
    permutations = max(1_000, 110 * len(places))  # 1 / this, times the pairs, is below 1%
    p = held.new_zeros(len(places))
    binary = [a.kind == "binary" for a in attributes]
    coded = torch.stack([a.treated(v) for a, v in zip(attributes, held, strict=True)]).long()
    for both in (False, True):
        rows = [k for k, (i, j) in enumerate(places) if (binary[i] and binary[j]) == both]
        if rows:
            i, j = torch.tensor([places[k] for k in rows], device=held.device).T
            options = {"permutations": permutations, "seed": seed}
            test = chi_square_test if both else hsic_test
            values = coded if both else held
            p[rows] = test(values[i], values[j], **options).p
    return p


def _warnings(
    attributes: Sequence[Attribute],
    place: tuple[int, int],
    moves: Responses,
    association: float,
    asymmetry: Asymmetry | None,
    rules: Rules,
) -> tuple[str, ...]:
    found = []
    pair = [attributes[k] for k in place]
    for a in pair:
        reached = moves.dose[a.name].value
        if not reached > 0.25:
            found.append(
                f"the move of {a.name!r} changed it by {reached:.2g} sd of the 0.5 that were aimed "
                "at: its responses are of small moves"
            )
    if association < rules.dependent and asymmetry is None:
        words = " and ".join(repr(a.name) for a in pair if a.kind != "continuous")
        found.append(f"no direction was looked for: {words} cannot be read as numbers")
    if asymmetry is not None:
        fits = (asymmetry.p_forward >= rules.fits, asymmetry.p_backward >= rules.fits)
        if all(fits):
            found.append("an additive-noise model fits both ways, as of linear-Gaussian pairs")
        elif not any(fits):
            found.append(
                "no additive-noise model fits: a hidden common cause, or noise that is not additive"
            )
    return tuple(found)


def _diagnosed(
    generator: LatentGenerator,
    head: Callable[[str], Attribute],
    pair: tuple[str, str],
    seed: int,
) -> Diagnosis | str:
    try:
        return diagnose(generator, head(pair[0]), head(pair[1]), seed=seed)
    except ScmError as error:
        return str(error)


def _joined(
    found: Direction, again: Sequence[Direction], told: Diagnosis | str | None
) -> Direction:
    warnings = list(found.warnings)
    gauges = tuple(other.verdict for other in again)
    if any(other != found.verdict for other in gauges):
        kinds = {v in ARROWS for v in (found.verdict, *gauges)}
        what = "the arrow" if kinds == {True} else "the verdict"
        warnings.append(
            f"{what} flips when the latent is turned, though p(x) is the same: {', '.join(gauges)}"
        )
    if isinstance(told, str):
        warnings.append(f"no delta-tau: {told}")
    elif told is not None and told.explained:
        warnings.append(
            "the sign of delta-tau is what the steepness of the two heads predicts of any "
            "generator: it says nothing of causes"
        )
    return replace(
        found,
        diagnosis=told if isinstance(told, Diagnosis) else None,
        gauges=gauges,
        warnings=tuple(warnings),
    )


def _check(
    attributes: Sequence[Attribute], adjustment: str, fit: int, block: int, moved: int
) -> None:
    if len(attributes) < 2:
        raise ScmError(f"{len(attributes)} attributes were given; an audit needs at least two")
    for a in attributes:
        if a.kind == "multiclass":
            raise ScmError(
                f"{a.name!r} has {len(a.levels)} classes; audit one of them at a time: "
                f"attribute.level({a.levels[0]!r})"
            )
    if adjustment not in _ADJUST:
        raise ScmError(f"there is no adjustment {adjustment!r}; {nearest(adjustment, _ADJUST)}")
    if min(fit, block, moved) < 50:
        raise ScmError(
            f"fit={fit}, block={block}, moved={moved} were given; expected at least 50 of each"
        )


def _seed(seed: int, stream: int) -> int:
    """A seed of its own for another draw."""
    return seed + 1_000_003 * stream
