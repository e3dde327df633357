"""A generator and its attributes as a causal model, and what the attributes read in its units."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor

from scm.discovery.attributes import Attribute
from scm.errors import ScmError
from scm.mechanisms.latent import LatentGenerator
from scm.model import SCM

__all__ = ["latent_model", "readings", "units"]

_LEAST = 30
_COLLINEAR = 1 - 1e-6


def latent_model(generator: LatentGenerator, attributes: Sequence[Attribute]) -> SCM:
    """The graph of an audit, `Z -> X; Z => A, B; X => C`: attributes are macro-variables.

    Args:
        generator: The generator.
        attributes: Its attributes, of the latent Z or the data X, by what they read.

    Raises:
        ScmError: If two attributes have one name, or one is called Z or X.

    Example:
        >>> from scm.mechanisms import Real
        >>> generator = LatentGenerator(torch.nn.Linear(2, 3), 2, Real((3,)))
        >>> ink = Attribute.from_measure("ink", lambda x: x.mean(1))
        >>> latent_model(generator, [ink]).graph
        CausalGraph('Z -> X; X => ink')
    """
    _named(attributes)
    spec = ["Z -> X"]
    spec += [f'{"Z" if a.space == "latent" else "X"} => "{a.name}"' for a in attributes]
    macros = {a.name: a.macro() for a in attributes}
    return SCM("; ".join(spec), {"Z": generator.prior, "X": generator, **macros})


def units(generator: LatentGenerator, n: int, seed: int = 0) -> Tensor:
    """Latents of the n units that every audit model of the generator draws with this seed.

    Example:
        >>> from scm.mechanisms import Real
        >>> generator = LatentGenerator(lambda z: z, 2, Real((2,)))
        >>> torch.equal(units(generator, 3), units(generator, 5)[:3])
        True
    """
    drawn: Tensor = SCM("Z", Z=generator.prior).sample(n, seed=seed)["Z"]
    return drawn


def readings(
    generator: LatentGenerator, attributes: Sequence[Attribute], latents: Tensor, batch: int = 512
) -> dict[str, Tensor]:
    """What each attribute reads of units: P(1) or a number `(n,)`, or probabilities `(n, K)`.

    Args:
        generator: The generator.
        attributes: Its attributes.
        latents: Latents of the units, `(n, *latent)`.
        batch: Units generated at once.

    Raises:
        ScmError: If the generator is not what it was, as where it was put back into training mode;
            two attributes have one name; an attribute returns another shape or NaN, is
            constant, or has a class with fewer than 30 units; or two attributes are collinear.

    Example:
        >>> from scm.mechanisms import Real
        >>> generator = LatentGenerator(lambda z: z, 2, Real((2,)))
        >>> z = generator.draw(500)
        >>> a = Attribute.from_labels("A", generator, z[:, 0] > 0, latents=z)
        >>> b = Attribute.from_labels("B", generator, z[:, 0] + z[:, 1] > 0, latents=z)

        >>> found = readings(generator, [a, b], units(generator, 200))
        >>> found["A"].shape, bool(found["A"].min() >= 0)
        (torch.Size([200]), True)
    """
    _named(attributes)
    parts: dict[str, list[Tensor]] = {a.name: [] for a in attributes}
    generates = any(a.space == "data" for a in attributes)
    if generates:
        generator.check()
    with torch.no_grad():
        for rows in latents.split(batch):
            data = generator.generate(rows, batch) if generates else rows
            for a in attributes:
                parts[a.name].append(_read(a, rows if a.space == "latent" else data))
    found = {name: torch.cat(each) for name, each in parts.items()}
    for a in attributes:
        _varied(a, found[a.name])
    _distinct({a.name: found[a.name] for a in attributes if a.kind != "multiclass"})
    return found


def _named(attributes: Sequence[Attribute]) -> None:
    counts = Counter(a.name for a in attributes)
    twice = [name for name, n in counts.items() if n > 1]
    taken = sorted({"Z", "X"} & counts.keys())
    if twice or taken:
        raise ScmError(
            f"the attributes {list(counts)} were given; "
            + (f"{twice} is there more than once" if twice else f"{taken} is the latent or data")
            + ": give each a name of its own"
        )


def _read(attribute: Attribute, rows: Tensor) -> Tensor:
    made = attribute.read(rows)
    levels = (len(attribute.levels),) if attribute.kind == "multiclass" else ()
    if made.shape == (len(rows), 1) and not levels:
        made = made.squeeze(1)
    if made.shape != (len(rows), *levels):
        raise ScmError(
            f"the attribute {attribute.name!r} returned {tuple(made.shape)} for {len(rows)} "
            f"units; expected {(len(rows), *levels)}"
        )
    bad = ~made.reshape(len(rows), -1).isfinite().all(1)
    if bad.any():
        raise ScmError(
            f"the attribute {attribute.name!r} is NaN or infinite for {int(bad.sum())} of "
            f"{len(rows)} units; give it a value there, or leave those units out"
        )
    return made


def _varied(attribute: Attribute, found: Tensor) -> None:
    name, n = attribute.name, len(found)
    if float((found.amax(0) - found.amin(0)).max()) <= 1e-7 * (1 + float(found.abs().max())):
        raise ScmError(
            f"the attribute {name!r} is constant over {n} samples of the generator: it never "
            "changes, so there is nothing to audit"
        )
    if attribute.kind == "continuous":
        return
    codes = found.argmax(1) if found.ndim == 2 else (found > 0.5).long()
    counts = torch.bincount(codes, minlength=max(2, len(attribute.levels))).tolist()
    few = [f"{level!r}: {k}" for level, k in zip(attribute.levels, counts, strict=False)]
    if min(counts) < _LEAST:
        raise ScmError(
            f"among {n} samples of the generator a class of {name!r} has fewer than {_LEAST} "
            f"({', '.join(few)}); draw more, or choose an attribute that it makes"
        )


def _distinct(found: dict[str, Tensor]) -> None:
    names = list(found)
    if len(names) < 2:
        return
    columns = torch.stack([found[name].double() for name in names])
    together = torch.corrcoef(columns).abs() - torch.eye(len(names), dtype=torch.float64)
    row, column = divmod(int(together.argmax()), len(names))
    if float(together.max()) > _COLLINEAR:
        raise ScmError(
            f"the attributes {names[row]!r} and {names[column]!r} are perfectly collinear "
            f"(correlation {together.max():.8f}): they are one attribute; leave one out"
        )
