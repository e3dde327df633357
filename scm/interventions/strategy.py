"""Intervention strategies: which nuisances of a generator are set, and how far.

A strategy acts on a steerable model (`H, Y -> X; H => Z1, ..., Zk`, see `steerable`) by
`do(Zj=s)`, with j and s drawn from a stream of their own, whatever the class: that is what
makes the intervened nuisances independent of the label. Theorem 3 says to choose the strategy
of the largest log P(x|z); see `scm.estimators.log_density` for it and for what the theorem leaves
out.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from scm.errors import InterventionError
from scm.estimate import Estimate
from scm.estimators.image_density import log_density
from scm.interventions.steering import Coordinate, SupportWarning, coordinates
from scm.mechanisms.biggan import truncated
from scm.model import SCM
from scm.progress import progress_bar
from scm.worlds.samples import Samples

__all__ = [
    "STRATEGIES",
    "Choice",
    "SteeredImages",
    "Strategy",
    "ablation",
    "choose",
    "realism",
]


@dataclass(frozen=True)
class Strategy:
    r"""Which nuisances are set, and how far: GenInt's t, k and s.

    An exemplar h is drawn; some of the directions are drawn for it; along each the component
    about the mean is removed and a step added, :math:`h^* = h + (s' - z_j) \sigma_j r_j`, with
    s' uniform on `scale` times the direction's reference range (`PrincipalDirections.ranges`).
    Nothing of it depends on the class.

    Attributes:
        truncation: t; exemplars are normal, truncated at 2 and scaled by t. None: not at all.
            (A BigGAN's batch norms keep the statistics of its own `truncation`.)
        directions: The first k directions, or these ones (from 0); 0 for no intervention.
        scale: s, relative to the reference ranges, which are [-1, 1] standard deviations at first.
        together: How many directions are set in one image; the paper's ImageNet strategies set
            one, its coloured MNIST both latents.
        turns: Number of (sets of) directions that one exemplar is used for.
        steps: Number of images for each of them.

    Raises:
        InterventionError: If a number is out of its range.

    Source: GenInt sections 4.2 and 9.

    Example:
        >>> STRATEGIES["weak"]
        Strategy(truncation=0.5, directions=20, scale=5.0, together=1, turns=4, steps=10)
    """

    truncation: float | None = None
    directions: int | tuple[int, ...] = 0
    scale: float = 1.0
    together: int = 1
    turns: int = 1
    steps: int = 1

    def __post_init__(self) -> None:
        listed = not isinstance(self.directions, int)
        count = len(self.chosen)
        if listed and (len(set(self.chosen)) < count or min(self.chosen, default=0) < 0):
            raise InterventionError(
                f"directions={self.directions} were given; expected a number, or "
                "distinct ones from 0"
            )
        if (self.truncation is not None and not self.truncation > 0) or not self.scale > 0:
            raise InterventionError(
                f"truncation={self.truncation}, scale={self.scale} were given; expected positive "
                "numbers (truncation=None for none)"
            )
        if min(self.together, self.turns, self.steps) < 1:
            raise InterventionError(
                f"together={self.together}, turns={self.turns}, steps={self.steps} were given; "
                "expected 1 or more"
            )
        if count and self.together * self.turns > count:
            raise InterventionError(
                f"{self.turns} turns of {self.together} directions each were asked for, out of "
                f"{count}; expected no more than there are"
            )

    @property
    def chosen(self) -> tuple[int, ...]:
        """The directions, from 0."""
        if isinstance(self.directions, int):
            return tuple(range(self.directions))
        return tuple(self.directions)

    def sample(
        self,
        model: SCM,
        n: int,
        seed: int = 0,
        labels: Tensor | Sequence[int] | None = None,
        exemplars: Tensor | None = None,
    ) -> Samples:
        """Draw images under the strategy.

        The same seed has the same exemplars under every strategy that shares them alike, and
        without intervention.

        Args:
            model: A model that `steerable` made.
            n: Number of images.
            seed: Seed of exemplars, directions and steps.
            labels: Classes `(n,)`; drawn uniformly for each exemplar by default.
            exemplars: Latents `(n, width)` in place of the prior's, such as an encoder finds for
                images of the labels; where images share an exemplar, the first one's is used.

        Returns:
            Samples with the images "X", the labels "Y", the latent "H" and the nuisances
            "Z1", ... as they are after the intervention.

        Raises:
            InterventionError: If the model has fewer directions or no such class.

        Warns:
            SupportWarning: If less than 1% of the prior is as far out as the median of what was
                made (see `realism`).
        """
        micro, readers = coordinates(model)
        beyond = [j for j in self.chosen if j >= len(readers)]
        if beyond:
            raise InterventionError(
                f"{self} was given for a model with {len(readers)} nuisances; ask for as many "
                "directions as `steerable` is to have, or for fewer"
            )
        if n < 1:
            raise InterventionError(f"n={n} images were asked for; expected 1 or more")
        share = torch.arange(n) // (self.turns * self.steps) * (self.turns * self.steps)
        shared = self.turns * self.steps > 1
        acts: dict[str, Any] = {}
        if shared or self.truncation is not None or exemplars is not None:
            acts["H"] = _exemplars(self.truncation, share, exemplars)
        if self.chosen:
            setting = self._setting(readers, n, seed)
            acts[micro] = _both(acts.get(micro), setting)
        if labels is not None:
            acts["Y"] = torch.as_tensor(labels)
        elif shared:
            acts["Y"] = lambda natural: natural[..., share.to(natural.device)]
        view: Any = model.do(acts) if acts else model
        units: Samples = view.sample(n, seed=seed)
        if self.chosen and (found := realism(units, model)) < 0.01:
            warnings.warn(
                f"{self} leaves the generator's support: {100 * found:.2g}% of the prior is as far "
                "from its mean as the median of what was made; lower scale=, set fewer directions "
                "together, or look at the images",
                SupportWarning,
                stacklevel=2,
            )
        return units

    def _setting(self, readers: Sequence[Coordinate], n: int, seed: int) -> _Setting:
        """Which coordinates of which image are set, and to what."""
        chosen = [readers[j] for j in self.chosen]
        device, k = chosen[0].direction.device, len(chosen)
        chance = torch.Generator(device).manual_seed(_stream(seed))
        exemplars = -(-n // (self.turns * self.steps))
        order = torch.rand(exemplars, k, generator=chance, device=device).argsort(1)
        order = order[:, : self.turns * self.together].reshape(-1, self.together)
        picked = order.repeat_interleave(self.steps, 0)[:n]
        low, high = torch.stack([reader.range for reader in chosen], 1)[:, picked]
        share = torch.rand(n, self.together, generator=chance, device=device)
        steps = self.scale * (low + (high - low) * share)
        mask = torch.zeros(n, k, device=device).scatter_(1, picked, 1.0)
        return _Setting(chosen, mask, torch.zeros(n, k, device=device).scatter_(1, picked, steps))


class SteeredImages:
    """Endless images under a strategy with their labels, for `Stream`; made when they are needed.

    Args:
        strategy: The strategy; `Strategy(0.2)` is GenInt's baseline "GAN augmentation".
        model: A model that `steerable` made.
        size: Images made at a time.
        seed: Seed of them.

    Example:
        >>> from torch import nn
        >>> from scm.interventions import PrincipalDirections, steerable
        >>> class Painter(nn.Module):
        ...     def forward(self, h, y):
        ...         return (h[:, :1] + y[:, None]).tanh()[..., None, None].expand(-1, 3, 4, 4)
        >>> known = {"width": 2, "classes": 10}
        >>> model = steerable(Painter(), PrincipalDirections.axes(Painter(), **known), **known)
        >>> images, labels = next(iter(SteeredImages(Strategy(1.0, 1, 2.0), model, size=4)))
        >>> images.shape, labels.shape
        (torch.Size([4, 3, 4, 4]), torch.Size([4]))
    """

    def __init__(self, strategy: Strategy, model: SCM, size: int = 256, seed: int = 0) -> None:
        self.strategy, self.model, self.size, self.seed = strategy, model, size, seed

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        generator = torch.Generator().manual_seed(self.seed)
        while True:
            seed = int(torch.randint(2**62, (), generator=generator))
            units = self.strategy.sample(self.model, self.size, seed)
            yield units["X"], units["Y"]


STRATEGIES: Mapping[str, Strategy] = MappingProxyType(
    {
        "none": Strategy(0.5),
        "weak": Strategy(0.5, 20, 5.0, turns=4, steps=10),
        "medium": Strategy(0.5, 20, 7.0, turns=2, steps=2),
        "strong": Strategy(0.5, 20, 9.0, turns=2),
    }
)
"""The strategies of GenInt's figure 5, of 2,000 images a class, as section 9.A defines them."""


class _Setting:
    """Sets some coordinates of each row: an act on the micro node."""

    def __init__(self, readers: Sequence[Coordinate], mask: Tensor, steps: Tensor) -> None:
        self.rows = torch.stack([reader.direction for reader in readers])
        self.units = torch.stack([reader.unit for reader in readers])
        self.centre, self.mask, self.steps = readers[0].centre, mask, steps

    def __call__(self, natural: Tensor) -> Tensor:
        reading = (natural - self.centre) @ self.rows.T / self.units
        return natural + ((self.steps - reading) * self.mask * self.units) @ self.rows


def _exemplars(
    truncation: float | None, share: Tensor, given: Tensor | None
) -> Callable[[Tensor], Tensor]:
    def act(natural: Tensor) -> Tensor:
        latent = natural if given is None else given.to(natural).expand_as(natural)
        latent = latent[..., share.to(natural.device), :]
        return latent if truncation is None else truncated(latent, truncation)

    return act


def _both(
    first: Callable[[Tensor], Tensor] | None, second: Callable[[Tensor], Tensor]
) -> Callable[[Tensor], Tensor]:
    return lambda natural: second(natural if first is None else first(natural))


def _stream(seed: int) -> int:
    """A seed of its own for what a strategy draws."""
    return (seed * 0x9E3779B97F4A7C15 + 0x5743) % 2**63


def realism(units: Samples, model: SCM) -> float:
    r"""Share of the prior that is as far out as the median unit, :math:`P(\chi^2 \ge d^2)`.

    `d^2 = |h|^2` with the latent's width as degrees of freedom; where the nuisances are a
    layer's, the sum of their squares, with their number (as if they were normal). One half is
    what the prior itself has.

    Args:
        units: Samples of the model, or of an intervention on it.
        model: A model that `steerable` made.

    Raises:
        InterventionError: If the model is not one that `steerable` made.

    Example:
        >>> from torch import nn
        >>> from scm.interventions import PrincipalDirections, steerable
        >>> class Painter(nn.Module):
        ...     def forward(self, h, y):
        ...         return (h[:, :1] + y[:, None]).tanh()[..., None, None].expand(-1, 3, 4, 4)
        >>> known = {"width": 2, "classes": 10}
        >>> model = steerable(Painter(), PrincipalDirections.axes(Painter(), **known), **known)

        >>> far = model.do(Z1=6.0).sample(200, seed=0)
        >>> realism(far, model) < 0.01 < realism(model.sample(200, seed=0), model)
        True
    """
    micro, readers = coordinates(model)
    if micro == "H":
        values = units["H"]
    else:
        values = torch.stack([units[f"Z{j + 1}"] for j in range(len(readers))], -1)
    squares = values.double().square().sum(-1).flatten().median()
    freedom = torch.tensor(values.shape[-1] / 2, dtype=torch.float64, device=squares.device)
    return float(torch.special.gammaincc(freedom, squares / 2))


@dataclass(frozen=True)
class Choice:
    """The strategy of the largest log P(x|z), and the figures of all.

    Attributes:
        best: The strategy.
        scores: Mean log P(x|z) over the query images, by strategy.

    Example:
        >>> scores = {Strategy(directions=k): Estimate(-9.0 - k, 0.1, 50) for k in (1, 2)}
        >>> best = max(scores, key=lambda strategy: scores[strategy].value)
        >>> Choice(best, scores).best.directions
        1
    """

    best: Strategy
    scores: Mapping[Strategy, Estimate]


def choose(
    strategies: Iterable[Strategy],
    model: SCM | Callable[[Strategy], SCM],
    real: Tensor,
    *,
    features: Callable[[Tensor], Tensor] | None = None,
    n: int = 2000,
    seed: int = 0,
    progress: bool = True,
    **options: Any,
) -> Choice:
    """Choose the strategy whose images make the real ones most likely, by log P(x|z).

    Args:
        strategies: What to choose from.
        model: A steerable model, or a function of the strategy that gives one.
        real: Query images `(m, channels, height, width)`, held out. If their nuisances are
            confounded with their labels, the weakest strategy may well win.
        features: The feature extractor, as for `log_density`.
        n: Number of images generated under each strategy.
        seed: Seed of them.
        progress: Show a progress bar.
        **options: As for `log_density`: `form`, `weight`, `nearest`, ...

    Raises:
        InterventionError: If there is no strategy.

    Source: GenInt, Theorem 3 and section 5.4.

    Example:
        >>> from torch import nn
        >>> from scm.interventions import PrincipalDirections, steerable
        >>> class Painter(nn.Module):
        ...     def forward(self, h, y):
        ...         return (h[:, :1] + y[:, None]).tanh()[..., None, None].expand(-1, 3, 4, 4)
        >>> known = {"width": 2, "classes": 10}
        >>> model = steerable(Painter(), PrincipalDirections.axes(Painter(), **known), **known)

        >>> found = choose(
        ...     [Strategy(1.0, 1, s) for s in (0.1, 3.0)], model, model.sample(20, seed=1)["X"],
        ...     features=lambda images: images.flatten(1), n=50, progress=False,
        ... )
        >>> found.best in found.scores, len(found.scores)
        (True, 2)
    """
    listed = list(dict.fromkeys(strategies))
    if not listed:
        raise InterventionError("there is no strategy to choose from; give at least one")
    scores: dict[Strategy, Estimate] = {}
    with progress_bar("log P(x|z)", len(listed), "strategies", progress) as advance:
        for strategy in listed:
            steered = model if isinstance(model, SCM) else model(strategy)
            made = strategy.sample(steered, n, seed)["X"]
            scores[strategy] = log_density(real, made, features, **options)
            advance(f"{scores[strategy].value:.4g}")
    return Choice(max(listed, key=lambda s: scores[s].value), scores)


def ablation(
    base: Strategy,
    model: SCM | Callable[[Strategy], SCM],
    real: Tensor,
    *,
    truncation: Sequence[float] = (0.125, 0.25, 0.5, 0.75, 1.0),
    directions: Sequence[int] = (1, 10, 20, 40, 60, 80),
    scale: Sequence[float] = (0.1, 0.4, 0.7, 1.0, 1.3),
    **options: Any,
) -> dict[str, dict[float, Estimate]]:
    """The mean log P(x|z) over each of t, k and s, the others as in `base`: the curves of figure 6.

    Args:
        base: The strategy around which to look; the paper's is t = 1, k = 60, s = 100%.
        model: As for `choose`.
        real: As for `choose`.
        truncation: Values of t.
        directions: Values of k.
        scale: Values of s.
        **options: As for `choose`.

    Source: GenInt section 9.B.

    Example:
        >>> from torch import nn
        >>> from scm.interventions import PrincipalDirections, steerable
        >>> class Painter(nn.Module):
        ...     def forward(self, h, y):
        ...         return (h[:, :1] + y[:, None]).tanh()[..., None, None].expand(-1, 3, 4, 4)
        >>> known = {"width": 2, "classes": 10}
        >>> model = steerable(Painter(), PrincipalDirections.axes(Painter(), **known), **known)

        >>> real = model.sample(20, seed=1)["X"]
        >>> curves = ablation(
        ...     Strategy(1.0, 1, 2.0), model, real,
        ...     truncation=(0.5, 1.0), directions=(1,), scale=(1.0,),
        ...     features=lambda images: images.flatten(1), n=50, progress=False,
        ... )
        >>> list(curves["truncation"])
        [0.5, 1.0]
    """
    curves: dict[str, dict[float, Estimate]] = {}
    for axis, values in (
        ("truncation", truncation),
        ("directions", directions),
        ("scale", scale),
    ):
        tried = {value: replace(base, **{axis: value}) for value in values}  # type: ignore[arg-type]
        found = choose(tried.values(), model, real, **options).scores
        curves[axis] = {value: found[strategy] for value, strategy in tried.items()}
    return curves
