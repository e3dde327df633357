"""What a training run of a CGN does: one frozen record a variant."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from scm.errors import ScmError, nearest
from scm.learning.cgn.health import Limits
from scm.learning.cgn.losses import Weights

__all__ = ["SETTINGS", "Settings", "settings_of"]


@dataclass(frozen=True)
class Settings:
    """How a CGN is made and trained.

    Recipe "autoencoder": shape, textures and an encoder of their noise are trained as a
    conditional autoencoder; where textures are patches, an autoencoder of the shape alone, by
    the colours of pixels, and patches that are cut out afterwards. Recipe "adversarial" is the
    paper's: convolutional mechanisms with patch-shuffling, noise from the prior, one
    discriminator.

    Attributes:
        recipe: "autoencoder" or "adversarial".
        textures: "colour" (one an image), "patches" or, for "adversarial", "conv".
        size: Side of the images.
        classes: Number of labels.
        weights: Weight of each loss.
        binary_from: Weight of the binary loss at first; it rises to `weights.binary`
            between the shares `binary_ramp` of the steps.
        binary_ramp: Those shares.
        mass: Interval of the mask loss.
        sigma: Standard deviation of the reconstruction.
        centre: Strength of the shape's centre prior.
        peak: Divide masks by their maximum.
        shape_latent: Width of u_M.
        texture_latent: Width of u_F and u_B.
        shape_width: Channels of the shape's first layer.
        encoder_width: Channels of the encoder's first layer.
        steps: Steps of the recipe.
        batch: Images a step.
        lr: Peak learning rate.
        frozen: Steps at the start in which the shape is not changed.
        divergence_ramp: Share of the steps over which the divergence is switched on.
        colours: Colours of a label's palette, by which pixels are told apart.
        cover: Share of an image that its object covers, for the first guess of its colours; 0
            leaves textures of one colour to chance.
        learn_from: Share of the steps from which the objects' colours are learned.
        patch: Sides of the patches of foreground and background.
        overlap: Pixels that a patch shares with its neighbours.
        patches: Patches of a label, of which its textures are quilted.
        quilts: Textures of a label.
        keep: Share of the past in the exponential moving average of the weights.
        temperature: Sharpness of the masks of counterfactuals.
        stretch: How far the colours of a trained model are stretched past 0 and 1.
        jitter: Standard deviation of what counterfactuals add to an abducted u_M.
        limits: What a healthy mask is.
        watch_from: Share of the steps from which the masks are watched.

    Raises:
        ScmError: If the recipe or the textures are unknown or do not fit one another, or a number
            is out of its range.

    Example:
        >>> own = settings_of("coloured", steps=100, batch=64)
        >>> own.recipe, own.steps, own.weights.binary > 0
        ('autoencoder', 100, True)
    """

    recipe: Literal["autoencoder", "adversarial"] = "autoencoder"
    textures: Literal["colour", "patches", "conv"] = "colour"
    size: int = 32
    classes: int = 10
    weights: Weights = field(
        default_factory=lambda: Weights(
            reconstruction=1.0, divergence=1.0, binary=50.0, mask=500.0, edge=1000.0
        )
    )
    binary_from: float = 1.0
    binary_ramp: tuple[float, float] = (0.5, 0.7)
    mass: tuple[float, float] = (0.05, 0.4)
    sigma: float = 0.12
    centre: float = 1.0
    peak: bool = False
    shape_latent: int = 32
    texture_latent: int = 3
    shape_width: int = 96
    encoder_width: int = 24
    steps: int = 3500
    batch: int = 64
    lr: float = 2e-3
    frozen: int = 0
    divergence_ramp: float = 0.2
    colours: int = 96
    cover: float = 0.05
    learn_from: float = 0.3
    patch: tuple[int, int] = (4, 10)
    overlap: int = 2
    patches: int = 2048
    quilts: int = 128
    keep: float = 0.99
    temperature: float = 2.0
    stretch: float = 0.0
    jitter: float = 0.1
    limits: Limits = field(default_factory=Limits)
    watch_from: float = 0.3

    def __post_init__(self) -> None:
        expected = {"autoencoder": ("colour", "patches"), "adversarial": ("conv",)}
        if self.textures not in expected.get(self.recipe, ()):
            raise ScmError(
                f"Settings(recipe={self.recipe!r}, textures={self.textures!r}) was given; expected "
                "'autoencoder' with 'colour' or 'patches', or 'adversarial' with 'conv'"
            )
        for name in ("size", "classes", "steps", "batch", "colours", "patches", "quilts"):
            if getattr(self, name) < 1:
                raise ScmError(f"Settings({name}={getattr(self, name)}); expected at least 1")
        if not self.lr > 0:
            raise ScmError(f"Settings(lr={self.lr}) was given; expected more than 0")
        if not self.binary_ramp[0] < self.binary_ramp[1]:
            raise ScmError(
                f"Settings(binary_ramp={self.binary_ramp}) was given; expected a share of the "
                "steps and a larger one, such as (0.5, 0.7)"
            )
        if not self.stretch >= 0 or (self.stretch and self.textures != "colour"):
            raise ScmError(
                f"Settings(stretch={self.stretch}, textures={self.textures!r}) was given; expected "
                "0 or more, and 0 where textures are not of one colour"
            )
        for name in _UNUSED[self.textures]:
            if getattr(self.weights, name):
                raise ScmError(
                    f"Weights({name}={getattr(self.weights, name):g}) was given, which recipe "
                    f"{self.recipe!r} with textures {self.textures!r} has no use for; leave it 0"
                )
        if self.textures == "patches" and not all(
            0 <= self.overlap < side <= self.size and self.size % (side - self.overlap) == 0
            for side in self.patch
        ):
            raise ScmError(
                f"Settings(patch={self.patch}, overlap={self.overlap}, size={self.size}) was given;"
                " expected sides between the overlap and the size, whose excess over the overlap "
                "divides the size, such as (4, 10) with 2 for a size of 32"
            )


_UNUSED = {
    "colour": ("adversarial",),
    "patches": ("adversarial", "texture", "background"),
    "conv": ("reconstruction", "divergence"),
}
"""Losses that a kind of textures is not trained by."""

SETTINGS: dict[str, Settings] = {
    "coloured": Settings(mass=(0.02, 0.4), peak=True, temperature=1.0, stretch=0.06),
    "double": Settings(),
    "wildlife": Settings(
        textures="patches",
        weights=Weights(reconstruction=1.0, divergence=0.05, binary=30.0, mask=500.0, edge=1000.0),
        centre=1.5,
        frozen=30,
        cover=0.18,
        steps=4000,
    ),
}
_PAPER = Settings(
    recipe="adversarial",
    textures="conv",
    weights=Weights(adversarial=1.0, binary=0.3, edge=1.0),
    binary_from=0.3,
    shape_latent=32,
    texture_latent=32,
    batch=16,
    lr=2e-4,
    steps=46_875,
    temperature=1.0,
)


def settings_of(kind: str | Settings, recipe: str = "autoencoder", **changes: Any) -> Settings:
    """Settings by name, with some of them changed.

    Args:
        kind: "coloured", "double" or "wildlife", or settings.
        recipe: "autoencoder", or "adversarial" (the paper's: 15 epochs of 50,000 images).
        **changes: Other values of its fields.

    Raises:
        ScmError: If the name or a field is unknown.

    Example:
        >>> settings_of("double", steps=10).steps
        10
    """
    if isinstance(kind, str):
        if kind not in SETTINGS:
            raise ScmError(f"{kind!r} is no variant of a CGN; {nearest(kind, SETTINGS)}")
        if recipe not in ("autoencoder", "adversarial"):
            known = nearest(recipe, ("autoencoder", "adversarial"))
            raise ScmError(f"{recipe!r} is no recipe of a CGN; {known}")
        found = SETTINGS[kind] if recipe == "autoencoder" else _PAPER
    else:
        found = kind
    unknown = [name for name in changes if name not in Settings.__dataclass_fields__]
    if unknown:
        known = nearest(unknown[0], Settings.__dataclass_fields__)
        raise ScmError(f"a CGN has no setting {unknown[0]!r}; {known}")
    return replace(found, **changes)
