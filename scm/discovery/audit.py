"""Auditing a generator: every pair of attributes at once, and the arrows that were earned."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from itertools import combinations
from typing import Literal

import torch

from scm.discovery.asymmetry import Asymmetry
from scm.discovery.attributes import Attribute
from scm.discovery.diagnosis import Diagnosis, diagnose, latent_heads, penalised
from scm.discovery.findings import Audit
from scm.discovery.gauge import Turn, standard_normal, turned
from scm.discovery.kept import Keep, at_once
from scm.discovery.pair_tests import ADJUSTMENTS, BLOCKS, Pair, PairTests, pair_tests
from scm.discovery.readings import units
from scm.discovery.responses import Responses, responses
from scm.discovery.verdicts import Direction, Rules, first_opinion, of_scales, verdict
from scm.errors import ScmError, nearest
from scm.mechanisms.latent import LatentGenerator
from scm.progress import progress_bar

__all__ = ["audit"]

Adjustment = Literal["holm", "benjamini-hochberg", "none"]

_HEADS, _UNITS, _TURN = 1, 2, 3  # what else is drawn than the scores, by their own seeds
Refits = Mapping[str, Sequence[Attribute]]


def audit(
    generator: LatentGenerator,
    attributes: Sequence[Attribute],
    *,
    refits: int | Refits = 5,
    fit: int = 40_000,
    block: int = 2_000,
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
    the latent is turned and the moves are repeated: p(x) is the same, so that a verdict that flips
    rested on the latent's geometry. No arrow can: it rests on p(c, e) alone.

    The additive-noise tests are not adjusted for the number of pairs: their p-values decide with
    the margins of `Rules`, and are no error rates of the verdict.

    Args:
        generator: The generator, through which gradients must pass.
        attributes: At least two; of several classes, one of them: `attribute.level(...)`.
        refits: How often each head that was trained here is trained again on a bootstrap sample,
            for the limits of responses; or, by an attribute's name, such heads of your own.
        fit: Samples that functions are fitted on; with fewer for a block of this size, tests see
            the fitted function's error, and reject the true direction too often.
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

    Source: the project's PAPERS.md, "CAGE, calibrated", with eight times the samples to fit on,
    two times those to test on, ten times the HSIC in place of three, and normal margins as a second
    opinion before an arrow is earned.

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
    least = BLOCKS / (permutations + 1)
    if least >= rules.fails:
        raise ScmError(
            f"permutations={permutations} was given, with which no p-value of additive noise is "
            f"below {least:.2g}, and an arrow needs one below {rules.fails:g}; give at least "
            f"{int(BLOCKS / rules.fails)}"
        )
    names = [a.name for a in attributes]
    turns = gauges if standard_normal(generator) else 0
    sizes = {"fit": fit, "block": block, "permutations": permutations}
    notes: tuple[str, ...] = (
        () if turns == gauges else ("no gauge check: the latent is not standard normal",)
    )
    again = _refitted(attributes, refits, seed)
    fixed = [a.name for a in attributes if a.trained and a.name not in again]
    if fixed:
        were = f"{', '.join(fixed)} {'was' if len(fixed) == 1 else 'were'}"
        notes += (f"limits of responses leave out how {were} trained: nothing was refitted",)
    pairs = list(combinations(names, 2))
    with progress_bar("audit", 2 + turns + diagnosis * len(pairs), "steps", progress) as advance:
        todo = partial(pair_tests, generator, attributes, adjustment, rules, sizes, seed)
        tests = keep("tests", todo)
        advance("readings tested")
        moves = keep(
            "moves", partial(_moved, generator, attributes, again, tests.scales, moved, seed)
        )
        first = _weighed(attributes, tests, moves, rules)
        advance("latent moved")
        others = []
        width = torch.Size(generator.latent).numel()
        for k in range(turns):
            turn = Turn(width, seed=seed + k).to(generator.device)
            behind, same = turned(generator, attributes, turn)
            heads = {n: turned(generator, each, turn)[1] for n, each in again.items()}
            own = _seed(seed, _TURN + k)
            moves = keep(
                f"moves-turned-{k}", partial(_moved, behind, same, heads, tests.scales, moved, own)
            )
            others.append(_weighed(attributes, tests, moves, rules))
            advance("latent turned")
        found: dict[Pair, Direction] = {}
        own = _seed(seed, _HEADS)
        heads_of = cache(lambda: latent_heads(generator, attributes, seed=own))
        variants_of = cache(penalised)
        for pair in pairs:
            told: Diagnosis | str | None = None
            if diagnosis:
                ask = partial(_diagnosed, generator, heads_of, variants_of, pair, own)
                told = keep(f"diagnosis-{len(found)}", ask)
                advance(" ".join(pair))
            found[pair] = _joined(first[pair], [each[pair] for each in others], told)
    return Audit(tuple(names), found, adjustment, seed, notes)


def _refitted(
    attributes: Sequence[Attribute], refits: int | Refits, seed: int
) -> dict[str, Sequence[Attribute]]:
    if not isinstance(refits, int):
        return dict(refits)
    return {
        a.name: [replace(a.refit(seed + k), name=a.name) for k in range(refits)]
        for a in attributes
        if a.refit is not None and refits > 0
    }


def _moved(
    generator: LatentGenerator,
    attributes: Sequence[Attribute],
    refits: Refits,
    scales: Mapping[str, float],
    n: int,
    seed: int,
) -> Responses:
    """Step 4."""
    latents = units(generator, n, _seed(seed, _UNITS))
    return responses(generator, attributes, latents, scales=scales, refits=refits)


def _weighed(
    attributes: Sequence[Attribute], tests: PairTests, moves: Responses, rules: Rules
) -> dict[Pair, Direction]:
    """Step 5."""
    found = {}
    for pair in combinations(attributes, 2):
        c, e = (a.name for a in pair)
        final, model = tests.adjusted[c, e], tests.models.get((c, e))
        both = (moves.ratio.get((c, e)), moves.ratio.get((e, c)))
        told = verdict(final, model, both, rules)
        doses = (moves.dose[c], moves.dose[e])
        warnings = _warnings(pair, moves, final, model, rules)
        found[c, e] = Direction(
            c, e, told, tests.p[c, e], final, model, *both, doses, warnings=warnings
        )
    return found


def _warnings(
    pair: Sequence[Attribute],
    moves: Responses,
    association: float,
    asymmetry: Asymmetry | None,
    rules: Rules,
) -> tuple[str, ...]:
    found = []
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
        arrow = first_opinion(asymmetry, rules)
        if arrow is not None and of_scales(asymmetry, rules):
            found.append(
                "with normal margins an additive-noise model fits both ways: a direction would "
                "rest on the scales that the attributes are measured on"
            )
        elif all(fits):
            found.append("an additive-noise model fits both ways, as of linear-Gaussian pairs")
        elif not any(fits):
            found.append(
                "no additive-noise model fits: a hidden common cause, or noise that is not additive"
            )
    return tuple(found)


def _diagnosed(
    generator: LatentGenerator,
    heads: Callable[[], Mapping[str, Attribute | str]],
    variants: Callable[[Attribute], Sequence[Attribute]],
    pair: tuple[str, str],
    seed: int,
) -> Diagnosis | str:
    cause, effect = (heads()[name] for name in pair)
    if isinstance(cause, str) or isinstance(effect, str):
        return cause if isinstance(cause, str) else str(effect)
    both = (variants(cause), variants(effect))
    return diagnose(generator, cause, effect, variants=both, seed=seed)


def _joined(
    found: Direction, again: Sequence[Direction], told: Diagnosis | str | None
) -> Direction:
    warnings = list(found.warnings)
    gauges = tuple(other.verdict for other in again)
    if any(other != found.verdict for other in gauges):
        warnings.append(
            "the verdict flips when the latent is turned, though p(x) is the same: "
            f"{', '.join(gauges)}"
        )
    if isinstance(told, str):
        warnings.append(f"no delta-tau: {told}")
    elif told is not None:
        if told.explained:
            warnings.append(
                "the sign of delta-tau is what the steepness of the two heads predicts of any "
                "generator: it says nothing of causes"
            )
        if told.turns:
            warnings.append("other regularisation of the two heads turns the sign of delta-tau")
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
    if adjustment not in ADJUSTMENTS:
        raise ScmError(f"there is no adjustment {adjustment!r}; {nearest(adjustment, ADJUSTMENTS)}")
    if min(fit, block, moved) < 50:
        raise ScmError(
            f"fit={fit}, block={block}, moved={moved} were given; expected at least 50 of each"
        )


def _seed(seed: int, stream: int) -> int:
    """A seed of its own for another draw."""
    return seed + 1_000_003 * stream
