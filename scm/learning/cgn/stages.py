"""The stages of training a CGN: what one step of each does."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scm.learning.cgn import losses
from scm.learning.cgn.model import CGN
from scm.learning.cgn.settings import Settings
from scm.learning.ranks import Ranks
from scm.mechanisms.cgn import Labelled, compose

__all__ = ["Adversarial", "Autoencoding", "Discriminator", "Stage"]


class Stage(ABC):
    """A part of a training run, whose step t depends on what it holds and on t alone.

    Attributes:
        name: What the progress bar calls it.
        steps: Number of steps.
        batch: Images a step.
        optimisers: Its optimisers, by name.
        beside: Networks that are trained but are no part of the model.
        ranks: The processes that train together. A loss is a mean over images, so that its
            gradient is the mean of those of the ranks, each of which sees its part of the batch.
    """

    name: str
    steps: int
    batch: int
    ranks = Ranks()

    def __init__(self, cgn: CGN, settings: Settings) -> None:
        self.cgn, self.settings = cgn, settings
        self.optimisers: dict[str, torch.optim.Optimizer] = {}
        self.beside = nn.ModuleDict()

    @abstractmethod
    def step(self, t: int, images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        """Take step t on this rank's part of a batch, and return the masks that it made."""

    def _mechanism(self, node: str) -> Labelled:
        mechanism = self.cgn.mechanisms[node]
        assert isinstance(mechanism, Labelled)
        return mechanism

    def _encoded(
        self, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Means and log standard deviations of the noise, and a draw of it by node."""
        encoder = self.cgn.encoder
        assert encoder is not None
        shown = F.one_hot(labels, self.settings.classes).to(images)
        mean, log_scale = encoder.net(torch.cat([images.flatten(1), shown], 1)).chunk(2, -1)
        draw = self.ranks.normal(len(mean), mean.shape[1], generator).to(mean)
        return mean, log_scale, encoder.split(mean + log_scale.exp() * draw)

    def _descend(
        self, name: str, loss: Tensor, lr: float, frozen: Iterable[nn.Parameter] = ()
    ) -> None:
        optimiser = self.optimisers[name]
        for group in optimiser.param_groups:
            group["lr"] = lr
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        own = (p for group in optimiser.param_groups for p in group["params"])
        self.ranks.add_gradients(own, mean=True)
        for parameter in frozen:
            parameter.grad = None
        optimiser.step()

    def _of_masks(self, t: int, masks: Tensor) -> Tensor:
        """The losses of the shape mechanism."""
        own, weights = self.settings, self.settings.weights
        low, high = own.binary_ramp
        share = min(1.0, max(0.0, (t / self.steps - low) / (high - low)))
        entropy = own.binary_from + share * (weights.binary - own.binary_from)
        total = masks.new_zeros(())
        if weights.binary:
            total = total + entropy * losses.binary(masks)
        if weights.mask:
            total = total + weights.mask * losses.mask(masks, *own.mass)
        if weights.edge:
            total = total + weights.edge * losses.edge(masks)
        return total

    def _of_textures(self, images: Tensor, m: Tensor, f: Tensor, b: Tensor) -> Tensor:
        weights = self.settings.weights
        total = m.new_zeros(())
        if weights.texture:
            total = total + weights.texture * losses.texture(f, images, m)
        if weights.background:
            total = total + weights.background * losses.background(b, images, m)
        return total


class Autoencoding(Stage):
    """Encoder and mechanisms together, as a conditional variational autoencoder.

    It minimises `L_rec + KL(q(u | x, y) || N(0, I)) + L_shape + L_text + L_bg + L_edge`.
    """

    name = "autoencode"

    def __init__(self, cgn: CGN, settings: Settings) -> None:
        super().__init__(cgn, settings)
        self.steps, self.batch = settings.steps, settings.batch
        trained = [p for p in cgn.parameters() if p.requires_grad]
        self.optimisers["all"] = torch.optim.Adam(trained, lr=settings.lr)

    def step(self, t: int, images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        """One step of descent on a batch; see `Stage.step`."""
        own, encoder = self.settings, self.cgn.encoder
        assert encoder is not None
        mean, log_scale, noise = self._encoded(images, labels, generator)
        m, f, b = (self._mechanism(v).generate(noise[v], labels) for v in ("M", "F", "B"))
        ramp = min(1.0, (t + 1) / (own.divergence_ramp * self.steps + 1))
        # Of the textures in full from the first step: their labels, not u, are to say the colour.
        widths = torch.full(mean.shape[1:], 1.0)
        widths[encoder.split(torch.arange(encoder.width))["M"]] = ramp
        loss = (
            own.weights.reconstruction * losses.reconstruction(compose(m, f, b), images, own.sigma)
            + own.weights.divergence * losses.divergence(mean, log_scale, widths.to(mean))
            + self._of_masks(t, m)
            + self._of_textures(images, m, f, b)
        )
        frozen = self._mechanism("M").parameters() if t < own.frozen else ()
        self._descend("all", loss, one_cycle(t, self.steps, own.lr), frozen)
        return m


class Adversarial(Stage):
    """The paper's recipe: all mechanisms from prior noise, against one discriminator.

    `L = L_adv + L_binary + L_mask + L_edge + L_text + L_bg`, least squares. The published
    code adds a style loss of VGG16, which `style` may hold; `texture` and `background` stand in.

    Source: Sauer and Geiger (2021), section 3.1 ("we could use an adversarial loss").
    """

    name = "adversarial"
    style: losses.Style | None = None

    def __init__(self, cgn: CGN, settings: Settings) -> None:
        super().__init__(cgn, settings)
        self.steps, self.batch = settings.steps, settings.batch
        critic = Discriminator(settings.size, settings.classes)
        self.beside["critic"] = critic
        for name, module in (("made", cgn), ("critic", critic)):
            parameters = [p for p in module.parameters() if p.requires_grad]
            self.optimisers[name] = torch.optim.Adam(parameters, settings.lr, betas=(0.5, 0.999))

    def step(self, t: int, images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        """One step of descent on a batch; see `Stage.step`."""
        critic, weights, lr = self.beside["critic"], self.settings.weights, self.settings.lr
        parts = []
        for node in ("M", "F", "B"):
            mechanism = self._mechanism(node)
            assert mechanism.noise is not None
            draw = self.ranks.normal(len(labels), mechanism.noise.width, generator)
            parts.append(mechanism.generate(draw.to(images), labels))
        m, f, b = parts
        fake = compose(m, f, b)
        real, made = critic(images, labels), critic(fake.detach(), labels)
        judged = losses.lsgan(real, real=True) + losses.lsgan(made, real=False)
        self._descend("critic", judged, lr)
        loss = self._of_masks(t, m) + self._of_textures(images, m, f, b)
        loss = loss + weights.adversarial * losses.lsgan(critic(fake, labels), real=True)
        if self.style is not None:
            loss = loss + self.style(fake, images)
        self._descend("made", loss, lr)
        return m


class Discriminator(nn.Module):
    """A projection discriminator, `D(x, y) = w . h(x) + e_y . h(x)`.

    Args:
        size: Side of the images, a multiple of 8.
        classes: Number of labels.
        widths: Channels of the three convolutions.
    """

    def __init__(
        self,
        size: int,
        classes: int,
        widths: tuple[int, int, int] = (32, 64, 96),
    ) -> None:
        super().__init__()

        layers: list[nn.Module] = []
        for inside, outside in zip((3, *widths[:-1]), widths, strict=True):
            convolution = nn.Conv2d(inside, outside, 4, stride=2, padding=1)
            layers += [convolution, nn.LeakyReLU(0.2)]
        features = widths[-1]
        self.layers = nn.Sequential(*layers)
        self.score = nn.Linear(features, 1)
        self.labels = nn.Embedding(classes, features)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Scores `(n,)` of images `(n, 3, size, size)` with labels `(n,)`."""
        hidden = self.layers(images).sum((2, 3))
        scores: Tensor = self.score(hidden).squeeze(1) + (self.labels(labels) * hidden).sum(1)
        return scores


def one_cycle(t: int, total: int, peak: float) -> float:
    """Learning rate of step t: up to the peak in 30% of the steps, then down, by cosines.

    Source: Smith and Topin (2018), with the constants of torch's `OneCycleLR`.
    """
    up = 0.3 * total
    if t < up:
        low, share = peak / 25, t / up
        return low + (peak - low) * (1 - math.cos(math.pi * share)) / 2
    share = min(1.0, (t - up) / max(1.0, total - up))
    return peak * (1 + math.cos(math.pi * share)) / 2
