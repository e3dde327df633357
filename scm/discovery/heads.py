"""Heads: what reads an attribute off latents or data, trained, calibrated and scored.

Rows are split in three: 60% to train on, 20% to calibrate on (a logit is scaled and shifted as
Platt did; of several classes one temperature), 20% to score on.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scm.discovery.logistic import fit_logistic
from scm.errors import ScmError
from scm.estimate import Estimate
from scm.mechanisms.seeding import seeded

__all__ = ["Head", "Kind", "Network", "Score", "fit_head", "refit_head", "score_head"]

Kind = Literal["binary", "multiclass", "continuous"]
Network = Literal["linear", "network"] | nn.Module
_STEPS, _BATCH, _LR = 600, 256, 3e-3


@dataclass(frozen=True)
class Score:
    """How well a head reads rows that it was not trained on.

    Attributes:
        accuracy: Share of rows read right; of numbers None.
        explained: Of numbers the share of variance explained (R^2); of classes that of the
            log-likelihood over always giving the classes' shares (McFadden).
        gain: Mean loss of the best constant answer minus the head's: nats, or squared units.
    """

    accuracy: Estimate | None
    explained: float
    gain: Estimate

    @property
    def sees(self) -> bool:
        """Whether it beats the best constant, at the 1% level (one-sided)."""
        return self.gain.value > 2.326 * self.gain.stderr

    def __str__(self) -> str:
        share = f"{100 * self.explained:.1f}% explained"
        return f"accuracy {self.accuracy}, {share}" if self.accuracy else share


class Head(nn.Module):
    """A network's outputs read as probabilities, or as a number.

    `forward` gives P(1) `(n,)` of two classes, all probabilities `(n, K)` of more, or the number
    `(n,)`.

    Args:
        network: Outputs of rows: one number, or a logit for each of K > 2 classes.
        kind: What they mean.
    """

    slope: Tensor
    shift: Tensor

    def __init__(self, network: nn.Module, kind: Kind) -> None:
        super().__init__()
        self.network, self.kind = network, kind
        self.register_buffer("slope", torch.ones(()))
        self.register_buffer("shift", torch.zeros(()))

    @property
    def linear(self) -> tuple[Tensor, Tensor] | None:
        """Calibrated weights `(d,)` and bias of a linear head with one output; None of others."""
        layers = list(self.network.children())
        if self.kind == "multiclass" or len(layers) != 2 or not isinstance(layers[1], nn.Linear):
            return None
        weights, bias = layers[1].weight[0].detach(), layers[1].bias[0].detach()
        return self.slope * weights, self.slope * bias + self.shift

    def outputs(self, rows: Tensor) -> Tensor:
        """Calibrated logits `(n,)` or `(n, K)`, or the numbers `(n,)`."""
        made: Tensor = self.network(rows)
        if self.kind != "multiclass":
            made = made.reshape(len(rows))
        return self.slope * made + self.shift

    def forward(self, rows: Tensor) -> Tensor:
        """Readings of rows `(n, *event)`."""
        made = self.outputs(rows)
        if self.kind == "continuous":
            return made
        return made.sigmoid() if self.kind == "binary" else made.softmax(-1)


def fit_head(
    rows: Tensor,
    labels: Tensor,
    kind: Kind,
    network: Network = "linear",
    *,
    C: float = 1.0,
    calibrate: bool = True,
    seed: int = 0,
) -> tuple[Head, Score, Tensor]:
    """Train, calibrate and score a head.

    Args:
        rows: Latents or data `(n, *event)`.
        labels: Classes 0, ..., K - 1 `(n,)`, or numbers.
        kind: What the labels are.
        network: "linear" (logistic or ridge, to the optimum), "network" (two hidden layers), or
            a module of your own, which is trained in place.
        C: Inverse strength of the linear heads' penalty, as in `fit_logistic`.
        calibrate: Whether to calibrate.
        seed: Seed of the split and of what is random in training.

    Returns:
        The head, its score on held-out rows, and the numbers of the rows it was trained on.

    Raises:
        ScmError: If training gives no finite weights.
    """
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
    train, tune, test = (part.to(rows.device) for part in _split(order))
    classes = int(labels.max()) + 1
    head = Head(_fitted(rows[train], labels[train], kind, network, classes, C, seed), kind)
    if calibrate and kind != "continuous":
        _calibrate(head, rows[tune], labels[tune])
    head.requires_grad_(False).eval()
    return head, score_head(head, kind, rows[test], labels[test], labels[train]), train


def refit_head(
    head: Head, rows: Tensor, labels: Tensor, network: Network, *, C: float = 1.0, seed: int = 0
) -> Head:
    """The same head trained on a bootstrap sample of rows, with the calibration that it has.

    Args:
        head: The head.
        rows: Rows that it was trained on, `(n, *event)`.
        labels: Their labels.
        network: As for `fit_head`; a module of your own as it was before it was trained.
        C: As for `fit_head`.
        seed: Seed of the sample and of the training.

    Raises:
        ScmError: If training gives no finite weights.
    """
    source = torch.Generator().manual_seed(seed)
    drawn = torch.randint(len(rows), (len(rows),), generator=source).to(rows.device)
    classes, fresh = int(labels.max()) + 1, copy.deepcopy(network)
    made = _fitted(rows[drawn], labels[drawn], head.kind, fresh, classes, C, seed)
    again = Head(made, head.kind)
    if head.kind != "continuous":
        again.slope.copy_(head.slope)
        again.shift.copy_(head.shift)
    return again.requires_grad_(False).eval()


def score_head(
    read: Callable[[Tensor], Tensor], kind: Kind, rows: Tensor, labels: Tensor, known: Tensor
) -> Score:
    """Score readings of rows `(n, *event)` against the best constant answer of known labels."""
    with torch.no_grad():
        read_off = read(rows)
    if kind == "continuous":
        base = (labels - known.mean()).square()
        own = (labels - read_off).square()
        return Score(None, 1 - float(own.mean() / base.mean()), Estimate.mean(base - own))
    chances = torch.stack([1 - read_off, read_off], 1) if kind == "binary" else read_off
    chances = chances.double().clamp(1e-6, 1)
    shares = torch.bincount(known.long(), minlength=chances.shape[1]).double() / len(known)
    codes = labels.long().unsqueeze(1)
    own = -chances.gather(1, codes).squeeze(1).log()
    base = -shares.clamp_min(1e-6).log()[codes.squeeze(1)]
    right = int((chances.argmax(1) == codes.squeeze(1)).sum())
    explained = 1 - float(own.mean() / base.mean())
    return Score(Estimate.proportion(right, len(rows)), explained, Estimate.mean(base - own))


def _split(order: Tensor) -> tuple[Tensor, ...]:
    a, b = round(0.6 * len(order)), round(0.8 * len(order))
    return order[:a], order[a:b], order[b:]


def _fitted(
    rows: Tensor, labels: Tensor, kind: Kind, network: Network, classes: int, C: float, seed: int
) -> nn.Module:
    """A network trained on all of the rows."""
    linear = network == "linear"
    if linear and kind != "multiclass":
        return _linear(rows, labels, kind, C)
    if not isinstance(network, nn.Module):
        outputs = classes if kind == "multiclass" else 1
        network = _mlp(rows, () if linear else (64, 64), outputs, seed)
    return _trained(network, rows, labels, kind, 1 / (C * len(rows)) if linear else 0.0, seed)


def _linear(rows: Tensor, labels: Tensor, kind: Kind, C: float) -> nn.Module:
    flat = rows.flatten(1)
    if kind == "binary":
        weights, bias = fit_logistic(flat, labels, C)
    else:
        x, y = flat.double(), labels.double()
        centred = x - x.mean(0)
        gram = centred.T @ centred + torch.eye(x.shape[1], dtype=x.dtype, device=x.device) / C
        solved = torch.linalg.solve(gram, centred.T @ (y - y.mean()))
        weights, bias = solved.to(flat), (y.mean() - x.mean(0) @ solved).to(flat)
    if not (weights.isfinite().all() and bias.isfinite()):
        raise ScmError("training gave no finite weights; are rows repeated, or of huge scale?")
    with seeded(0):
        layer = nn.Linear(flat.shape[1], 1).to(flat)
    with torch.no_grad():
        layer.weight.copy_(weights.unsqueeze(0))
        layer.bias.copy_(bias)
    return nn.Sequential(nn.Flatten(), layer)


def _mlp(rows: Tensor, hidden: tuple[int, ...], outputs: int, seed: int) -> nn.Module:
    sizes = [rows[0].numel(), *hidden, outputs]
    layers: list[nn.Module] = [nn.Flatten()]
    with seeded(seed):
        for a, b in itertools.pairwise(sizes):
            layers += [nn.Linear(a, b), nn.SiLU()]
    return nn.Sequential(*layers[:-1]).to(rows)


def _loss(head: Head, rows: Tensor, labels: Tensor) -> Tensor:
    made = head.outputs(rows)
    if head.kind == "continuous":
        return (made - labels).square().mean()
    if head.kind == "binary":
        return F.binary_cross_entropy_with_logits(made, labels.to(made))
    return F.cross_entropy(made, labels.long())


def _trained(
    network: nn.Module, rows: Tensor, labels: Tensor, kind: Kind, decay: float, seed: int
) -> nn.Module:
    head, source = Head(network, kind).to(rows).train(), torch.Generator().manual_seed(seed)
    if kind == "continuous":
        middle, spread = labels.mean(), labels.std().clamp_min(1e-12)
        head.slope.copy_(spread)
        head.shift.copy_(middle)
    optimiser = torch.optim.Adam(network.parameters(), _LR)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _LR, total_steps=_STEPS)
    for _ in range(_STEPS):
        chosen = torch.randint(len(rows), (_BATCH,), generator=source).to(rows.device)
        loss = _loss(head, rows[chosen], labels[chosen])
        if decay:
            loss = loss + 0.5 * decay * sum(p.square().sum() for p in network.parameters())
        if not loss.isfinite():
            raise ScmError(f"the loss of a head is {float(loss):g}; scale its inputs, or clip them")
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        schedule.step()
    if kind == "continuous":
        return nn.Sequential(network, _Affine(head.slope, head.shift))
    return network


class _Affine(nn.Module):
    """`slope x + shift`."""

    slope: Tensor
    shift: Tensor

    def __init__(self, slope: Tensor, shift: Tensor) -> None:
        super().__init__()
        self.register_buffer("slope", slope.clone())
        self.register_buffer("shift", shift.clone())

    def forward(self, rows: Tensor) -> Tensor:
        return self.slope * rows + self.shift


def _calibrate(head: Head, rows: Tensor, labels: Tensor) -> None:
    """Platt's slope and shift of a logit; of several classes, a temperature."""
    with torch.no_grad():
        made = head.outputs(rows)
    if head.kind == "binary":
        ones = int(labels.sum())
        zeros = len(labels) - ones
        if ones and zeros:
            # Platt's targets, which keep a head that separates its rows from growing for ever.
            targets = torch.where(labels > 0, (ones + 1) / (ones + 2), 1 / (zeros + 2))
            slope, shift = fit_logistic(made.unsqueeze(1), targets, C=1e6)
            head.slope.copy_(slope[0])
            head.shift.copy_(shift)
        return
    grid = torch.logspace(-1, 1, 81, dtype=torch.float64).tolist()
    losses = [float(F.cross_entropy(slope * made, labels.long())) for slope in grid]
    head.slope.fill_(grid[min(range(len(grid)), key=losses.__getitem__)])
