"""U2-Net, a network that finds the salient object of an image: a U of small Us.

Parameters have the names of the published networks (`stage1.rebnconvin.conv_s1.weight`, ...),
so that a published state dict loads.

Source: Qin, Zhang, Huang, Dehghan, Zaiane and Jagersand (2020), "U2-Net: Going deeper with
nested U-structure for salient object detection", sections 3.1 to 3.3 and table 1.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scm.errors import MechanismError
from scm.mechanisms.seeding import seeded
from scm.mechanisms.weights import load_into

__all__ = ["U2Net"]

# Stage -> depth of its U, channels in, inside and out; depth 0 is dilated and never pools.
_FULL = {
    "stage1": (7, 3, 32, 64),
    "stage2": (6, 64, 32, 128),
    "stage3": (5, 128, 64, 256),
    "stage4": (4, 256, 128, 512),
    "stage5": (0, 512, 256, 512),
    "stage6": (0, 512, 256, 512),
    "stage5d": (0, 1024, 256, 512),
    "stage4d": (4, 1024, 128, 256),
    "stage3d": (5, 512, 64, 128),
    "stage2d": (6, 256, 32, 64),
    "stage1d": (7, 128, 16, 64),
}
_SMALL = {
    name: (depth, 3 if name == "stage1" else 128 if name.endswith("d") else 64, 16, 64)
    for name, (depth, *_) in _FULL.items()
}


class _Step(nn.Module):
    """A dilated 3 x 3 convolution, batch norm, ReLU."""

    def __init__(self, inside: int, outside: int, dilation: int = 1) -> None:
        super().__init__()
        self.conv_s1 = nn.Conv2d(inside, outside, 3, padding=dilation, dilation=dilation)
        self.bn_s1 = nn.BatchNorm2d(outside)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn_s1(self.conv_s1(x)))


class _ResidualU(nn.Module):
    """A small U on top of a residual connection; `depth` 0 is the dilated one of depth 4."""

    def __init__(self, depth: int, inside: int, middle: int, outside: int) -> None:
        super().__init__()
        self.dilated, self.depth = depth == 0, depth or 4
        down = [2**k if self.dilated else 1 for k in range(self.depth)]
        down[-1] = 8 if self.dilated else 2
        self.rebnconvin = _Step(inside, outside)
        for k, dilation in enumerate(down, 1):
            self.add_module(f"rebnconv{k}", _Step(outside if k == 1 else middle, middle, dilation))
        for k in range(self.depth - 1, 0, -1):
            dilation = down[k - 1] if self.dilated else 1
            self.add_module(
                f"rebnconv{k}d", _Step(2 * middle, outside if k == 1 else middle, dilation)
            )

    def forward(self, x: Tensor) -> Tensor:
        first = here = self.rebnconvin(x)
        levels: list[Tensor] = []
        for k in range(1, self.depth + 1):
            here = self.get_submodule(f"rebnconv{k}")(here)
            levels.append(here)
            if not self.dilated and k < self.depth - 1:
                here = _halved(here)
        for k in range(self.depth - 1, 0, -1):
            beside = levels[k - 1]
            here = self.get_submodule(f"rebnconv{k}d")(torch.cat([_fit(here, beside), beside], 1))
        out: Tensor = here + first
        return out


class U2Net(nn.Module):
    """Saliency in [0, 1], `(n, 1, h, w)`, of images `(n, 3, h, w)`.

    Args:
        small: The network of 1.1 million parameters instead of that of 44 million.
        weights: File of published weights; random ones by default.
        seed: Seed of the random weights.

    Raises:
        ScmError: If the file does not hold this network.

    Source: Qin et al. (2020), figure 5 and table 1. The published networks expect images
    divided by their maximum, then standardised by ImageNet's mean and deviation. Maps are enlarged
    as there, `align_corners=False`; the CGN's copy of the network aligns corners.

    Example:
        >>> U2Net(small=True).eval()(torch.zeros(1, 3, 32, 32)).shape
        torch.Size([1, 1, 32, 32])
    """

    def __init__(
        self, small: bool = False, weights: str | Path | None = None, seed: int = 0
    ) -> None:
        super().__init__()
        self.small, self.seed = small, seed
        stages = _SMALL if small else _FULL
        with seeded(seed):
            for name, sizes in stages.items():
                self.add_module(name, _ResidualU(*sizes))
            for k, name in enumerate(_sides(), 1):
                self.add_module(f"side{k}", nn.Conv2d(stages[name][3], 1, 3, padding=1))
            self.outconv = nn.Conv2d(6, 1, 1)
        if weights is not None:
            name = "u2netp.pth" if small else "u2net.pth"
            load_into(self, weights, f"{name}, which the repository xuebinqin/U-2-Net links to")

    def forward(self, images: Tensor) -> Tensor:
        if images.ndim != 4 or images.shape[1] != 3:
            raise MechanismError(
                f"U2Net was given images of shape {tuple(images.shape)}; expected (n, 3, h, w)"
            )
        levels: dict[int, Tensor] = {}
        here = images
        for k in range(1, 7):
            levels[k] = here = self.get_submodule(f"stage{k}")(here if k == 1 else _halved(here))
        for k in range(5, 0, -1):
            joined = torch.cat([_fit(here, levels[k]), levels[k]], 1)
            levels[k] = here = self.get_submodule(f"stage{k}d")(joined)
        maps = [self.get_submodule(f"side{k}")(level) for k, level in sorted(levels.items())]
        fused: Tensor = self.outconv(torch.cat([_fit(m, images) for m in maps], 1))
        return fused.sigmoid()


def _sides() -> list[str]:
    """Stages whose output is a saliency map too, from the finest."""
    return [*(f"stage{k}d" for k in range(1, 6)), "stage6"]


def _halved(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 2, ceil_mode=True)


def _fit(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, like.shape[-2:], mode="bilinear", align_corners=False)
