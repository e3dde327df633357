"""A generator as a model whose nuisances can be set: `H, Y -> X; H => Z1, ..., Zk`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from scm.errors import InterventionError
from scm.interventions.directions import PrincipalDirections
from scm.interventions.generator import LatentImage, LayerOutput, generator_of
from scm.mechanisms import Macro, Mechanism, Real, Root
from scm.model import SCM

__all__ = ["Coordinate", "SupportWarning", "coordinates", "steerable"]


class SupportWarning(UserWarning):
    """Interventions leave what the generator has seen in training.

    Example:
        >>> import warnings
        >>> from scm.interventions import PrincipalDirections, Strategy
        >>> class Painter(nn.Module):
        ...     def forward(self, h, y):
        ...         return (h[:, :1] + y[:, None]).tanh()[..., None, None].expand(-1, 3, 4, 4)
        >>> known = {"width": 2, "classes": 10}
        >>> model = steerable(Painter(), PrincipalDirections.axes(Painter(), **known), **known)
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     units = Strategy(1.0, 1, scale=50.0).sample(model, 10, seed=0)
        >>> caught[0].category.__name__
        'SupportWarning'
    """


class Coordinate(nn.Module):
    """Reader of a nuisance, `z = r (h - centre) / unit`, in standard deviations.

    Args:
        direction: Unit vector r `(width,)`.
        centre: Mean `(width,)` of h.
        unit: Standard deviation of h along r.
        range: Reference range of steps, `(2,)`.
    """

    direction: Tensor
    centre: Tensor
    unit: Tensor
    range: Tensor

    def __init__(self, direction: Tensor, centre: Tensor, unit: Tensor, range: Tensor) -> None:
        super().__init__()
        for name, value in (
            ("direction", direction), ("centre", centre), ("unit", unit), ("range", range)
        ):  # fmt: skip
            self.register_buffer(name, value.detach().clone(), persistent=False)

    def forward(self, micro: Tensor) -> Tensor:
        """Readings `(n,)` of micro values `(n, width)`."""
        found: Tensor = (micro - self.centre) @ self.direction / self.unit
        return found


class _Setter(nn.Module):
    """Writer of a nuisance: the component along r is removed, and s r added."""

    def __init__(self, coordinate: Coordinate) -> None:
        super().__init__()
        self.coordinate = coordinate

    def forward(self, micro: Tensor, wanted: Tensor) -> Tensor:
        reading = self.coordinate(micro)[:, None]
        step: Tensor = (wanted.reshape(-1, 1) - reading) * self.coordinate.unit
        return micro + step * self.coordinate.direction


class Nuisance(Macro):
    """A nuisance of a generator as a macro-variable: read by a `Coordinate`, and set.

    Args:
        direction: As for `Coordinate`.
        centre: Likewise.
        unit: Likewise.
        range: Likewise.
    """

    read: Coordinate

    def __init__(self, direction: Tensor, centre: Tensor, unit: Tensor, range: Tensor) -> None:
        coordinate = Coordinate(direction, centre, unit, range)
        super().__init__(coordinate, _Setter(coordinate), tolerance=1e-3)

    def config(self) -> dict[str, Any]:
        """Arguments that make it again."""
        return dict(self.read.named_buffers())


def steerable(
    generator: Any,
    directions: PrincipalDirections,
    *,
    at: Literal["latent", "layer"] = "latent",
    batch: int = 256,
    **options: Any,
) -> SCM:
    """A generator as a structural causal model with its nuisances as macro-variables.

    - `at="latent"`: `H, Y -> X; H => Z1, ..., Zk`, `H ~ N(0, I)`, the paper's. `do(Z3=s)`
      removes H's component along the third latent direction and adds s times it;
      `man(H=directions.move(2, s))` is the paper's shift.
    - `at="layer"`: `H, Y -> L; H, Y, L -> X; L => Z1, ..., Zk`, L the layer's output. There
      the nuisance may depend on the label (Y -> L => Z); `do(Z3=s)` cuts that, which an
      intervention on H cannot.

    The model can be saved; a generator of modules that are not of `torch.nn` is left out and
    given again: `model.save(path, omit="X")`, `scm.load(path, functions={"X": module})` (and
    the same for "L").

    Y is uniform. Every Z has mean 0 and standard deviation 1 before intervention (at a layer:
    over the class or classes that its directions were found for).

    Args:
        generator: As for `generator_of`.
        directions: Directions of one of its layers.
        at: Where the nuisances live.
        batch: Images at a time, which bounds the memory.
        **options: As for `generator_of`.

    Raises:
        InterventionError: If generator and directions do not match.

    Example:
        >>> class Painter(nn.Module):
        ...     def forward(self, h, y):
        ...         return (h[:, :1] + y[:, None]).tanh()[..., None, None].expand(-1, 3, 4, 4)
        >>> known = {"width": 2, "classes": 10}
        >>> model = steerable(Painter(), PrincipalDirections.axes(Painter(), **known), **known)
        >>> model.do(Z1=-2.0).sample(3, seed=0)["H"][:, 0]
        tensor([-2., -2., -2.])
    """
    made = generator_of(generator, **options)
    if at not in ("latent", "layer") or (at == "layer" and directions.layer == "latent"):
        raise InterventionError(
            f"at={at!r} was given with directions of {directions.layer!r}; expected 'latent', or "
            "'layer' with directions of one"
        )
    like = next(made.network.parameters(), torch.zeros(()))
    if at == "latent":
        rows, centre = directions.latent.to(like), torch.zeros(made.width).to(like)
        units = torch.ones(len(rows)).to(like)
    else:
        rows, centre = directions.basis.to(like), directions.centre.to(like)
        units = directions.spread.to(like)
    if at == "latent" and rows.shape[1] != made.width:
        raise InterventionError(
            f"directions of a latent of width {rows.shape[1]} were given for a generator whose "
            f"latent has width {made.width}; find them for this generator"
        )
    micro, names = "H" if at == "latent" else "L", [f"Z{j + 1}" for j in range(len(rows))]
    nodes: dict[str, Mechanism] = {
        "H": Root.normal(torch.zeros(made.width).to(like)),
        "Y": Root.categorical([1 / made.classes] * made.classes),
    }
    if at == "layer":
        nodes["L"] = LayerOutput(made, directions.layer, Real((rows.shape[1],)))
    nodes["X"] = LatentImage(made, directions.layer if at == "layer" else None, batch)
    for name, row, unit, range_ in zip(names, rows, units, directions.ranges, strict=True):
        nodes[name] = Nuisance(row, centre, unit, range_)
    for mechanism in nodes.values():
        mechanism.to(like.device)
    edges = "H, Y -> X" if at == "latent" else "H, Y -> L; H, Y, L -> X"
    return SCM(f"{edges}; {micro} => {', '.join(names)}", nodes)


def coordinates(model: Any) -> tuple[str, list[Coordinate]]:
    """The micro node of a steerable model, and the readers of its nuisances in order.

    Raises:
        InterventionError: If the model has none, as `steerable` makes them.
    """
    graph, mechanisms = model.program.graph, dict(model.program.mechanisms)
    found: list[tuple[str, Coordinate]] = []
    for node, mechanism in mechanisms.items():
        if isinstance(mechanism, Nuisance):
            found.append((graph.parents(node)[0], mechanism.read))
    missing: Sequence[str] = [node for node in ("H", "Y", "X") if node not in mechanisms]
    if not found or missing:
        raise InterventionError(
            f"{model!r:.80} has no nuisances that can be steered; expected a model H, Y -> X with "
            "H => Z1, ..., as scm.interventions.steerable makes it"
        )
    return found[0][0], [coordinate for _, coordinate in found]
