"""GenInt's four ways to train on observed, intervened and transferred images; its baselines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from scm.errors import ScmError, nearest
from scm.learning.augmentation import AutoAugment
from scm.learning.objectives import ERM, Mixup, Objective, Weighted
from scm.learning.sources import Augmented, Mixed, Source

__all__ = ["GENINT_BASELINES", "GENINT_VARIANTS", "Variant", "genint_baseline"]

_NAMES = ("original", "intervened", "transferred")


@dataclass(frozen=True)
class Variant:
    r"""Weights and batches of :math:`L_e(X) + \lambda_1 L_e(X_{int}) + \lambda_2 L_e(X_{itr})`.

    Attributes:
        weights: 1, lambda_1 and lambda_2; 0 leaves a source out.
        batches: Images of each source in a step; 0 where its weight is 0.

    Raises:
        ScmError: If there are not three of each, or a source with a weight has no images.

    Source: Mao et al. (2021), equation 1 and section 11.A.

    Example:
        >>> variant = GENINT_VARIANTS["resnet18"]["B"]
        >>> variant.objective, variant.batch
        (Weighted(weights=(1.0, 0.05)), (256, 64))
    """

    weights: tuple[float, float, float]
    batches: tuple[int, int, int]

    def __post_init__(self) -> None:
        fits = len(self.weights) == len(self.batches) == 3 and all(
            weight >= 0 and (weight > 0) == (batch > 0)
            for weight, batch in zip(self.weights, self.batches, strict=True)
        )
        if not fits or not any(self.weights):
            raise ScmError(
                f"weights={self.weights} and batches={self.batches} were given; expected three of "
                "each, for original, intervened and transferred images, both above 0 or both 0"
            )

    @property
    def objective(self) -> Weighted:
        """What to minimise, over the sources that are used."""
        return Weighted(*(weight for weight in self.weights if weight))

    @property
    def batch(self) -> tuple[int, ...]:
        """Batch of each source that is used, for a `Recipe`."""
        return tuple(batch for batch in self.batches if batch)

    def sources(
        self,
        original: Source | None = None,
        intervened: Source | None = None,
        transferred: Source | None = None,
    ) -> list[Source]:
        """The sources that are used, in order, for `train`.

        Raises:
            ScmError: If one that is used was not given.
        """
        found = []
        given = (original, intervened, transferred)
        for name, weight, source in zip(_NAMES, self.weights, given, strict=True):
            if weight and source is None:
                raise ScmError(
                    f"{name} images are used with weight {weight:g}, and were not given; give "
                    f"{name}=, or take a variant without them"
                )
            if weight and source is not None:
                found.append(source)
        return found


_OBSERVED = Variant((1.0, 0.0, 0.0), (256, 0, 0))
GENINT_VARIANTS: Mapping[str, Mapping[str, Variant]] = {
    "resnet18": {
        "A": _OBSERVED,
        "B": Variant((1.0, 0.05, 0.0), (256, 64, 0)),
        "C": Variant((1.0, 0.0, 1.0), (256, 0, 256)),
        "D": Variant((1.0, 0.05, 1.0), (256, 64, 256)),
        "D, standard augmentation": Variant((1.0, 0.02, 1.0), (256, 64, 256)),
    },
    "resnet152": {
        "A": _OBSERVED,
        "B": Variant((1.0, 0.2, 0.0), (256, 64, 0)),
        "C": Variant((1.0, 0.0, 0.2), (256, 0, 64)),
        "D": Variant((1.0, 0.2, 0.2), (192, 64, 64)),
    },
}
"""Table 6's variants by network (section 11.A): A, observed images alone; B, with intervened ones;
C, with transferred ones; D, with both, going on from the weights of C. ResNet18 is trained by
`Recipe.imagenet(n, epochs=90, batch=variant.batch, factor=0.1)`, ResNet152 tuned for 40 epochs."""

GENINT_BASELINES = ("original", "stylised", "mixup", "AutoAugment", "GAN augmentation")
"""What GenInt is compared with, in the order of its section 5.2 and tables 1 to 3."""


def genint_baseline(
    name: str,
    original: Source,
    stylised: Source | None = None,
    generated: Source | None = None,
) -> tuple[Source, Objective]:
    """The source and the objective of one of `GENINT_BASELINES`, for `train`.

    "stylised" trains on stylised images alone, "mixup" with alpha 0.4, "AutoAugment" with the
    policy learnt on ImageNet (pixels in [0, 1]), "GAN augmentation" on half original and half
    generated images, which are the generator's own, without intervention.

    Args:
        name: Which.
        original: The observed images.
        stylised: Such as those of `scm.datasets.imagenet.imagenet_stylized`.
        generated: Such as `Stream(SteeredImages(Strategy(0.2), model))` of `scm.interventions`,
            with the paper's truncation.

    Raises:
        ScmError: If there is no such baseline, or the images that it needs were not given.

    Source: Mao et al. (2021), section 5.2.

    Example:
        >>> import torch
        >>> from scm.learning import LabelledImages
        >>> genint_baseline("mixup", LabelledImages(torch.zeros(5, 1, 8, 8), torch.arange(5)))[1]
        Mixup(alpha=0.4)
    """
    if name not in GENINT_BASELINES:
        raise ScmError(f"no baseline is called {name!r}; {nearest(name, GENINT_BASELINES)}")
    if name == "mixup":
        return original, Mixup(0.4)
    if name == "AutoAugment":
        return Augmented(original, AutoAugment("imagenet")), ERM()
    if name == "original":
        return original, ERM()
    argument, given = ("stylised", stylised) if name == "stylised" else ("generated", generated)
    if given is None:
        raise ScmError(f"the baseline {name!r} needs {argument} images; give {argument}=")
    return (given if name == "stylised" else Mixed([original, given])), ERM()
