"""Training on several devices: each rank runs the networks on its own rows of the same batch.

All ranks draw the same global batch, in the same order, and all randomness of a step for the
whole of it; a rank then takes its rows. So the result depends on the number of ranks through the
order of floating-point sums alone, and a checkpoint goes on with any number of them:

- What a network returns is gathered before an objective sees it (`Ranks.spread`), so that an
  objective need not be a mean over images: the penalties of IRM and VREx, the groups of
  GroupDRO and the pairs of mixup are those of the whole batch.
- Batch norm and dropout act as on the whole batch (`Ranks.as_one`).
- Gradients are summed over ranks (`Ranks.add_gradients`); rank 0 alone writes.

One process needs none of it, and runs as if this file were not there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from scm.errors import ScmError

__all__ = ["Fabric", "Ranks", "on_devices"]


class Fabric(Protocol):
    """What is asked of a `lightning_fabric.Fabric` that was launched."""

    @property
    def world_size(self) -> int:
        """Number of ranks."""

    @property
    def global_rank(self) -> int:
        """Which of them this is."""

    def all_reduce(self, data: Any, *, reduce_op: str) -> Any:
        """The sum of the tensors of all ranks, in place."""

    def broadcast(self, obj: Any) -> Any:
        """What rank 0 gave."""


def on_devices(
    work: Callable[..., Any],
    *arguments: Any,
    devices: int | str = "auto",
    accelerator: str = "auto",
) -> Any:
    """Run `work(fabric, *arguments)` in a process for each device; return what rank 0 returned.

    Pass the fabric on: `train(..., fabric=fabric)`. With one's own set-up (several machines,
    `torchrun`, Slurm), make and launch a `lightning_fabric.Fabric` instead, and pass that.

    Args:
        work: A function that new processes can import; it makes networks and data, on
            `fabric.device`, alike on all ranks.
        *arguments: What else it is given.
        devices: Number of devices; "auto" for all that there are.
        accelerator: "cpu", "cuda", or "auto".

    Raises:
        ScmError: If lightning-fabric is missing.

    Example:
        >>> on_devices(lambda fabric: fabric.world_size, devices=1, accelerator="cpu")
        1
    """
    try:
        from lightning_fabric import Fabric as Lightning
    except ImportError as error:
        raise ScmError(
            "training on several devices needs lightning-fabric, which is not installed: "
            "pip install 'neural-scm[train]'"
        ) from error
    strategy = "auto" if devices == 1 else "ddp_spawn"
    fabric = Lightning(accelerator=accelerator, devices=devices, strategy=strategy)
    return fabric.launch(work, *arguments)


class Ranks:
    """The processes that train together, of which this is one.

    Args:
        fabric: A launched `lightning_fabric.Fabric`, or None for one process alone.

    Attributes:
        size: How many there are.
        rank: Which of them this is.

    Example:
        >>> Ranks().size, Ranks().rows(8)
        (1, slice(0, 8, None))
    """

    def __init__(self, fabric: Fabric | None = None) -> None:
        self.size = 1 if fabric is None else fabric.world_size
        self.rank = 0 if fabric is None else fabric.global_rank
        self._fabric = fabric

    @property
    def fabric(self) -> Fabric:
        """The fabric, where there is more than one rank."""
        assert self._fabric is not None
        return self._fabric

    def rows(self, n: int) -> slice:
        """This rank's rows of a batch of n.

        Raises:
            ScmError: If ranks cannot have equally many.
        """
        if n % self.size:
            raise ScmError(
                f"a batch of {n} images cannot be shared equally among {self.size} ranks; make it "
                f"a multiple of {self.size}, such as batch={max(1, n // self.size) * self.size}, "
                "or use another number of devices"
            )
        each = n // self.size
        return slice(self.rank * each, (self.rank + 1) * each)

    def normal(self, rows: int, width: int, generator: torch.Generator) -> Tensor:
        """This rank's rows of standard normal noise `(rows * ranks, width)` of the whole batch."""
        whole = torch.randn(rows * self.size, width, generator=generator)
        return whole if self.size == 1 else whole[self.rows(len(whole))]

    def gather(self, own: Tensor) -> Tensor:
        """The rows of all ranks, in order; gradients flow to this rank's alone."""
        if self.size == 1:
            return own
        whole = own.new_zeros(self.size, *own.shape)
        whole[self.rank] = own.detach()
        parts = list(self.total(whole))
        parts[self.rank] = own
        return torch.cat(parts)

    def spread(self, network: nn.Module) -> nn.Module:
        """The network, each rank of which sees its rows, and which returns those of all."""
        return network if self.size == 1 else _Spread(network, self)

    def as_one(self) -> AbstractContextManager[Any]:
        """Inside, batch norm and dropout act on this rank's rows as on the whole batch."""
        return nullcontext() if self.size == 1 else _AsOne(self)

    def add_gradients(self, parameters: Iterable[nn.Parameter], *, mean: bool = False) -> None:
        """Sum the gradients of parameters over ranks, or average them."""
        if self.size == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        total = self.total(torch.cat([g.flatten() for g in gradients]))
        parts = (total / (self.size if mean else 1)).split([g.numel() for g in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def total(self, values: Tensor) -> Tensor:
        """Sum over ranks; its gradient is the sum of all ranks' gradients."""
        found: Tensor = _Total.apply(values, self.fabric)  # type: ignore[no-untyped-call]
        return found

    def agree(self, state: Mapping[str, Tensor], *what: object) -> None:
        """Compare what the ranks are about to do.

        Raises:
            ScmError: If weights, data or the step differ between them.
        """
        if self.size == 1:
            return
        digest = hashlib.sha256(repr(what).encode())
        for name, tensor in state.items():
            digest.update(name.encode())
            flat = tensor.detach().cpu().contiguous().flatten()
            digest.update(flat.view(torch.uint8).numpy().data)
        device = next(iter(state.values())).device
        own = torch.frombuffer(bytearray(digest.digest()), dtype=torch.uint8).to(device)
        each = self.gather(own).view(self.size, -1)
        if not all(torch.equal(other, own) for other in each):
            raise ScmError(
                "the ranks do not begin alike: their data, settings, weights or steps done differ. "
                "Make the network from the same seed and give the same data on each, and keep the "
                "checkpoint where all of them can read it"
            )

    def write(self, write: Callable[[], None]) -> None:
        """Let rank 0 write, the others wait; all fail if it fails.

        Raises:
            ScmError: If it fails.
        """
        if self.size == 1:
            return write()
        failure: ScmError | None = None
        if self.rank == 0:
            try:
                write()
            except ScmError as error:
                failure = error
        said = self.fabric.broadcast(None if failure is None else str(failure))
        if said is not None:
            raise failure or ScmError(f"rank 0: {said}")


class _Spread(nn.Module):
    def __init__(self, network: nn.Module, ranks: Ranks) -> None:
        super().__init__()
        self.network, self.ranks = network, ranks

    @property
    def names(self) -> Sequence[str]:
        """Names of the heads of a `HeadEnsemble`."""
        found: Sequence[str] = getattr(self.network, "names", ())
        return found

    def forward(self, images: Tensor) -> Tensor:
        return self._whole(self.network, images)

    def heads(self, images: Tensor) -> Tensor:
        return self._whole(self.network.heads, images)

    def _whole(self, network: Any, images: Tensor) -> Tensor:
        with self.ranks.as_one():
            found: Tensor = network(images[self.ranks.rows(len(images))])
        return self.ranks.gather(found)


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, fabric: Fabric) -> Tensor:
        ctx.fabric = fabric
        total: Tensor = fabric.all_reduce(values.clone(), reduce_op="sum")
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _Total.apply(gradients[0], ctx.fabric), None  # type: ignore[no-untyped-call]


_DROPOUTS = (F.dropout, F.dropout1d, F.dropout2d, F.dropout3d)


class _AsOne(TorchFunctionMode):
    def __init__(self, ranks: Ranks) -> None:
        super().__init__()
        self.ranks = ranks
        self.state: list[Tensor] = []

    def __enter__(self) -> _AsOne:
        self.state = _generators()
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, kind: Any, *rest: Any) -> None:
        super().__exit__(kind, *rest)  # type: ignore[no-untyped-call]
        if kind is None:
            self._check()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.batch_norm:
            return self._batch_norm(*args, **(kwargs or {}))
        if func in _DROPOUTS:
            return self._dropout(func, *args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _dropout(
        self, func: Any, values: Tensor, p: float = 0.5, training: bool = True,
        inplace: bool = False,
    ) -> Tensor:  # fmt: skip
        if not training:
            return values
        self._check()
        n = len(values)
        kept: Tensor = func(values.new_ones(n * self.ranks.size, *values.shape[1:]), p, True)
        self.state = _generators()
        return values * kept[self.ranks.rows(len(kept))]

    def _check(self) -> None:
        if any(not torch.equal(a, b) for a, b in zip(self.state, _generators(), strict=True)):
            raise ScmError(
                "the network draws random numbers in a way that cannot be shared among ranks; of "
                "what is random inside a network, dropout alone can. Train in one process, or draw "
                "them in the source of images (Augmented)"
            )

    def _batch_norm(
        self, values: Tensor, running_mean: Tensor | None, running_var: Tensor | None,
        weight: Tensor | None = None, bias: Tensor | None = None, training: bool = False,
        momentum: float = 0.1, eps: float = 1e-5,
    ) -> Tensor:  # fmt: skip
        if not training:
            return F.batch_norm(
                values, running_mean, running_var, weight, bias, False, momentum, eps
            )
        axes = [0, *range(2, values.ndim)]
        shape = (1, -1, *(1,) * (values.ndim - 2))
        n = values.numel() // values.shape[1] * self.ranks.size
        mean = self.ranks.total(values.sum(axes)) / n
        centred = values - mean.view(shape)
        variance = self.ranks.total(centred.square().sum(axes)) / n
        with torch.no_grad():
            if running_mean is not None and running_var is not None:
                running_mean.lerp_(mean, momentum)
                running_var.lerp_(variance * (n / (n - 1)), momentum)
        scale = (variance + eps).rsqrt()
        scale = scale if weight is None else scale * weight
        scaled = centred * scale.view(shape)
        return scaled if bias is None else scaled + bias.view(shape)


def _generators() -> list[Tensor]:
    """States of torch's global generators."""
    states = [torch.get_rng_state()]
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        states.append(torch.cuda.get_rng_state())
    return states
