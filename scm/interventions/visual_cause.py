"""The visual cause as a macro-variable: read by the networks, written by the manipulator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from scm.errors import ScmError
from scm.interventions.metrics import FeatureSpace, ImageKernel, Metric, metric_of
from scm.interventions.nearest_image import Objective, Values, nearest_images
from scm.mechanisms import Categorical, Macro
from scm.mechanisms.types import NodeType

__all__ = ["VisualCause"]


class VisualCause(Macro):
    """A macro-variable `I => C`: C is the networks' class of I, `do(C=c)` the nearest such image.

    An image without one that reads c stays as it is, and `samples.written` says so.

    Args:
        networks: Logits `(n, classes)` of images, one module or more.
        metric: The distance, or its description in a saved model.
        alpha: Weight of the distance, between 0 and 1.
        values: "grey" or "binary".
        keep: Reader of the spurious correlate S, for the term that keeps it.
        keep_weight: Weight of that term.
        temperature: What the networks' logits are divided by.
        keeps: Macro-variables of the image that must read as before.
        type: Declared type of C.

    Source: Chalupka, Perona and Eberhardt (2015), definitions 8 and 9.

    Example:
        >>> from scm import Root, SCM
        >>> from scm.mechanisms import Image
        >>> brightness = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
        >>> _ = brightness[1].weight.data.copy_(torch.tensor([[-9.0] * 4, [9.0] * 4]))
        >>> _ = brightness[1].bias.data.copy_(torch.tensor([18.0, -18.0]))
        >>> I = Root.empirical(torch.zeros(2, 1, 2, 2), type=Image((1, 2, 2)))
        >>> model = SCM("I => C", I=I, C=VisualCause([brightness.eval()]))
        >>> model.do(C=1).sample(3, seed=0)["C"]
        tensor([1, 1, 1])
    """

    def __init__(
        self,
        networks: Sequence[nn.Module] | nn.ModuleList,
        metric: str | Metric | Sequence[Any] = "l2",
        alpha: float = 0.5,
        values: Values = "grey",
        keep: Callable[[Tensor], Tensor] | None = None,
        keep_weight: float = 1.0,
        temperature: float = 1.0,
        keeps: Sequence[str] = (),
        type: NodeType = Categorical(2),  # noqa: B008
    ) -> None:
        super().__init__(self._classes, self._nearest, keeps, type)
        self.networks = nn.ModuleList(networks)
        self.metric = _read_metric(metric)
        self.features = self.metric.module if isinstance(self.metric, FeatureSpace) else None
        self.alpha, self.values = float(alpha), values
        self.keep, self.keep_weight = keep, float(keep_weight)
        self.temperature = float(temperature)
        self.broadcasts = False

    @property
    def objective(self) -> Objective:
        """What the writer minimises."""
        return Objective(
            list(self.networks),
            self.metric,
            self.alpha,
            self.keep,
            self.keep_weight,
            self.temperature,
        )

    def _classes(self, images: Tensor) -> Tensor:
        return self.objective.log_probabilities(images).argmax(-1)

    def _nearest(self, images: Tensor, wanted: Tensor) -> Tensor:
        targets = wanted.reshape(len(images)).long()
        found = nearest_images(self.objective, images, targets, values=self.values, leave=True)
        return torch.where(found.reached.view(-1, *[1] * (images.ndim - 1)), found.images, images)

    def config(self) -> dict[str, Any]:
        """Arguments that make it again."""
        return {
            "networks": self.networks,
            "metric": _written_metric(self.metric),
            "alpha": self.alpha,
            "values": self.values,
            "keep": self.keep,
            "keep_weight": self.keep_weight,
            "temperature": self.temperature,
            "keeps": list(self.keeps),
            "type": self.type,
        }


def _written_metric(metric: Metric) -> Any:
    if isinstance(metric, ImageKernel):
        return ["kernel", metric.width]
    if isinstance(metric, FeatureSpace):
        return ["features", metric.module]
    name = type(metric).__name__.lower()
    return name if name in ("l1", "l2") else metric


def _read_metric(metric: Any) -> Metric:
    match metric:
        case ["kernel", width]:
            return ImageKernel(width)
        case ["features", nn.Module() as module]:
            return FeatureSpace(module)
        case [*_]:
            raise ScmError(f"metric={metric!r:.80}; expected a metric, 'l1' or 'l2'")
        case _:
            return metric_of(metric)
