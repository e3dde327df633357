"""Gratings: black bars on white, of which the horizontal one is a cause and the vertical is not.

Two fair coins are hidden. H1 puts a vertical bar into the image, H2 a horizontal one. The
behaviour T depends on H1 and on whether the image has a *horizontal* bar, so that in data
both bars go with T, while only the horizontal one acts on it.

Source: Chalupka, Perona and Eberhardt (2015), figure 1 and section 4.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Uniform

from scm.errors import ScmError
from scm.mechanisms import Categorical, Image, Macro, Mechanism, Root, Structural, Tabular
from scm.mechanisms.mechanism import Parents
from scm.model import SCM

__all__ = ["bar_codes", "bar_images", "bars", "gratings", "has_column", "has_row"]

Chances = Sequence[Sequence[float]]


def gratings(
    size: int = 10, noise: float = 0.03, chances: Chances = ((0.1, 0.4), (0.6, 0.9))
) -> SCM:
    r"""The GRATING model, `H1, H2 -> I; H1, I -> T; I => C, S`, black being 1 and white 0.

    The image I `(1, size, size)` has one full column at a random place iff H1 = 1, one full
    row iff H2 = 1, and each pixel is blackened with probability ``noise``. Where that would
    complete another bar, the image stays without noise, so that its bars are those that H1
    and H2 say. C reads whether I has a row, S whether it has a column; neither has a writer.

    The paper does not print P(T | H1, row). Here the column's difference (0.5) exceeds that of
    the row (0.3). The two must not be *equal*: then P(T = 1 | column alone) = P(T = 1 | row
    alone), two observational classes fall into one that the causal classes divide, and the
    causal partition is no coarsening: the exception of measure zero to the theorem.

    Args:
        size: Height and width, 2 or more.
        noise: Share of pixels blackened at random, `0 <= noise < 1`.
        chances: `P(T = 1 | H1 = h, I has a row iff r)` at `[h][r]`.

    Raises:
        ScmError: If an argument is out of its range.

    Source: Chalupka, Perona and Eberhardt (2015), section 4.1.

    Example:
        >>> units = gratings().sample(1000, seed=0)
        >>> bool((has_row(units["I"]) == units["H2"].bool()).all())
        True
        >>> row = gratings().man(I=torch.eye(10)[:1].T.expand(1, 10, 10))  # a row of black
        >>> row.sample(20_000, seed=0)["T"].double().mean().round(decimals=2)
        tensor(0.6500, dtype=torch.float64)
    """
    if not isinstance(size, int) or size < 2 or not 0 <= noise < 1:
        raise ScmError(
            f"gratings(size={size!r}, noise={noise!r}) was asked for; expected size >= 2 and "
            "0 <= noise < 1"
        )
    low = torch.full((1, size + 1, size), -float(noise))
    low[:, size] = 0.0  # the last row of the noise says where the bars are
    kind = Image((1, size, size))
    return SCM(
        "H1, H2 -> I; H1, I -> T; I => C, S",
        latent=("H1", "H2"),
        H1=Root.bernoulli(0.5),
        H2=Root.bernoulli(0.5),
        I=Structural(_paint, noise=Uniform(low, low + 1.0), type=kind),
        T=_Behaviour(_response(chances), coupling="monotone"),
        C=Macro(has_row, type=Categorical(2)),
        S=Macro(has_column, type=Categorical(2)),
    )


def bars(size: int = 3, chances: Chances = ((0.1, 0.4), (0.6, 0.9))) -> SCM:
    r"""The model of figure 1 as tables, `H1, H2 -> I; H1, I -> T` over all black-white images.

    `P(I | H1, H2)` is uniform over the images with at least one full column if H1 = 1 (none if
    H1 = 0) and at least one full row if H2 = 1 (none if not). I holds codes, see `bar_images`.

    Args:
        size: Height and width, 2 to 4; there are `2 ** size**2` images.
        chances: As in `gratings`.

    Raises:
        ScmError: If an argument is out of its range.

    Source: Chalupka, Perona and Eberhardt (2015), figure 1.

    Example:
        >>> joint = bars(2).exact()
        >>> row = int(bar_codes(torch.tensor([[[0.0, 0.0], [1.0, 1.0]]])))
        >>> round(float(joint.prob({"T": 1}, do={"I": row})), 3)
        0.65
        >>> round(float(joint.prob({"T": 1}, given={"I": row})), 3)
        0.4
    """
    images = bar_images(size)
    row, column = has_row(images).long(), has_column(images).long()
    allowed = torch.zeros(2, 2, len(images), dtype=torch.float64)
    allowed[column, row, torch.arange(len(images))] = 1.0
    behaviour = _response(chances)[:, row]
    return SCM(
        "H1, H2 -> I; H1, I -> T",
        latent=("H1", "H2"),
        H1=Root.bernoulli(0.5),
        H2=Root.bernoulli(0.5),
        I=Tabular(allowed / allowed.sum(-1, keepdim=True), coupling="monotone"),
        T=Tabular(behaviour),
    )


def has_row(images: Tensor) -> Tensor:
    """Whether images `(*batch, 1, height, width)` have a full black row: `(*batch,)` of bool.

    Example:
        >>> has_row(torch.tensor([[[0.0, 0.0], [1.0, 1.0]]]))
        tensor(True)
    """
    return (images > 0.5).all(-1).flatten(-2).any(-1)


def has_column(images: Tensor) -> Tensor:
    """Whether images `(*batch, 1, height, width)` have a full black column: `(*batch,)`.

    Example:
        >>> has_column(torch.tensor([[[0.0, 0.0], [1.0, 1.0]]]))
        tensor(False)
    """
    return has_row(images.mT)


def bar_images(size: int = 3) -> Tensor:
    """All black-white images, `(2 ** size**2, 1, size, size)` in the order of their codes.

    Pixel p, counted along the rows from the top left, is bit p of the code.

    Raises:
        ScmError: If the size is not 2, 3 or 4: of 5 there would be 33,554,432.

    Example:
        >>> bar_images(2)[6]
        tensor([[[0., 1.],
                 [1., 0.]]])
    """
    if size not in (2, 3, 4):
        raise ScmError(
            f"all black-white images of {size!r} x {size!r} pixels were asked for; expected a size "
            "of 2, 3 or 4 (65,536 images): for larger ones sample gratings(size)"
        )
    codes = torch.arange(2**size**2).unsqueeze(-1)
    bits = codes >> torch.arange(size**2) & 1
    return bits.view(-1, 1, size, size).to(torch.get_default_dtype())


def bar_codes(images: Tensor) -> Tensor:
    """Codes `(*batch,)` of black-white images `(*batch, 1, size, size)`; undoes `bar_images`.

    Example:
        >>> bar_codes(torch.tensor([[[1.0, 0.0], [0.0, 1.0]]]))  # bits 0 and 3
        tensor(9)
    """
    bits = (images > 0.5).flatten(-3).long()
    return (bits << torch.arange(bits.shape[-1], device=bits.device)).sum(-1)


class _Behaviour(Tabular):
    """`P(T | H1, I) = table[H1, has_row(I)]`."""

    def on_bind(self) -> None:
        """The parents are a coin and an image, which needs no table."""

    def _read(self, parents: Parents) -> dict[str, Tensor]:
        coin, image = parents
        return {coin: parents[coin], image: has_row(parents[image]).long()}

    def rows(self, parents: Parents) -> Tensor:
        return super().rows(self._read(parents))

    def fit(self, value: Tensor, parents: Parents, **options: Any) -> None:
        super().fit(value, self._read(parents), **options)

    def table(self) -> Tensor:
        return Mechanism.table(self)


def _paint(H1: Tensor, H2: Tensor, noise: Tensor) -> Tensor:
    """Bars, and noise where it is negative; its last row holds the places of the bars."""
    size = noise.shape[-1]
    place = (noise[..., size, :2] * size).long().clamp_max(size - 1)
    index = torch.arange(size, device=noise.device)
    column = (index == place[..., :1]).unsqueeze(-2) & (H1 == 1)
    row = (index == place[..., 1:]).unsqueeze(-1) & (H2 == 1)
    clean = column | row
    noisy = clean | (noise[..., :size, :] < 0)
    extra = (noisy.all(-1) != clean.all(-1)).any(-1) | (noisy.all(-2) != clean.all(-2)).any(-1)
    return torch.where(extra[..., None, None], clean, noisy).to(noise)


def _response(chances: Chances) -> Tensor:
    """`P(T | H1, row)` `(2, 2, 2)`."""
    table = torch.as_tensor(chances, dtype=torch.float64)
    if table.shape != (2, 2) or not ((table >= 0) & (table <= 1)).all():
        raise ScmError(
            f"chances={chances!r} was given; expected P(T = 1 | H1, row) as two rows of two "
            "numbers between 0 and 1, such as ((0.1, 0.4), (0.6, 0.9))"
        )
    return torch.stack([1 - table, table], -1)
