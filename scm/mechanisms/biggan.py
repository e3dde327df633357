"""BigGAN-deep as a mechanism: the image of a class, made from a truncated latent."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scm.errors import MechanismError, ScmError, nearest
from scm.mechanisms.mechanism import Mechanism, Parents
from scm.mechanisms.noise import Noise
from scm.mechanisms.seeding import seeded
from scm.mechanisms.types import Categorical, Image, Real
from scm.mechanisms.u2net import U2Net
from scm.mechanisms.weights import load_into

__all__ = ["BigGAN", "BigGANMask", "truncated"]

# Channels after each block, in units of the width, from 16; "+" doubles the side.
_BLOCKS = {
    "biggan-deep-128": "16 16+ 16 8+ 8 4+ 4 2+ 2 1+",
    "biggan-deep-256": "16 16+ 16 8+ 8 8+ 8 4+ 4 2+ 2 1+",
    "biggan-deep-512": "16 16+ 16 8+ 8 8+ 8 4+ 4 2+ 2 1+ 1 1+",
}
_MOST_LAYERS = 64
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet


def truncated(noise: Tensor, truncation: float) -> Tensor:
    r"""Standard normal noise pushed to a normal truncated at 2, then scaled.

    :math:`t \Phi^{-1}(\Phi(-2) + \Phi(u) (\Phi(2) - \Phi(-2)))`, elementwise.

    Source: Brock, Donahue and Simonyan (2019), section 3.1.

    Example:
        >>> truncated(torch.tensor([-9.0, 0.0, 9.0]), 0.5)
        tensor([-1.,  0.,  1.])
    """
    low, high = (0.5 * (1 + math.erf(x / math.sqrt(2))) for x in (-2.0, 2.0))
    share = torch.special.ndtr(noise.double())
    drawn: Tensor = torch.special.ndtri(low + share * (high - low)).to(noise)
    return truncation * drawn


class BigGAN(Mechanism):
    """A BigGAN-deep generator, `S := G(t z(U), label)` with pixels in [-1, 1].

    U is standard normal; z truncates it at 2 standard deviations. The parents are the label,
    `Categorical(classes)`, and, if several nodes are to share one latent, a `Real((width,))`
    node that takes the place of U.

    Args:
        settings: "biggan-deep-128", "-256" or "-512", or the values of a published
            `config.json`.
        truncation: The factor t, above 0 and at most 1.
        seed: Seed of the random weights; `from_pretrained` reads trained ones.

    Raises:
        MechanismError: If the settings or the parents are none it can have.
        ScmError: If pytorch-pretrained-biggan is not installed.

    Source: Brock, Donahue and Simonyan (2019), appendix B, tables 7 to 9, as published by
    Hugging Face. That package mixes up the two neighbours when it interpolates the statistics
    of its batch norms: truncations that are no multiple of 0.02 get those of another one.
    """

    type: Image
    label: str
    latent: str | None = None

    def __init__(
        self,
        settings: str | Mapping[str, Any] = "biggan-deep-256",
        truncation: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not 0 < truncation <= 1:
            raise MechanismError(
                f"truncation={truncation} was given; expected a number above 0 and at most 1"
            )
        self.settings = _settings(settings)
        self.truncation, self.seed = truncation, seed
        self.generator = _network(self.settings, seed)
        size = self.settings["output_dim"]
        self.type = Image((3, size, size), (-1.0, 1.0))
        self.noise = Noise("normal", (self.settings["z_dim"],))

    @classmethod
    def from_pretrained(cls, source: str | Path, truncation: float = 1.0, **options: Any) -> Self:
        """Read trained weights.

        Args:
            source: A folder with `config.json` and `pytorch_model.bin`, or the name of a
                published network, taken from the package's cache or downloaded to it.
            truncation: The factor t.
            **options: Further arguments of the class.

        Raises:
            ScmError: If there are no such files, or they do not belong together.
        """
        config, weights = _files(source)
        try:
            settings = json.loads(config.read_text())
        except (OSError, RecursionError, ValueError) as error:
            raise ScmError(f"{config} cannot be read as JSON ({error!s:.200})") from error
        _refuse_larger(config, settings, weights)
        mechanism = cls(settings, truncation, **options)
        load_into(mechanism.generator, weights)
        return mechanism

    def on_bind(self) -> None:
        width, classes = self.settings["z_dim"], self.settings["num_classes"]
        labels = [n for n, k in self.parents.items() if k == Categorical(classes)]
        latents = [n for n, k in self.parents.items() if k == Real((width,))]
        if len(labels) != 1 or len(latents) > 1 or len(labels + latents) < len(self.parents):
            raise MechanismError(
                f"{self.describe()} was given the parents {dict(self.parents)}; expected the "
                f"label, Categorical({classes}), and at most a shared latent, Real(({width},))"
            )
        self.label, self.latent = labels[0], latents[0] if latents else None
        self.noise = None if self.latent else Noise("normal", (width,))

    def image(self, noise: Tensor, label: Tensor) -> Tensor:
        """Images `(n, 3, size, size)` of noise `(n, width)` and labels `(n,)`."""
        onehot = F.one_hot(label, self.settings["num_classes"]).to(noise)
        out: Tensor = self.generator(truncated(noise, self.truncation), onehot, self.truncation)
        return out

    def forward(self, parents: Parents, noise: Tensor | None) -> Tensor:
        latent = noise if self.latent is None else parents[self.latent]
        assert latent is not None
        return self.image(latent, parents[self.label])

    def config(self) -> dict[str, Any]:
        return {"settings": self.settings, "truncation": self.truncation, "seed": self.seed}


class BigGANMask(BigGAN):
    """The mask of a BigGAN's image, `M := U2(G(t z(U), label))`, in [1e-4, 1 - 1e-4].

    The generator's image, from which a U2-Net cuts out the salient object, is the *pre-mask*.

    Args:
        settings: As for `BigGAN`.
        truncation: As for `BigGAN`.
        small: Use the U2-Net of 1.1 million parameters.
        saliency: File of the U2-Net's published weights; random ones by default.
        seed: Seed of random weights.

    Source: Sauer and Geiger (2021), section 3.1, "Shape Mechanism".
    """

    def __init__(
        self,
        settings: str | Mapping[str, Any] = "biggan-deep-256",
        truncation: float = 1.0,
        small: bool = False,
        saliency: str | Path | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(settings, truncation, seed)
        self.type = Image((1, *self.type.shape[1:]))
        self.saliency = U2Net(small, saliency, seed).eval()

    def mask(self, image: Tensor) -> Tensor:
        """Mask `(n, 1, size, size)` of pre-masks in [-1, 1]."""
        return salient(self.saliency, image).clamp(1e-4, 1 - 1e-4)

    def forward(self, parents: Parents, noise: Tensor | None) -> Tensor:
        return self.mask(super().forward(parents, noise))

    def config(self) -> dict[str, Any]:
        return {**super().config(), "small": self.saliency.small}


def salient(network: nn.Module, images: Tensor) -> Tensor:
    """Saliency `(n, 1, h, w)` of images in [-1, 1], prepared as U2-Net was trained.

    The CGN's code shows them to U2-Net as they are.
    """
    scaled = (images + 1) / 2
    scaled = scaled / scaled.amax((1, 2, 3), keepdim=True).clamp_min(1e-6)
    mean, deviation = (scaled.new_tensor(v)[:, None, None] for v in (_MEAN, _DEVIATION))
    out: Tensor = network((scaled - mean) / deviation)
    return out


def _settings(given: str | Mapping[str, Any]) -> dict[str, Any]:
    """Values of the package's configuration, complete."""
    defaults = {
        "z_dim": 128,
        "class_embed_dim": 128,
        "channel_width": 128,
        "num_classes": 1000,
        "attention_layer_position": 8,
        "eps": 1e-4,
        "n_stats": 51,
    }
    if isinstance(given, str):
        if given not in _BLOCKS:
            raise MechanismError(f"BigGAN({given!r}) was asked for; {nearest(given, _BLOCKS)}")
        layers, inside = [], 16
        for block in _BLOCKS[given].split():
            outside = int(block.rstrip("+"))
            layers.append([block.endswith("+"), inside, outside])
            inside = outside
        return {**defaults, "output_dim": int(given.rsplit("-", 1)[1]), "layers": layers}
    settings = {**defaults, **given}
    missing = {"output_dim", "layers"} - settings.keys()
    if missing:
        raise MechanismError(f"BigGAN's settings {dict(given)} lack {sorted(missing)}")
    settings["layers"] = [list(layer) for layer in settings["layers"]]
    side = 4 * 2 ** sum(up for up, *_ in settings["layers"])
    odd = [layer for layer in settings["layers"] if layer[2] not in (layer[1], layer[1] // 2)]
    widths = settings["z_dim"] != settings["class_embed_dim"]
    if widths or side != settings["output_dim"] or odd:
        raise MechanismError(
            f"BigGAN's settings {dict(given)} contradict themselves: z_dim must equal "
            f"class_embed_dim, a block must keep or halve its channels, and these blocks make "
            f"images of {side} pixels a side"
        )
    return settings


def _network(settings: Mapping[str, Any], seed: int) -> nn.Module:
    """The generator with random weights, ready for evaluation."""
    package = _package()
    with seeded(seed):
        network: Any = package.BigGAN(package.BigGANConfig.from_dict(dict(settings)))
        nn.init.ones_(network.generator.bn.weight)  # left as they were found in memory
        nn.init.zeros_(network.generator.bn.bias)
        # The first estimate of a spectral norm is random, and can be next to nothing.
        for module in network.modules():
            for hook in module._forward_pre_hooks.values():
                if hasattr(hook, "compute_weight"):
                    with torch.no_grad():
                        hook.compute_weight(module, do_power_iteration=True)
    made: nn.Module = network.eval()
    return made


def _refuse_larger(config: Path, settings: Any, weights: Path) -> None:
    """Refuse settings of a network that is far larger than its file of weights."""
    try:
        made = _settings(settings)
        if len(made["layers"]) > _MOST_LAYERS:
            raise ScmError(f"it has {len(made['layers'])} layers, and {_MOST_LAYERS} are the most")
        with torch.device("meta"):  # shapes without memory
            network = _network(made, seed=0)
    except ScmError:
        raise
    except Exception as error:  # whatever the package makes of them
        raise ScmError(f"{config} holds no settings of a BigGAN ({error!s:.200})") from error
    size, held = sum(t.nbytes for t in network.state_dict().values()), weights.stat().st_size
    if size > 4 * held + 2**20:
        raise ScmError(
            f"{config} describes a network of {size:,} bytes, and {weights} has {held:,}: they do "
            "not belong together"
        )


def _package() -> Any:
    try:
        import pytorch_pretrained_biggan
    except ImportError as error:
        raise ScmError(
            "BigGAN comes with pytorch-pretrained-biggan, which is not installed: "
            "pip install 'neural-scm[vision]'"
        ) from error
    return pytorch_pretrained_biggan


def _files(source: str | Path) -> tuple[Path, Path]:
    """Configuration and weights of a folder, or of a published name."""
    _package()
    from pytorch_pretrained_biggan import file_utils, model

    name = str(source)
    if name not in _BLOCKS:
        folder = Path(source)
        config, weights = folder / "config.json", folder / "pytorch_model.bin"
        missing = [path.name for path in (config, weights) if not path.is_file()]
        if missing:
            one = "biggan-deep-256"
            raise ScmError(
                f"{folder} does not hold {' and '.join(missing)}. Download {one}'s from "
                f"{model.PRETRAINED_CONFIG_ARCHIVE_MAP[one]} and "
                f"{model.PRETRAINED_MODEL_ARCHIVE_MAP[one]} (the others' likewise), put them there "
                f"as config.json and pytorch_model.bin; or give one of {', '.join(_BLOCKS)} in "
                "place of a folder, to take them from the package's cache or download them"
            )
        return config, weights
    return (
        _fetched(file_utils, model.PRETRAINED_CONFIG_ARCHIVE_MAP[name]),
        _fetched(file_utils, model.PRETRAINED_MODEL_ARCHIVE_MAP[name]),
    )


def _fetched(package: Any, address: str) -> Path:
    """The file of an address, from the package's cache without asking for news, or downloaded."""
    cache = Path(package.PYTORCH_PRETRAINED_BIGGAN_CACHE)
    for note in sorted(cache.glob("*.json")):
        try:
            known = json.loads(note.read_text())
        except (OSError, ValueError):
            continue
        file = note.with_suffix("")
        if isinstance(known, dict) and known.get("url") == address and file.is_file():
            return file
    try:
        return Path(package.cached_path(address))
    except OSError as error:
        raise ScmError(
            f"{address} is not in the cache of pytorch-pretrained-biggan ({cache}) and cannot be "
            f"downloaded ({error}); fetch config.json and pytorch_model.bin elsewhere and give "
            "their folder"
        ) from error
