"""How digits are painted: the palettes, and the mechanisms of the image node."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from scm.errors import MechanismError
from scm.mechanisms import Categorical, Image, Mechanism, Real
from scm.mechanisms.assignment import broadcast
from scm.mechanisms.mechanism import Parents, Status

__all__ = ["FILLS", "Textured", "fill_of", "randomised_fills"]

# Class means of Kim et al. (2019): crimson, teal, lemon, bondi blue, carrot orange, strong
# violet, cyan, your pink, lime, maroon.
# fmt: off
_COLOURED = (
    0xDC143C, 0x008080, 0xFDE910, 0x0095B6, 0xED9121,
    0x911EBE, 0x46F0F0, 0xFAC5BB, 0xD2F53C, 0x800000,
)
# Dark green, dark blue, rich maroon, orange red, yellow, burlywood, lime, aqua, fuchsia,
# cornflower: the backgrounds; a digit of class k has the colour of background k - 6.
_DOUBLE = (
    0x006400, 0x00008B, 0xB03060, 0xFF4500, 0xFFFF00,
    0xDEB887, 0x00FF00, 0x00FFFF, 0xFF00FF, 0x6495ED,
)
# fmt: on

# What is written over the three channels of a GenInt image: "-" leaves one as it is.
FILLS = tuple(r + g + b for r in "-01" for g in "-01" for b in "-01")
_FIRST = ("11-", "-11", "1-1", "1--", "-1-", "--1", "00-", "-00", "0-0", "-0-")
_SECOND = ("--0", "0--", "-0-", "-10", "0-1", "10-", "01-", "-01", "1-0", "-1-")


def _of_class(palette: tuple[int, ...], code: Tensor) -> Tensor:
    """Colours `(*, 3)` in [0, 1] of codes `(*, 1)`."""
    rgb = torch.tensor([[c >> 16, c >> 8 & 255, c & 255] for c in palette], device=code.device)
    return rgb[code[..., 0]] / 255


def coloured_hue(foreground: Tensor) -> Tensor:
    """Mean colour of a coloured digit."""
    return _of_class(_COLOURED, foreground)


def double_hue(foreground: Tensor) -> Tensor:
    """Mean colour of a double-coloured digit."""
    return _of_class(_DOUBLE, (foreground - 6) % 10)


def background_hue(background: Tensor) -> Tensor:
    """Mean colour of the background of a double-coloured digit."""
    return _of_class(_DOUBLE, background)


def paint_on_black(digit: Tensor, foreground_hue: Tensor) -> Tensor:
    """`X = digit * clamp(hue, 0, 1)`."""
    return digit * foreground_hue.clamp(0, 1)


def paint_on_colour(digit: Tensor, foreground_hue: Tensor, background_hue: Tensor) -> Tensor:
    """`X = clamp(hue of the digit where it has ink, of the background elsewhere, 0, 1)`."""
    return torch.where(digit > 0.5, foreground_hue.clamp(0, 1), background_hue.clamp(0, 1))


def paint_channels(digit: Tensor, fill: Tensor) -> Tensor:
    """The digit in [-1, 1] on every channel that the fill leaves, 0 or 1 on the others."""
    value = torch.tensor([["01".find(c) for c in name] for name in FILLS], device=digit.device)
    wanted = value.to(digit)[fill[..., 0, 0, 0]][..., None, None]
    return torch.where(wanted < 0, 2 * digit - 1, wanted)


def fill_of() -> Tensor:
    """`P(fill | class, environment)`, `(10, 2, 27)`: the two colourings of each class."""
    table = torch.zeros(10, 2, len(FILLS), dtype=torch.float64)
    for environment, names in enumerate((_FIRST, _SECOND)):
        for k, name in enumerate(names):
            table[k, environment, FILLS.index(name)] = 1.0
    return table


def randomised_fills() -> Tensor:
    """`P(fill)` in GenInt's causal test: twice, a random channel is set to 0 or 1, `(27,)`."""
    chance = torch.zeros(len(FILLS), dtype=torch.float64)
    for first in range(6):
        for second in range(6):
            fill = ["-", "-", "-"]
            for draw in (first, second):
                fill[draw // 2] = "01"[draw % 2]
            chance[FILLS.index("".join(fill))] += 1 / 36
    return chance


class Textured(Mechanism):
    """A digit cut out of one texture and laid on another, `X := f where digit > 0.5, else b`.

    f and b are windows of the textures of two classes. Its parents are, in this order, the
    digit, the class of each texture, and the place of each window, `(2,)` in [0, 1] from the
    upper left to the lower right. Textures continue by 3 reflected pixels at their borders.

    Args:
        foreground: Textures of digits, `(classes, channels, height, width)`.
        background: Textures of backgrounds, of the same shape.
        size: Height and width of a window.

    Raises:
        MechanismError: If textures are smaller than a window, or do not fit the parents.

    Source: Sauer and Geiger (2021), appendix A.2; sizes as in their published code.
    """

    abduction: Status = "exact"
    broadcasts = True
    foreground: Tensor
    background: Tensor

    def __init__(self, foreground: Tensor, background: Tensor, size: int = 32) -> None:
        super().__init__()
        shape = foreground.shape
        if len(shape) != 4 or background.shape != shape or min(shape[2:]) < max(size, 4):
            raise MechanismError(
                f"textures of {tuple(shape)} and {tuple(background.shape)} were given for windows "
                f"of {size}; expected twice (classes, channels, height, width), no smaller"
            )
        self.size = size
        self.type = Image((shape[1], size, size))
        self.register_buffer("foreground", foreground, persistent=False)
        self.register_buffer("background", background, persistent=False)

    def on_bind(self) -> None:
        """Check that the parents are those of the description."""
        code = Categorical(len(self.foreground))
        wanted = [Image((1, self.size, self.size)), code, code, Real((2,)), Real((2,))]
        given = list(self.parents.values())
        if [(type(k), k.event, k.width) for k in given] != [
            (type(k), k.event, k.width) for k in wanted
        ]:
            raise MechanismError(
                f"the parents of {self.node!r} are "
                f"{ {name: str(kind) for name, kind in self.parents.items()} }; expected, in this "
                f"order, {', '.join(map(str, wanted))}"
            )

    def forward(self, parents: Parents, noise: Tensor | None) -> Tensor:
        """Images `(*batch, channels, size, size)`."""
        digit, front, back, front_place, back_place = parents.values()
        batch = broadcast(
            digit.shape[:-3], front.shape, back.shape, front_place.shape[:-1], back_place.shape[:-1]
        )
        foreground, background = self._windows(self.foreground), self._windows(self.background)
        out = digit.new_empty(*batch, *self.type.event)
        for start in range(0, batch[-1], 1024):  # so that no other whole data set is held
            rows = slice(start, start + 1024)
            f = _cut(foreground, front[..., rows], front_place[..., rows, :])
            b = _cut(background, back[..., rows], back_place[..., rows, :])
            ink = digit[..., rows, :, :, :] > 0.5
            out[..., rows, :, :, :] = torch.where(ink, f, b)
        return out

    def _windows(self, textures: Tensor) -> Tensor:
        """Every window, as a view `(classes, channels, rows, columns, size, size)`."""
        padded = F.pad(textures, (3, 3, 3, 3), mode="reflect")
        return padded.unfold(2, self.size, 1).unfold(3, self.size, 1)

    def config(self) -> dict[str, Any]:
        """The textures and the size of a window."""
        return {"foreground": self.foreground, "background": self.background, "size": self.size}


def _cut(windows: Tensor, code: Tensor, place: Tensor) -> Tensor:
    """Windows `(*batch, channels, size, size)` of the codes' textures at the places."""
    height, width = windows.shape[2:4]
    row = (place[..., 0].double() * height).long().clamp(0, height - 1)
    column = (place[..., 1].double() * width).long().clamp(0, width - 1)
    return windows[code, :, row, column]
