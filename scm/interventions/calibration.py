"""Step sizes by what they do to the image, in place of ranges chosen by eye."""

from __future__ import annotations

import math
import warnings
from typing import Any

from scm.errors import InterventionError
from scm.interventions.directions import PrincipalDirections
from scm.interventions.steering import SupportWarning, coordinates, steerable
from scm.progress import progress_bar

__all__ = ["calibrated", "farthest", "share_beyond"]


def calibrated(
    generator: Any,
    directions: PrincipalDirections,
    effect: float = 0.1,
    *,
    at: Any = "latent",
    n: int = 16,
    limit: float | None = None,
    halvings: int = 8,
    seed: int = 0,
    progress: bool = True,
    **options: Any,
) -> PrincipalDirections:
    r"""The same directions with reference ranges [-s, s] of a common effect on the image.

    s solves, for each direction by itself, :math:`\mathrm{E} |X_{do(Z=\pm s)} - X_{do(Z=0)}| =
    \text{effect}` (mean over units, pixels and both signs, as a share of the pixels' range), by
    halving an interval of log s; the effect is taken to grow with s.

    Args:
        generator: As for `generator_of`.
        directions: Directions of one of its layers.
        effect: Mean change of a pixel, as a share of the pixels' range.
        at: As for `steerable`.
        n: Number of units that it is measured on.
        limit: Largest step; by default the one that 1% of the prior is as far out as (`farthest`).
        halvings: Number of halvings of an interval of a factor of 1,000.
        seed: Seed of the units.
        progress: Show a progress bar.
        **options: As for `steerable`.

    Raises:
        InterventionError: If the effect is no share.

    Warns:
        SupportWarning: If the largest step has less effect than that, along some direction;
            its range is then [-limit, limit].

    Example:
        >>> import torch
        >>> class Painter(torch.nn.Module):
        ...     def forward(self, h, y):
        ...         return (h[:, :1] / 10).clamp(-1, 1)[..., None, None].expand(-1, 3, 4, 4)
        >>> known = {"width": 2, "classes": 10}
        >>> axes = PrincipalDirections.axes(Painter(), **known)[:1]
        >>> calibrated(Painter(), axes, 0.1, **known).ranges
        tensor([[-2.0..., 2.0...]])
    """
    if not 0 < effect < 1:
        raise InterventionError(
            f"effect={effect} was given; expected the mean change of a pixel as a share of the "
            "pixels' range, above 0 and below 1"
        )
    model = steerable(generator, directions, at=at, **options)
    low, high = model.mechanisms["X"].type.range  # type: ignore[attr-defined]
    _, readers = coordinates(model)
    most = farthest(model.mechanisms["H"].type.width) if limit is None else limit
    ranges: dict[int, tuple[float, float]] = {}
    short: list[str] = []

    def change(name: str, step: float) -> float:
        swept = model.sweep({name: [0.0, step, -step]}).sample(n, seed=seed)["X"]
        return float((swept[1:] - swept[:1]).abs().mean() / (high - low))

    with progress_bar("step sizes", len(readers), "directions", progress) as advance:
        for j in range(len(readers)):
            name = f"Z{j + 1}"
            below, above = most / 1000, most
            found = change(name, above)
            if found < effect:
                short.append(f"{name} ({found:.2g})")
            else:
                for _ in range(halvings):
                    middle = (below * above) ** 0.5
                    below, above = (
                        (middle, above) if change(name, middle) < effect else (below, middle)
                    )
            ranges[j] = (-above, above)
            advance()
    if short:
        warnings.warn(
            f"an effect of {effect} is out of reach within {most:.3g} standard deviations along "
            f"{', '.join(short)}: the effect there is in brackets; ask for less, or give limit=",
            SupportWarning,
            stacklevel=2,
        )
    return directions.ranged(ranges)


def farthest(width: int, share: float = 0.01) -> float:
    r"""The step s along one direction that a share of the prior is as far out as.

    :math:`s^2 = q_{1 - share}(\chi^2_{width}) - q_{1/2}(\chi^2_{width - 1})`: then the median of
    `|h|^2` under `do(Z=s)` is the prior's quantile.

    Example:
        >>> round(farthest(128), 2), round(farthest(2), 2)
        (6.46, 2.96)
    """
    from scipy.stats import chi2

    rest = float(chi2.median(width - 1)) if width > 1 else 0.0
    return math.sqrt(chi2.ppf(1 - share, width) - rest)


def share_beyond(width: int, step: float) -> float:
    r"""The share of the prior as far out as the median latent under `do(Z=step)`.

    :math:`P(\chi^2_{width} \ge s^2 + q_{1/2}(\chi^2_{width - 1}))`, the inverse of `farthest`.

    Example:
        >>> round(share_beyond(128, 0.0), 2), f"{share_beyond(128, 12.0):.0e}"
        (0.53, '3e-12')
    """
    from scipy.stats import chi2

    rest = float(chi2.median(width - 1)) if width > 1 else 0.0
    return float(chi2.sf(step**2 + rest, width))
