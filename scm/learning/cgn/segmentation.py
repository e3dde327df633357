"""Shapes found by the colours of pixels, and textures quilted from the patches that they leave.

Where object and background have textures of their own, a shape is what tells their pixels
apart: `log p(x | m, y) = sum_i log(m_i p_F(x_i | y) + (1 - m_i) p_B(x_i | y))`. p_B is read off
the border, where no object reaches; p_F starts as what the border does not explain, and is then
learned with the shapes, as in expectation maximisation.
"""

from __future__ import annotations

import torch
from torch import Tensor

from scm.learning.cgn import losses
from scm.learning.cgn.model import CGN
from scm.learning.cgn.quilting import quilt
from scm.learning.cgn.settings import Settings
from scm.learning.cgn.stages import Stage, one_cycle
from scm.mechanisms.cgn_patches import PixelOdds, QuiltTexture

__all__ = ["Segmenting", "learn_textures", "odds_of"]

_EDGE = 4  # a grid of places at which patches of background are cut


class Segmenting(Stage):
    """Encoder and shape as a conditional variational autoencoder of which pixel is whose.

    It minimises `-sum_i log(m_i p_F(x_i) + (1 - m_i) p_B(x_i)) + beta KL(q(u_M | x, y) || N(0, I))
    + L_shape + L_edge`. After a share of the steps p_F follows the pixels of the objects.
    """

    name = "segment"

    def __init__(self, cgn: CGN, settings: Settings) -> None:
        super().__init__(cgn, settings)
        self.steps, self.batch = settings.steps, settings.batch
        trained = [p for p in cgn.parameters() if p.requires_grad]
        self.optimisers["all"] = torch.optim.Adam(trained, lr=settings.lr)

    def step(self, t: int, images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        """One step of descent on a batch; see `Stage.step`."""
        own, odds, encoder = self.settings, odds_of(self.cgn), self.cgn.encoder
        assert encoder is not None
        mean, log_scale, noise = self._encoded(images, labels, generator)
        m = self._mechanism("M").generate(noise["M"], labels)
        with torch.no_grad():
            front, back = odds.log_chances(images, labels)
            if t > own.learn_from * self.steps:
                inside = torch.sigmoid(torch.logit(m, 1e-4) + front - back)
                colours = odds.nearest(images, labels)
                whole = (self.ranks.gather(part) for part in (colours, labels, inside))
                odds.front.lerp_(odds.shares(*whole), 0.03)
        ramp = min(1.0, (t + 1) / (own.divergence_ramp * self.steps + 1))
        widths = torch.zeros(mean.shape[1])  # of textures, the noise is not looked for
        widths[encoder.split(torch.arange(encoder.width))["M"]] = ramp
        loss = (
            own.weights.reconstruction * losses.mixture(m, front, back)
            + own.weights.divergence * losses.divergence(mean, log_scale, widths.to(mean))
            + self._of_masks(t, m)
        )
        frozen = self._mechanism("M").parameters() if t < own.frozen else ()
        self._descend("all", loss, one_cycle(t, self.steps, own.lr), frozen)
        return m


def odds_of(cgn: CGN) -> PixelOdds:
    """What the model's encoder sees of an image."""
    assert cgn.encoder is not None
    odds = cgn.encoder.net.odds
    assert isinstance(odds, PixelOdds)
    return odds


def learn_textures(
    cgn: CGN, images: Tensor, labels: Tensor, settings: Settings, generator: torch.Generator
) -> None:
    """Quilt both textures from pieces of images in which there is nothing else.

    A patch of F lies where the mask is above 0.8 throughout, one of B where it is below 0.05;
    where an image has none, its best one is taken.

    Args:
        cgn: The model, whose textures are changed.
        images: Images `(n, 3, size, size)`.
        labels: Classes `(n,)`.
        settings: Say how many patches of which sides are taken, and how far they overlap.
        generator: Draws images, places and patches.
    """
    for node, side in zip("FB", settings.patch, strict=True):
        texture = cgn.mechanisms[node]
        assert isinstance(texture, QuiltTexture)
        for label in range(cgn.classes):
            rows = (labels == label).nonzero()[:, 0]
            if len(rows):
                found = list[Tensor]()
                while sum(map(len, found)) < settings.patches:
                    drawn = torch.randint(len(rows), (100,), generator=generator)
                    chosen = rows[drawn.to(rows.device)]
                    seen = {"X": images[chosen], "Y": labels[chosen]}
                    masks = cgn.abduct(seen, seed=0)["M"]
                    found.append(_patches(images[chosen], masks, node == "F", side, generator))
                patches = torch.cat(found)[: settings.patches]
                texture.bank[label] = quilt(
                    patches, texture.quilts, texture.size, settings.overlap, generator
                )


def _patches(
    images: Tensor, masks: Tensor, front: bool, side: int, generator: torch.Generator
) -> Tensor:
    """Up to 200 patches `(k, 3, side, side)` from where images show one texture alone."""
    stride = 1 if front else _EDGE
    inside = torch.nn.functional.unfold(masks if front else 1 - masks, side, stride=stride)
    pieces = torch.nn.functional.unfold(images, side, stride=stride).mT
    good = (inside > (0.8 if front else 0.95)).all(1)
    best = inside.mean(1).argmax(1, keepdim=True)
    good.scatter_(1, best, good.gather(1, best) | ~good.any(1, keepdim=True))
    found = pieces[good]
    order = torch.randperm(len(found), generator=generator)[:200]
    return found[order.to(found.device)].reshape(-1, 3, side, side)
