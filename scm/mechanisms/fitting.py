"""The one training loop of mechanisms: minibatch Adam with a progress bar."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from scm.errors import MechanismError
from scm.mechanisms.seeding import seeded
from scm.progress import progress_bar

if TYPE_CHECKING:
    from scm.mechanisms.mechanism import Mechanism

__all__ = ["minimise", "require_variation"]


def require_variation(mechanism: Mechanism, value: Tensor) -> None:
    """Refuse data `(n, *event)` some component of which is the same in all rows.

    Raises:
        MechanismError: If one is, or there are no rows.
    """
    if not len(value) or (value == value[:1]).all(0).any():
        raise MechanismError(
            f"{len(value)} rows were given to fit {mechanism.describe()}, and some component of "
            "them does not vary, so a density cannot be fitted; declare the node Structural "
            "(deterministic) instead"
        )


def minimise(
    mechanism: Mechanism,
    value: Tensor,
    parents: Mapping[str, Tensor],
    *,
    epochs: int = 200,
    batch: int = 256,
    lr: float = 1e-3,
    seed: int | None = 0,
    progress: bool = True,
) -> list[float]:
    """Minimise `mechanism.loss` over rows with Adam and a one-cycle learning rate.

    Interrupting leaves the parameters as far as they came; calling again goes on from there.

    Args:
        value: Values of the node, `(n, *event)`.
        parents: Values of its parents by name, `(n, *event)` each.
        epochs: Passes over the rows.
        batch: Rows per step.
        lr: Peak learning rate.
        seed: Seed of the order of rows and of the loss's own noise; None draws one.
        progress: Show a progress bar, on a terminal or in a notebook.

    Returns:
        Mean loss of each epoch.

    Raises:
        MechanismError: If there are no rows, or the loss stops being finite; the parameters
            are then those of the last step that was.
    """
    generator = torch.Generator(device=value.device)
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed)
    n = len(value)
    if not n or epochs < 1:
        raise MechanismError(
            f"{n} rows and epochs={epochs} were given to fit {mechanism.describe()}; at least "
            "one of each is needed"
        )
    steps = max(1, (n + batch - 1) // batch)
    trainable = [p for p in mechanism.parameters() if p.requires_grad]
    optimiser = torch.optim.Adam(trainable, lr=lr, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, lr, total_steps=epochs * steps + 1)
    history: list[float] = []
    was_training = mechanism.training
    mechanism.train()
    bar = progress_bar(f"fit {mechanism.node}", epochs, "epochs", progress)
    try:
        with bar as advance, torch.enable_grad(), seeded(generator.initial_seed(), value.device):
            for _ in range(epochs):
                order = torch.randperm(n, generator=generator, device=value.device)
                total = 0.0
                for rows in order.split(batch):
                    there = {name: v[rows] for name, v in parents.items()}
                    loss = mechanism.loss(value[rows], there, generator)
                    if not torch.isfinite(loss):
                        raise MechanismError(
                            f"the loss of {mechanism.describe()} became {loss.item():g} after "
                            f"{len(history)} epochs; lower lr={lr:g}, rescale the data, or declare "
                            "noise that gives them a density. The parameters are those before it"
                        )
                    optimiser.zero_grad(set_to_none=True)
                    loss.backward()
                    optimiser.step()
                    schedule.step()
                    total += loss.item() * len(rows)
                history.append(total / n)
                advance(f"loss {history[-1]:.4g}")
    finally:
        mechanism.train(was_training)
    return history
