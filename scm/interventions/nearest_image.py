"""The nearest image of another class: what a manipulator searches for, many queries at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from scm.interventions.lbfgs import minimise
from scm.interventions.metrics import L1, L2, Metric

__all__ = ["Manipulated", "Objective", "Query", "Values", "minimised", "nearest_images"]

Values = Literal["grey", "binary"]

_ATTEMPTS = 3
_SHARPER = 4.0
_MOST_AT_ONCE = 1024
_SMALLEST_CHANGES = (0.02, 0.05, 0.1)
_SHORTLIST = 16


@dataclass(frozen=True)
class Manipulated:
    """Images after a manipulation, and what became of each.

    Attributes:
        images: The images `(n, *shape)`; the original where the target was not reached.
        reached: Whether the network reads the target, `(n,)` of bool.
        kept: Whether S reads as before, `(n,)` of bool; None where nothing was to be kept.
        distance: Distance `(n,)` from the original.
        probability: Probability `(n,)` of the target class.

    Example:
        >>> found = Manipulated(
        ...     torch.zeros(2, 1, 4, 4), reached=torch.tensor([True, False]), kept=None,
        ...     distance=torch.tensor([1.5, 0.0]), probability=torch.tensor([0.9, 0.2]),
        ... )
        >>> found.images[found.reached].shape
        torch.Size([1, 1, 4, 4])
    """

    images: Tensor
    reached: Tensor
    kept: Tensor | None
    distance: Tensor
    probability: Tensor


@dataclass(frozen=True)
class Objective:
    """`(1 - alpha) (1 - P_c(j)) + alpha d(i, j) + keep_weight |P_S(j) - P_S(i)| / 2`.

    The first term is the paper's `|C(j) - c|` for any number of classes. `P_c` is the mean
    probability of several networks: what fools one of them need not fool the others.

    Args:
        networks: Logits `(n, classes)` of images, one network or more.
        metric: The distance d.
        alpha: Weight of the distance, between 0 and 1.
        keep: Reader of S: logits `(n, levels)`, or codes `(n,)`, which have no gradient.
        keep_weight: Weight of a change of S.
        temperature: What logits are divided by. Networks are too sure of images made to please
            them; above 1, a manipulation goes further into its class.

    Source: Chalupka, Perona and Eberhardt (2015), algorithm 2, line 6.

    Example:
        >>> brightness = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
        >>> Objective([brightness]).log_probabilities(torch.zeros(3, 1, 2, 2)).shape
        torch.Size([3, 2])
    """

    networks: Sequence[Callable[[Tensor], Tensor]]
    metric: Metric = L2()  # noqa: RUF009
    alpha: float = 0.5
    keep: Callable[[Tensor], Tensor] | None = None
    keep_weight: float = 1.0
    temperature: float = 1.0

    def log_probabilities(self, images: Tensor) -> Tensor:
        """Log of the networks' mean probabilities, `(n, classes)`."""
        each = torch.stack(
            [F.log_softmax(network(images) / self.temperature, -1) for network in self.networks]
        )
        return each.logsumexp(0) - math.log(len(each))

    def reading(self, images: Tensor) -> Tensor:
        """Probabilities of the levels of S, `(n, levels)`, or its codes as `(n, 1)`."""
        assert self.keep is not None
        out = self.keep(images)
        return out.softmax(-1) if out.ndim == 2 and out.shape[-1] > 1 else out.reshape(-1, 1)

    def __call__(self, images: Tensor, query: Query, surprise: bool = False) -> Tensor:
        """Values `(n,)`, the distance included."""
        return self.class_term(images, query, surprise) + self.alpha * self.metric(
            query.original, images
        )

    def class_term(self, images: Tensor, query: Query, surprise: bool = False) -> Tensor:
        """Values `(n,)` without the distance.

        Args:
            images: Images `(n, *shape)`.
            query: Where they come from, and where they are to go.
            surprise: `-log P_c` in place of `1 - P_c`: nearly the same where P_c is nearly 1,
                and not flat where it is nearly 0.
        """
        log_p = self.log_probabilities(images).gather(-1, query.targets[:, None]).squeeze(-1)
        value = (1 - self.alpha) * (-log_p if surprise else -torch.expm1(log_p))
        if self.keep is None:
            return value
        now, before = self.reading(images), query.before
        if now.shape[-1] > 1:
            return value + self.keep_weight * 0.5 * (now - before).abs().sum(-1)
        return value + self.keep_weight * (now != before).squeeze(-1).to(value)

    def judged(self, images: Tensor, query: Query) -> Manipulated:
        """What became of each image."""
        log_p = self.log_probabilities(images)
        kept = None
        if self.keep is not None:
            now = self.reading(images)
            kept = (_level(now) == _level(query.before)).reshape(-1)
        return Manipulated(
            images,
            log_p.argmax(-1) == query.targets,
            kept,
            self.metric(query.original, images),
            log_p.gather(-1, query.targets[:, None]).squeeze(-1).exp(),
        )


@dataclass(frozen=True)
class Query:
    """Images `(n, *shape)`, the classes `(n,)` they are to get, and what S read of them."""

    original: Tensor
    targets: Tensor
    before: Tensor

    def __getitem__(self, rows: Tensor) -> Query:
        return Query(self.original[rows], self.targets[rows], self.before[rows])


def nearest_images(
    objective: Objective,
    images: Tensor,
    targets: Tensor,
    *,
    values: Values = "grey",
    leave: bool = False,
    evaluations: int = 30,
) -> Manipulated:
    """The images nearest to the given ones that the networks put into the target classes.

    All queries are minimised at once, first with `-log P_c` in place of `1 - P_c`, so that a
    sure network has a gradient to follow. Grey images then get back the pixels that hardly
    changed; binary ones are rounded and improved pixel by pixel. Queries that have not reached
    their class, or have not kept S, are tried again with more weight on it.

    Args:
        objective: What to minimise.
        images: Images `(n, *shape)` in [0, 1].
        targets: Classes `(n,)`, int64.
        values: "binary" where only black (1) and white (0) are allowed.
        leave: Whether an image that the networks put into its target class already is left as
            it is, which is nearest, or moved to where they are surer.
        evaluations: Largest number of evaluations of one minimisation.

    Example:
        >>> brightness = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
        >>> _ = brightness[1].weight.data.copy_(torch.tensor([[-9.0] * 4, [9.0] * 4]))
        >>> _ = brightness[1].bias.data.copy_(torch.tensor([18.0, -18.0]))
        >>> dark = torch.zeros(1, 1, 2, 2)
        >>> bright = nearest_images(Objective([brightness]), dark, torch.tensor([1]))
        >>> bool(bright.reached), bool(bright.images.sum() > 2)
        (True, True)
    """
    with torch.no_grad():
        parts = zip(images.split(_MOST_AT_ONCE), targets.split(_MOST_AT_ONCE), strict=True)
        found = [_nearest(objective, i, t, values, leave, evaluations) for i, t in parts]
    return _each(lambda *columns: torch.cat(columns), *found)


def _nearest(
    objective: Objective,
    images: Tensor,
    targets: Tensor,
    values: Values,
    leave: bool,
    evaluations: int,
) -> Manipulated:
    before = images.new_zeros(len(images), 1) if not objective.keep else objective.reading(images)
    query = Query(images, targets, before)
    best = objective.judged(images, query)
    for attempt in range(_ATTEMPTS):
        every = attempt == 0 and not leave
        rows = (~_succeeded(best) | every).nonzero().squeeze(-1)
        if not len(rows):
            break
        found = _attempt(objective, query[rows], values, evaluations)
        better = _succeeded(found) | (found.reached & ~best.reached[rows])
        best = _put(best, rows[better], _rows(found, better))
        objective = replace(
            objective,
            alpha=objective.alpha / _SHARPER,
            keep_weight=objective.keep_weight * _SHARPER,
        )
    return best


def _attempt(objective: Objective, query: Query, values: Values, evaluations: int) -> Manipulated:
    best = objective.judged(query.original, query)
    score = objective(query.original, query)
    start = query.original
    for surprise in (True, False):
        start = minimised(objective, query, start, surprise, evaluations)
        if values == "binary":
            rounded = _flipped(objective, query, start.round(), surprise)
            candidates = [_flipped(objective, query, rounded, False) if surprise else rounded]
        else:
            change = (start - query.original).abs()
            candidates = [
                start,
                *(torch.where(change < s, query.original, start) for s in _SMALLEST_CHANGES),
            ]
        for candidate in candidates:
            found, value = objective.judged(candidate, query), objective(candidate, query)
            rank, old = _rank(found), _rank(best)
            better = (rank > old) | ((rank == old) & (value < score))
            best = _put(best, better, _rows(found, better))
            score = torch.where(better, value, score)
    return best


def minimised(
    objective: Objective, query: Query, start: Tensor, surprise: bool, evaluations: int = 30
) -> Tensor:
    """Images of least objective near a start, in [0, 1]."""
    by_pixel = isinstance(objective.metric, L1)
    term = objective.class_term if by_pixel else objective

    def function(x: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            value = term(x.reshape(-1, *start.shape[1:]), query[rows], surprise)
            (gradient,) = torch.autograd.grad(value.sum(), x)
        return value.detach(), gradient

    pixels = start[0].numel()
    found = minimise(
        function,
        start.flatten(1),
        query.original.flatten(1),
        objective.alpha / pixels if by_pixel else 0.0,
        evaluations=evaluations,
    )
    return found.reshape(start.shape)


def _flipped(objective: Objective, query: Query, images: Tensor, surprise: bool) -> Tensor:
    """Binary images of least objective, one pixel changed at a time.

    Each turn tries the flips that the gradient of the class term makes hopeful, among all pixels
    and among those that differ from the original, and takes the best where it helps.
    """
    found, rows = images.clone(), torch.arange(len(images), device=images.device)
    score = objective(found, query, surprise)
    for _ in range(2 * images[0].numel()):
        here, ask = found[rows], query[rows]
        with torch.enable_grad():
            x = here.detach().requires_grad_()
            (slope,) = torch.autograd.grad(objective.class_term(x, ask, True).sum(), x)
        gain = ((2 * here - 1) * slope).flatten(1)
        undo = torch.where((here != ask.original).flatten(1), gain, -torch.inf)
        count = min(_SHORTLIST, gain.shape[1])
        flips = torch.cat([gain.topk(count).indices, undo.topk(count).indices], 1)
        trials = here.flatten(1)[:, None].repeat(1, flips.shape[1], 1)
        trials.scatter_(2, flips[..., None], 1 - trials.gather(2, flips[..., None]))
        every = torch.arange(len(rows), device=rows.device).repeat_interleave(flips.shape[1])
        tried = objective(trials.reshape(-1, *images.shape[1:]), ask[every], surprise)
        value, best = tried.reshape(flips.shape).min(-1)
        better = value < score[rows] - 1e-7
        chosen = trials[torch.arange(len(rows), device=rows.device), best].reshape(here.shape)
        rows, chosen = rows[better], chosen[better]
        if not len(rows):
            break
        found[rows], score[rows] = chosen, value[better]
    return found


def _level(reading: Tensor) -> Tensor:
    return reading.argmax(-1) if reading.shape[-1] > 1 else reading.squeeze(-1)


def _succeeded(found: Manipulated) -> Tensor:
    return found.reached if found.kept is None else found.reached & found.kept


def _rank(found: Manipulated) -> Tensor:
    return found.reached.long() + _succeeded(found)


def _rows(found: Manipulated, rows: Tensor) -> Manipulated:
    return _each(lambda column: column[rows], found)


def _put(into: Manipulated, rows: Tensor, found: Manipulated) -> Manipulated:
    def put(old: Tensor, new: Tensor) -> Tensor:
        old = old.clone()
        old[rows] = new
        return old

    return _each(put, into, found)


def _each(function: Callable[..., Tensor], *parts: Manipulated) -> Manipulated:
    """A function of the columns of several results that are alike."""
    kept = [p.kept for p in parts if p.kept is not None]
    return Manipulated(
        function(*(p.images for p in parts)),
        function(*(p.reached for p in parts)),
        function(*kept) if kept else None,
        function(*(p.distance for p in parts)),
        function(*(p.probability for p in parts)),
    )
