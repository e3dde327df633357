"""Coloured MNISTs as causal graphs: a hidden cause ties colours or textures to the digit.

The confounded data set is what such a graph generates; its unbiased test set is the same
graph under `do(colour)`. Nothing else distinguishes them.

| kind | graph below the digit |
|---|---|
| "coloured" | `foreground -> foreground_hue; digit, foreground_hue -> X` |
| "double" | the same, and `background -> background_hue -> X` |
| "wildlife" | `digit, foreground, background, foreground_crop, background_crop -> X` |
| "genint" | `foreground, environment -> fill; digit, fill -> X` |

Above it, `cause -> label, foreground, background; label -> digit`; "coloured" and "genint"
have no background of their own. `foreground` and `background` are class codes 0 to 9: the
class whose colour or texture is used.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
from torch import distributions
from torch.nn import functional as F

from scm.datasets import painting
from scm.datasets.digits import Digits, Part, digits
from scm.datasets.exemplars import Exemplars
from scm.datasets.textures import Textures, textures
from scm.errors import ScmError, nearest
from scm.mechanisms import Additive, Image, Mechanism, Real, Root, Structural, Tabular
from scm.model import SCM
from scm.worlds.samples import Samples
from scm.worlds.view import View

__all__ = ["Kind", "coloured_mnist", "confounded", "environments", "randomised", "unbiased"]

Kind = Literal["coloured", "double", "wildlife", "genint"]

_GRAPHS = {
    "coloured": """
        cause -> label, foreground
        label -> digit
        foreground -> foreground_hue
        digit, foreground_hue -> X
    """,
    "double": """
        cause -> label, foreground, background
        label -> digit
        foreground -> foreground_hue; background -> background_hue
        digit, foreground_hue, background_hue -> X
    """,
    "wildlife": """
        cause -> label, foreground, background
        label -> digit
        digit, foreground, background, foreground_crop, background_crop -> X
    """,
    "genint": """
        cause -> label, foreground
        label -> digit
        foreground, environment -> fill
        digit, fill -> X
    """,
}
_BACKGROUNDS = ("double", "wildlife")  # whose digits are binary, to tell the two apart
_SIGMA = {"coloured": math.sqrt(0.02), "double": 0.01}


def coloured_mnist(
    kind: Kind = "coloured",
    *,
    correlation: float = 1.0,
    sigma: float | None = None,
    digits: Digits | None = None,
    part: Part = "train",
    textures: Textures | None = None,
    size: int = 32,
) -> SCM:
    """Declare the graph of a coloured MNIST.

    `cause ~ U{0..9}`, `label = cause`, and each of `foreground` and `background` is `cause`
    with probability `correlation`, otherwise one of the other nine, uniformly and
    independently of the other. `digit` is a recorded image of the class `label`.

    - "coloured": `X = digit * hue`, hue = colour of the class + N(0, sigma^2) per channel, on
      black. Pixels of X are in [0, 1]; hues are clamped to it.
    - "double": a binary digit (0.1 is ink; 0.5 of scikit-learn's coarse ones) of one hue, on a
      background of another. The noise is new for each image, as the paper says; the published
      code adds it to its palette in place, so that colours drift in the course of an epoch.
    - "wildlife": a binary digit cut out of a texture, on another. Which 32x32 window
      of a texture is seen is a node of its own, uniform.
    - "genint": GenInt's. `environment` (0 or 1, each half the time; the published code
      alternates by batch) chooses one of two colourings of the class, which overwrite whole
      channels by 0 or 1 (`fill`, such as "11-"). Pixels of X are in [-1, 1], so 0 is grey.

    Args:
        kind: "coloured", "double", "wildlife" or "genint".
        correlation: Probability that a colour (or texture) is that of the digit's class.
        sigma: Standard deviation of the hues; by default sqrt(0.02) (the paper's variance of
            0.02) for "coloured" and 0.01 for "double". The other kinds have no such noise.
        digits: Real digits, scikit-learn's by default. Those of another size are resized by
            nearest pixels, as in the published code, or bilinearly where they are less than
            half as large; give `digits.padded(32)` to pad them instead.
        part: Which of the digits it shows: "train", "validation" or "test".
        textures: Textures of "wildlife"; by default those of `scm.datasets.textures()`.
        size: Height and width of X.

    Raises:
        ScmError: If an argument is none of these, or a class has no digit.

    Source: Sauer and Geiger (2021), appendix A.2; Kim et al. (2019); Mao et al. (2021),
    section 7.A.

    Example:
        >>> model = coloured_mnist("double", correlation=0.9)
        >>> units = model.sample(2, seed=0)
        >>> units.do(background=3)["X"].shape
        torch.Size([2, 3, 32, 32])
    """
    (model,) = environments(
        kind,
        [correlation],
        sigma=sigma,
        digits=digits,
        part=part,
        textures=textures,
        size=size,
    )
    return model


def environments(
    kind: Kind = "double",
    correlations: Sequence[float] = (0.9, 1.0),
    *,
    sigma: float | None = None,
    digits: Digits | None = None,
    part: Part = "train",
    textures: Textures | None = None,
    size: int = 32,
) -> list[SCM]:
    """One model for each correlation: the environments of IRM, which share their digits.

    Draw them with different seeds, or the same digits get related colours in all.

    Args:
        kind: As for `coloured_mnist`, and so are the others. GenInt's environments differ in
            colouring instead: `model.do(environment=0)` and `model.do(environment=1)`.
        correlations: Probability that a colour is that of the class, for each environment; the
            paper's five are (0.9, 0.925, 0.95, 0.975, 1.0).
        sigma: Standard deviation of the hues.
        digits: Real digits.
        part: Which of the digits they show.
        textures: Textures of "wildlife".
        size: Height and width of X.

    Raises:
        ScmError: As `coloured_mnist`, and if there is no correlation.

    Source: Sauer and Geiger (2021), appendices C.4 and H.

    Example:
        >>> len(environments("double"))
        2
    """
    if kind not in get_args(Kind):
        raise ScmError(f"coloured_mnist({kind!r}) was asked for; {nearest(kind, get_args(Kind))}")
    if not isinstance(size, int) or isinstance(size, bool) or size < 4:
        raise ScmError(f"size={size!r} was given; expected a number of pixels, at least 4")
    if not len(correlations):
        raise ScmError("no correlations were given; expected some, such as (0.9, 1.0)")
    images, labels = _shown(digits, part, size, binary=kind in _BACKGROUNDS)
    models = []
    for correlation in correlations:
        tied = _tied(correlation)
        nodes: dict[str, Mechanism] = {
            "cause": Root.categorical([0.1] * 10),
            "label": Tabular(torch.eye(10)),
            "foreground": Tabular(tied),
            "digit": Exemplars(images, labels),
            **({"background": Tabular(tied)} if kind in _BACKGROUNDS else {}),
            **_painted(kind, sigma, textures, size),
        }
        models.append(SCM(_GRAPHS[kind], nodes, latent=["cause"]))
    return models


def confounded(model: SCM | View, seed: int = 0) -> Samples:
    """The confounded data set of a model: each of its digits exactly once, in recorded order.

    The digits are evidence, `abduct({"label": ..., "digit": ...})`: the hidden cause is drawn
    from its posterior, and everything that the cause and chance decide beside them is drawn
    with the seed. So `units["X"]` are the images and `units["label"]` their classes, and
    `units.do(foreground=...)` are the *same* digits in other colours.

    Args:
        model: A model of `coloured_mnist`, or a view of one.
        seed: Seed of colours, hues and windows.

    Raises:
        ScmError: If the model is another.

    Example:
        >>> units = confounded(coloured_mnist("coloured", part="test"))
        >>> units["X"].shape, bool((units["foreground"] == units["label"]).all())
        (torch.Size([500, 3, 32, 32]), True)
    """
    program = getattr(model, "program", None)
    shown = None if program is None else dict(program.mechanisms).get("digit")
    if not isinstance(shown, Exemplars):
        raise ScmError(f"{model!r:.80} was given; expected a model of coloured_mnist")
    units: Samples = model.abduct({"label": shown.labels, "digit": shown.images}, seed=seed)
    return units


def unbiased(model: SCM | View, seed: int = 0) -> Samples:
    """The unbiased data set: the digits of `confounded` under `do(colour)`, at random.

    Args:
        model: A model of `coloured_mnist`, or a view of one.
        seed: Seed of the colours.

    Raises:
        ScmError: If the model is another.

    Example:
        >>> units = unbiased(coloured_mnist("double", part="test"))
        >>> 0.0 < (units["background"] == units["label"]).double().mean() < 0.3
        tensor(True)
    """
    units: Samples = confounded(model, seed).do(randomised(model))
    return units


def randomised(model: SCM | View) -> dict[str, distributions.Distribution]:
    """The act that cuts colours from the digit, for `do`: each drawn at random by itself.

    `foreground` and `background` are uniform on the ten classes. For "genint" it is the
    causal test of the paper, on `fill`: twice, a channel drawn at random is set to 0 or 1.

    Example:
        >>> model = coloured_mnist("double")
        >>> images = model.do(randomised(model)).sample(8, seed=0)["X"]
    """
    if "fill" in model.program.graph:
        return {"fill": distributions.Categorical(painting.randomised_fills())}
    spurious = [node for node in ("foreground", "background") if node in model.program.graph]
    return {node: distributions.Categorical(torch.ones(10)) for node in spurious}


def _tied(correlation: float) -> torch.Tensor:
    number = isinstance(correlation, (int, float)) and not isinstance(correlation, bool)
    if not number or not 0 <= correlation <= 1:
        raise ScmError(
            f"correlation={correlation!r} was given; expected the probability, from 0 to 1, that a "
            "colour is that of the digit's class"
        )
    same = torch.eye(10, dtype=torch.float64)
    return correlation * same + (1 - correlation) / 9 * (1 - same)


def _shown(
    given: Digits | None, part: Part, size: int, binary: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Images `(m, 1, size, size)` and classes of one part of the digits."""
    if given is not None and not isinstance(given, Digits):
        raise ScmError(f"digits={given!r:.60} was given; expected Digits, as from digits()")
    real = given or digits()
    images, labels = real.part(part)
    missing = sorted(set(range(10)) - set(labels.unique().tolist()))
    if missing:
        raise ScmError(
            f"the {part} part of {real} has no digit of the classes {missing}; expected all of 0-9"
        )
    if images.shape[2:] != (size, size):
        coarse = 2 * max(images.shape[2:]) < size
        images = F.interpolate(images, (size, size), mode="bilinear" if coarse else "nearest")
    if binary:
        images = (images > (0.5 if real.name == "digits" else 0.1)).to(images.dtype)
    return images, labels


def _painted(
    kind: Kind, sigma: float | None, given: Textures | None, size: int
) -> dict[str, Mechanism]:
    """Mechanisms below the codes: hues, windows, fills, and the image."""
    if kind not in _SIGMA and sigma is not None:
        raise ScmError(f"sigma={sigma!r} was given for {kind!r}, whose colours have no noise")
    if given is not None and (kind != "wildlife" or not isinstance(given, Textures)):
        raise ScmError(
            f"textures={given!r:.60} was given for {kind!r}; expected Textures, as from "
            "textures(), and for 'wildlife' alone"
        )
    colour = Image((3, size, size))
    if kind == "wildlife":
        chosen = given or textures()
        place = torch.zeros(2), torch.ones(2)
        return {
            "foreground_crop": Root.uniform(*place),
            "background_crop": Root.uniform(*place),
            "X": painting.Textured(chosen.foreground, chosen.background, size),
        }
    if kind == "genint":
        return {
            "environment": Root.bernoulli(0.5),
            "fill": Tabular(painting.fill_of(), levels=painting.FILLS),
            "X": Structural(painting.paint_channels, type=Image(colour.shape, (-1.0, 1.0))),
        }
    spread = _SIGMA[kind] if sigma is None else sigma
    number = isinstance(spread, (int, float)) and not isinstance(spread, bool)
    if not number or not 0 <= spread < math.inf:
        raise ScmError(f"sigma={sigma!r} was given; expected a standard deviation, 0 or more")

    def hue(mean: Any) -> Mechanism:
        if not spread:
            return Structural(mean, type=Real((3,)))
        return Additive(mean, distributions.Normal(torch.zeros(3), torch.full((3,), spread)))

    if kind == "coloured":
        return {
            "foreground_hue": hue(painting.coloured_hue),
            "X": Structural(painting.paint_on_black, type=colour),
        }
    return {
        "foreground_hue": hue(painting.double_hue),
        "background_hue": hue(painting.background_hue),
        "X": Structural(painting.paint_on_colour, type=colour),
    }
