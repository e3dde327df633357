"""The nulls of CAGE: permuted treatments with refits, and random directions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scm.discovery.attributes import Attribute
from scm.discovery.logistic import permutation_refits
from scm.errors import ScmError

__all__ = ["Null", "direction_null", "permutation_null"]

_ELEMENTS = 1 << 20  # units x heads at once


@dataclass(frozen=True, eq=False)
class Null:
    """What would have been found had there been nothing of the kind that a null speaks of.

    Attributes:
        says: The null hypothesis, in words.
        forward: GATEs of the cause on the effect, `(n,)`.
        backward: GATEs of the effect on the cause, `(n,)`.
    """

    says: str
    forward: Tensor
    backward: Tensor

    @property
    def delta(self) -> Tensor:
        """Equation 7 of each draw, `(n,)`."""
        return self.forward.abs() - self.backward.abs()

    @staticmethod
    def p(null: Tensor, observed: float) -> float:
        """`(1 + count) / (1 + n)`, of draws at least as far from zero as what was observed."""
        return (1 + int((null.abs() >= abs(observed)).sum())) / (1 + len(null))


def permutation_null(
    cause: Attribute,
    effect: Attribute,
    latents: Tensor,
    alpha: float,
    permutations: int = 1000,
    *,
    soft: bool = True,
    seed: int = 0,
    progress: bool = True,
) -> Null:
    """GATEs after shuffling the cause's labels and training its head anew, each time.

    It asks whether the head of the cause is more aligned with the effect than a random direction:
    not whether there is an effect. Under a confounder that both attributes follow it rejects.

    Args:
        cause: A linear latent head that was trained on labels.
        effect: A linear latent head.
        latents: Latents of the units, `(n, *latent)`.
        alpha: Distance of the moves.
        permutations: Number of refits.
        soft: As for `scm.discovery.gate.gate`.
        seed: Seed of the permutations.
        progress: Show a progress bar, on a terminal or in a notebook.

    Raises:
        ScmError: If the cause's examples are not there, or the refits do not converge.

    Source: CAGE, section 3.3, "a null distribution for treatment effects".
    """
    if cause.examples is None or cause.kind != "binary":
        raise ScmError(
            f"{cause.name!r} was not trained here on binary labels, so it cannot be refitted to "
            "permuted ones; use Attribute.from_labels, or in_latent"
        )
    examples = cause.examples
    weights, biases = permutation_refits(
        examples.latents, examples.labels, permutations, examples.C, seed=seed, progress=progress
    )
    e_weights, e_bias = _head(effect, latents)
    w, b = weights.to(latents), biases.to(latents)
    return Null(
        f"the labels of {cause.name!r} are exchangeable: its head points nowhere in particular",
        _gates(latents, w, b, _unit(w), e_weights, e_bias, alpha, soft),
        _gates(latents, e_weights, e_bias, _unit(e_weights), w, b, alpha, soft),
    )


def direction_null(
    cause: Attribute,
    effect: Attribute,
    latents: Tensor,
    alpha: float,
    directions: int = 100,
    *,
    soft: bool = True,
    seed: int = 0,
) -> Null:
    """GATEs of moves along random unit directions in place of both heads' normals.

    Which units count as treated is left as it is; outcomes are read by the heads themselves.

    Args:
        cause: A linear latent head.
        effect: A linear latent head.
        latents: Latents of the units, `(n, *latent)`.
        alpha: Distance of the moves.
        directions: Number of random directions, for each of the two moves.
        soft: As for `scm.discovery.gate.gate`.
        seed: Seed of the directions.

    Source: CAGE, section 4.2: "a histogram of delta-tau scores under 100 random latent
    projections".
    """
    (w_c, b_c), (w_e, b_e) = _head(cause, latents), _head(effect, latents)
    source = torch.Generator().manual_seed(seed)
    drawn = torch.randn(2, directions, w_c.shape[1], generator=source).to(latents)
    first, second = _unit(drawn[0]), _unit(drawn[1])
    return Null(
        f"the moves called {cause.name!r} and {effect.name!r} are along random directions",
        _gates(latents, w_c, b_c, first, w_e, b_e, alpha, soft),
        _gates(latents, w_e, b_e, second, w_c, b_c, alpha, soft),
    )


def _head(attribute: Attribute, like: Tensor) -> tuple[Tensor, Tensor]:
    """Weights `(1, d)` and bias `(1,)`."""
    weights, bias = attribute.line
    return weights.to(like).unsqueeze(0), bias.to(like).unsqueeze(0)


def _unit(rows: Tensor) -> Tensor:
    unit: Tensor = rows / rows.norm(dim=1, keepdim=True)
    return unit


def _gates(
    latents: Tensor,
    w: Tensor,
    b: Tensor,
    moves: Tensor,
    out_w: Tensor,
    out_b: Tensor,
    alpha: float,
    soft: bool,
) -> Tensor:
    """Equation 6 for many treatments, moves or outcomes at once; each of them is 1 or P rows."""
    rows = latents.flatten(1)
    size = max(len(w), len(moves), len(out_w))
    found = []
    for part in torch.arange(size).split(max(1, _ELEMENTS // len(rows))):
        pw, pb, pm, ow, ob = (
            t[part.to(t.device)] if len(t) == size else t for t in (w, b, moves, out_w, out_b)
        )
        sign = 1 - 2 * ((rows @ pw.T + pb) > 0).to(rows)
        u = rows @ ow.T + ob
        shift = alpha * (ow * pm).sum(1)
        moved = u + shift * sign
        read = torch.sigmoid if soft else (lambda t: (t > 0).to(rows))
        found.append((sign * (read(moved) - read(u))).mean(0).double().expand(len(part)))
    return torch.cat(found).cpu()
