"""A confounded problem from end to end: the label's colour against the digit's shape."""

from __future__ import annotations

import torch
from torch import Tensor

from scm.datasets import digits
from scm.learning import (
    ConvNet,
    LabelledImages,
    Mixed,
    Recipe,
    Trained,
    accuracies_across,
    accuracy,
    stable_factor,
    train,
)

RECIPE = Recipe(steps=150, batch=64)
COLOURS = torch.tensor(
    [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1],
     [0, 1, 1], [1, 0.5, 0], [0.5, 0, 1], [0, 0.5, 0.5], [1, 1, 1]]
)  # fmt: skip


def paint(grey: Tensor, colour: Tensor) -> Tensor:
    return grey * COLOURS[colour][:, :, None, None]


def network() -> ConvNet:
    return ConvNet(widths=(8, 16, 16))


def fit(source: LabelledImages | Mixed) -> Trained:
    return train(network(), source, recipe=RECIPE)


def test_original_data_teach_colour_and_interventional_data_teach_shape() -> None:
    """Under do(colour) the accuracy of the first is near chance, of the second near that in it."""
    real = digits()
    generator = torch.Generator().manual_seed(0)

    def drawn(n: int) -> Tensor:
        return torch.randint(10, (n,), generator=generator)

    n, test = len(real.labels), real.test_labels
    original = LabelledImages(paint(real.images, real.labels), real.labels)
    colours = drawn(n)
    shape_known = LabelledImages(paint(real.images, colours), real.labels)
    colour_known = LabelledImages(paint(real.images, colours), colours)
    tied, free = paint(real.test_images, test), paint(real.test_images, drawn(len(test)))

    erm, cause = fit(original).network, fit(shape_known).network
    assert float(accuracy(erm, tied, test)) > 0.95
    assert float(accuracy(erm, free, test)) < 0.4
    assert float(accuracy(cause, free, test)) > 0.85
    both = fit(Mixed([original, shape_known], (1, 3))).network
    assert float(accuracy(both, free, test)) > 0.75

    # Appendix H: across environments in which colour is tied to the label more or less often,
    # only the classifier by shape is equally accurate.
    environments = []
    for share, rows in zip((0.5, 0.75, 1.0), torch.arange(len(test)).chunk(3), strict=True):
        tie = torch.rand(len(rows), generator=generator) < share
        shown = torch.where(tie, test[rows], drawn(len(rows)))
        environments.append((paint(real.test_images[rows], shown), test[rows]))
    classifiers = {"shape": cause, "colour": fit(colour_known).network}
    assert stable_factor(accuracies_across(classifiers, environments)).factor == "shape"
