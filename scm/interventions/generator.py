"""A conditional image generator `G(h, y)`, seen from its latent and from any of its layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scm.errors import InterventionError, MechanismError, nearest
from scm.mechanisms.biggan import BigGAN
from scm.mechanisms.cvae import CVAE
from scm.mechanisms.mechanism import Mechanism, Parents
from scm.mechanisms.types import Categorical, Image
from scm.worlds.program import mixes_rows

__all__ = ["ConditionalGenerator", "LatentImage", "LayerOutput", "generator_of"]


@dataclass(frozen=True, eq=False)
class ConditionalGenerator:
    """A generator `x = G(h, y)` of a standard normal latent h and a class y.

    Attributes:
        network: The module whose layers have names.
        make: Images `(n, *shape)` of latents `(n, width)` and labels `(n,)`.
        width: Width of the latent.
        classes: Number of classes.
        image: Type of the images.
        arguments: What makes it again, for a file: "generator", a module or the name of a
            mechanism, and its options.

    Example:
        >>> class Painter(nn.Module):
        ...     def forward(self, h, y):
        ...         return (h[:, :1] + y[:, None]).tanh()[..., None, None].expand(-1, 3, 4, 4)
        >>> made = generator_of(Painter(), width=2, classes=10)
        >>> made.make(torch.zeros(5, 2), torch.arange(5)).shape, made.image.shape
        (torch.Size([5, 3, 4, 4]), (3, 4, 4))
    """

    network: nn.Module
    make: Callable[[Tensor, Tensor], Tensor]
    width: int
    classes: int
    image: Image
    arguments: Mapping[str, Any]

    def layer(self, name: str) -> nn.Module:
        """The layer of a name, as in `named_modules()`.

        Raises:
            InterventionError: If there is none, with the names of those that there are.
        """
        known: dict[str, nn.Module] = {n: m for n, m in self.network.named_modules() if n}
        if name not in known:
            raise InterventionError(
                f"the generator has no layer {name!r}; {nearest(name, known)}. It has "
                f"{', '.join(known)}"
            )
        return known[name]

    def labels(self, label: int | None, n: int, generator: torch.Generator) -> Tensor:
        """`n` labels: all the same, or drawn uniformly.

        Raises:
            InterventionError: If the generator has no such class.
        """
        if label is None:
            return torch.randint(self.classes, (n,), generator=generator, device=generator.device)
        if not 0 <= label < self.classes:
            raise InterventionError(
                f"label={label} was given; expected one of the generator's classes, 0 to "
                f"{self.classes - 1}"
            )
        return torch.full((n,), label, device=generator.device)

    def features(self, name: str, latent: Tensor, labels: Tensor) -> Tensor:
        """Output of a layer, flattened to `(n, features)`; what follows it is not computed.

        Raises:
            InterventionError: If there is no such layer, or it does not give one row a latent.
        """
        caught: list[Any] = []

        def stop(_: nn.Module, __: Any, output: Any) -> None:
            caught.append(output)
            raise _Reached

        handle = self.layer(name).register_forward_hook(stop)
        try:
            with torch.no_grad():
                self.make(latent, labels)
        except _Reached:
            pass
        finally:
            handle.remove()
        if (
            not caught
            or not isinstance(caught[0], Tensor)
            or caught[0].shape[:1] != latent.shape[:1]
        ):
            found = "never runs" if not caught else f"returns {_shown(caught[0])}"
            raise InterventionError(
                f"layer {name!r} {found} where {len(latent)} images are made; expected a layer "
                "with one tensor as output, a row for each latent"
            )
        return caught[0].flatten(1)

    @contextmanager
    def replaced(self, name: str, features: Tensor) -> Iterator[None]:
        """Inside, the layer's output is these features `(n, features)`."""
        handle = self.layer(name).register_forward_hook(lambda _, __, out: features.view_as(out))
        try:
            yield
        finally:
            handle.remove()


class _Reached(Exception):
    pass


def generator_of(
    generator: ConditionalGenerator | Mechanism | nn.Module,
    *,
    width: int | None = None,
    classes: int | None = None,
    range: tuple[float, float] = (-1.0, 1.0),
) -> ConditionalGenerator:
    """Read a generator: BigGAN, a CVAE of a class, or any module `(h, y) -> x`.

    Args:
        generator: A `BigGAN` mechanism; a `CVAE` mechanism that is bound to one categorical
            parent; or a module of latents `(n, width)` and int64 labels `(n,)`.
        width: Width of the latent, for a module.
        classes: Number of classes, for a module.
        range: Range of the pixels, for a module.

    Raises:
        InterventionError: If it is none of these, a module in training mode, or what it makes
            are no images.

    Example:
        >>> class Painter(nn.Module):
        ...     def forward(self, h, y):
        ...         return (h[:, :1] + y[:, None]).tanh()[..., None, None].expand(-1, 3, 4, 4)
        >>> generator_of(Painter(), width=2, classes=10).image.shape
        (3, 4, 4)
    """
    if isinstance(generator, ConditionalGenerator):
        return generator
    if type(generator) is BigGAN:
        return _biggan(generator)
    if isinstance(generator, CVAE):
        return _cvae(generator)
    if not isinstance(generator, nn.Module) or isinstance(generator, Mechanism):
        raise InterventionError(
            f"a {type(generator).__name__} was given as generator; expected a BigGAN or CVAE "
            "mechanism, or an nn.Module of latents (n, width) and labels (n,)"
        )
    if width is None or classes is None or width < 1 or classes < 1:
        raise InterventionError(
            f"width={width}, classes={classes} were given with a {type(generator).__name__}; "
            "say how wide its latent is, and how many classes it has"
        )
    if found := mixes_rows(generator):
        raise InterventionError(
            f"the {type(generator).__name__} given as generator holds a {found}; call its eval() "
            "first"
        )
    like = next(generator.parameters(), torch.zeros(()))
    with torch.no_grad():
        made = generator(
            torch.zeros(2, width).to(like), torch.zeros(2, dtype=torch.int64).to(like.device)
        )
    if not isinstance(made, Tensor) or made.ndim != 4 or len(made) != 2:
        raise InterventionError(
            f"{type(generator).__name__} made {_shown(made)} of two latents; expected images "
            "(2, channels, height, width)"
        )
    arguments = {"generator": generator, "width": width, "classes": classes, "range": range}
    image = Image(tuple(made.shape[1:]), range)
    return ConditionalGenerator(generator, generator, width, classes, image, arguments)


def _again(generator: Any, options: Mapping[str, Any]) -> ConditionalGenerator:
    """A generator from its `arguments`."""
    if generator == "BigGAN":
        return _biggan(BigGAN(**options))
    if generator == "CVAE":
        own = {name: value for name, value in options.items() if name != "parents"}
        cvae = CVAE(**own)
        cvae.bind("X", options["parents"])
        return _cvae(cvae)
    return generator_of(generator, **options)


def _biggan(biggan: BigGAN) -> ConditionalGenerator:
    classes = biggan.settings["num_classes"]

    def make(latent: Tensor, labels: Tensor) -> Tensor:
        onehot = F.one_hot(labels, classes).to(latent)
        out: Tensor = biggan.generator(latent, onehot, biggan.truncation)
        return out

    arguments = {"generator": "BigGAN", **biggan.config()}
    return ConditionalGenerator(
        biggan.generator, make, biggan.settings["z_dim"], classes, biggan.type, arguments
    )


def _cvae(cvae: CVAE) -> ConditionalGenerator:
    name, kind = next(iter(cvae.parents.items()), ("", None))
    if len(cvae.parents) != 1 or not isinstance(kind, Categorical) or cvae.decoder is None:
        raise InterventionError(
            f"{cvae.describe()} has the parents {dict(cvae.parents)}; expected a CVAE in a model "
            "where its one parent is the class, as 'Y -> X'"
        )
    arguments = {"generator": "CVAE", **cvae.config(), "encoder": None, "parents": {name: kind}}
    return ConditionalGenerator(
        cvae.decoder,
        lambda h, y: cvae.decode(h, {name: y}),
        cvae.latent,
        kind.size,
        cvae.type,
        arguments,
    )


class LayerOutput(Mechanism):
    """The output of a layer as a node of its own, `L := layer(H, Y)`.

    Args:
        generator: The generator, or what `ConditionalGenerator.arguments` says of it.
        layer: Name of the layer.
        type: Its type, `Real((features,))`.
        **options: What else its arguments say.
    """

    broadcasts = False

    def __init__(self, generator: Any, layer: str, type: Any, **options: Any) -> None:
        super().__init__()
        self.generator, self.layer, self.type = _again(generator, options), layer, type
        self.network = self.generator.network

    def forward(self, parents: Parents, noise: Tensor | None) -> Tensor:
        """Features `(n, width)` of latents and labels."""
        return self.generator.features(self.layer, *parents.values())

    def config(self) -> dict[str, Any]:
        """Arguments that make it again."""
        return {**self.generator.arguments, "layer": self.layer, "type": self.type}


class LatentImage(Mechanism):
    """The image of a latent and a class, `X := G(H, Y)`; with a layer's output L, G given L.

    Args:
        generator: The generator, or what `ConditionalGenerator.arguments` says of it.
        layer: Name of the layer whose output is the third parent.
        batch: Images at a time, which bounds the memory.
        **options: What else its arguments say.
    """

    broadcasts = False

    def __init__(
        self, generator: Any, layer: str | None = None, batch: int = 256, **options: Any
    ) -> None:
        super().__init__()
        if batch < 1:
            raise MechanismError(f"batch={batch} was given; expected 1 or more")
        self.generator, self.layer, self.batch = _again(generator, options), layer, batch
        self.network, self.type = self.generator.network, self.generator.image

    def forward(self, parents: Parents, noise: Tensor | None) -> Tensor:
        """Images `(n, *shape)` of latents and labels, and the layer's output if it is a parent."""
        parts = zip(*(value.split(self.batch) for value in parents.values()), strict=True)
        made = [self._make(*part) for part in parts]
        return made[0] if len(made) == 1 else torch.cat(made)

    def config(self) -> dict[str, Any]:
        """Arguments that make it again."""
        return {**self.generator.arguments, "layer": self.layer, "batch": self.batch}

    def _make(self, latent: Tensor, labels: Tensor, features: Tensor | None = None) -> Tensor:
        if self.layer is None or features is None:
            return self.generator.make(latent, labels)
        with self.generator.replaced(self.layer, features):
            return self.generator.make(latent, labels)


def _shown(value: Any) -> str:
    return (
        f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
    )
