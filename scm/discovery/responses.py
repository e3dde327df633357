r"""What a declared latent move does to each attribute: responses, their limits, achieved doses.

The move of attribute i follows its own gradient: `steps` steps of
:math:`z \leftarrow z \pm \frac{d}{\text{steps}} \nabla s_i / |\nabla s_i|^2`, each of which would
change the score by d / steps if it were linear, no step longer than a cap. What is reported is
well defined, the effect of *this* move on *these* scores; it is no effect of `do(s_i)`, since
infinitely many moves change :math:`s_i` as much.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scm.discovery.attributes import Attribute
from scm.errors import ScmError
from scm.estimate import Estimate
from scm.mechanisms.latent import LatentGenerator

__all__ = ["Responses", "gradient_step", "responses"]

_LONGEST = 0.5  # length of a step, in units of the latent
_FEW = 100  # units that refitted heads move


@dataclass(frozen=True)
class Responses:
    """Responses of every attribute to the move of every one.

    Attributes:
        ratio: `R(i -> j)`, change of `s_j` over change of `s_i`, by the pair of names; in standard
            deviations of the scores over prior samples.
        dose: Change of `s_i` that its own move achieved, by name; half of the way from the move
            down to the move up, in its standard deviations.

    Example:
        >>> found = Responses({("a", "b"): Estimate(0.8, 0.1, 50)}, {"a": Estimate(0.5, 0.01, 50)})
        >>> print(found.ratio["a", "b"])
        0.80 +- 0.10 (n = 50)
    """

    ratio: Mapping[tuple[str, str], Estimate]
    dose: Mapping[str, Estimate]


def responses(
    generator: LatentGenerator,
    attributes: Sequence[Attribute],
    latents: Tensor,
    *,
    scales: Mapping[str, float],
    dose: float = 0.5,
    steps: int = 4,
    refits: Mapping[str, Sequence[Attribute]] | None = None,
) -> Responses:
    r"""Move units along each attribute's gradient and read all attributes.

    .. math:: R(i \to j) = \frac{E[s_j(z^+) - s_j(z^-)]}{E[s_i(z^+) - s_i(z^-)]}

    Its standard error joins that over units (delta method) and that over heads that were trained
    again on bootstrap samples, if they are given; these move the first 100 units, all the same.

    Args:
        generator: The generator, through which gradients must pass.
        attributes: Its attributes; of several classes, one of them: `attribute.level(...)`.
        latents: Latents of the units, `(n, *latent)`.
        scales: Standard deviation of each attribute's readings over prior samples.
        dose: Change that is aimed at, in standard deviations.
        steps: Steps of the move.
        refits: For an attribute, its heads trained on bootstrap samples; the k-th of all are used
            together.

    Raises:
        ScmError: If no gradient of an attribute reaches the latent, or there is but one refit.

    Example:
        >>> from scm.mechanisms import Real
        >>> generator = LatentGenerator(lambda z: z, 2, Real((2,)))
        >>> a = Attribute.from_measure("a", lambda x: x[:, 0])
        >>> b = Attribute.from_measure("b", lambda x: x[:, 0] + 0.1 * x[:, 1])
        >>> z = generator.draw(50)
        >>> found = responses(generator, [a, b], z, scales={"a": 1.0, "b": 1.0})
        >>> round(found.ratio["a", "b"].value, 2)
        1.0
    """
    found = [_moved(generator, attributes, latents, scales, dose, steps)]
    few = latents[:_FEW]
    again = {name: list(heads) for name, heads in (refits or {}).items() if len(heads)}
    for k in range(min((len(heads) for heads in again.values()), default=0)):
        heads = [again[a.name][k] if a.name in again else a for a in attributes]
        found.append(_moved(generator, heads, few, scales, dose, steps))
    if len(found) == 2:
        raise ScmError("one refit of each head was given, which has no spread; give none, or more")
    names, n = [a.name for a in attributes], len(latents)
    means = torch.stack([each.mean(-1) for each in found])  # [fits, moved, read]
    own = means.diagonal(dim1=1, dim2=2)[..., None]
    ratios = means / torch.where(own == 0, torch.nan, own)
    changes, ratio = found[0], ratios[0]
    left = changes - ratio[..., None] * changes.diagonal(dim1=0, dim2=1).mT[:, None]
    stderr = (left.var(-1) / n).sqrt() / own[0].abs()
    if len(found) > 1:
        stderr = (stderr**2 + ratios[1:].var(0)).sqrt()
    return Responses(
        {
            (a, b): Estimate(float(ratio[i, j]), float(stderr[i, j]), n)
            for i, a in enumerate(names)
            for j, b in enumerate(names)
            if i != j and ratio[i, j].isfinite()
        },
        {a: Estimate.mean(changes[i, i] / 2) for i, a in enumerate(names)},
    )


def _moved(
    generator: LatentGenerator,
    attributes: Sequence[Attribute],
    latents: Tensor,
    scales: Mapping[str, float],
    dose: float,
    steps: int,
) -> Tensor:
    """`s_j` after the move of `s_i` up minus that after its move down, `[i, j, n]`."""
    scale = latents.new_tensor([scales[a.name] for a in attributes])[:, None]
    found = []
    for attribute in attributes:
        aim = dose / steps * scales[attribute.name]
        first = gradient_step(generator, attribute, latents, aim)
        ends = []
        for sign in (1, -1):
            z = latents + sign * first
            for _ in range(steps - 1):
                z = z + sign * gradient_step(generator, attribute, z, aim)
            with torch.no_grad():
                data = generator.image(z)
                read = [a.read(z if a.space == "latent" else data) for a in attributes]
            ends.append(torch.stack(read) / scale)
        found.append((ends[0] - ends[1]).double())
    return torch.stack(found)


def gradient_step(
    generator: LatentGenerator, attribute: Attribute, z: Tensor, aim: float
) -> Tensor:
    r"""A step of latents `(n, *latent)`, `aim grad s / |grad s|^2`, no longer than 0.5.

    Args:
        generator: The generator, through which gradients must pass.
        attribute: What the step should change.
        z: Where it starts, `(n, *latent)`.
        aim: The change that is aimed at, in units of the readings.

    Raises:
        ScmError: If no gradient of the attribute reaches the latent.
    """
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        read = attribute.read(z if attribute.space == "latent" else generator.image(z))
        if not read.requires_grad:
            raise ScmError(
                f"no gradient of {attribute.name!r} reaches the latent, so there is no move to "
                "follow; train a head on what it reads: attribute.in_data(generator)"
            )
        (slope,) = torch.autograd.grad(read.sum(), z)
    flat = slope.flatten(1)
    step = aim * flat / flat.square().sum(1, keepdim=True).clamp(min=1e-12)
    length = step.norm(dim=1, keepdim=True)
    bounded: Tensor = (step * (_LONGEST / length.clamp(min=_LONGEST))).reshape(z.shape)
    return bounded
