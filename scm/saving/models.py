"""Models to files and back: the document around the values, and what is done with it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from scm.errors import MechanismError, ScmError, nearest
from scm.graph import CausalGraph
from scm.graph.structure import Structure
from scm.mechanisms.encoder import Encoder
from scm.mechanisms.mechanism import Mechanism
from scm.saving import archive
from scm.saving.bounds import Bounded
from scm.saving.holders import Holder, Owner, Reading, Writing, named

__all__ = ["Omitted", "Saved", "read_model", "running", "save"]

Omitted: TypeAlias = str | Sequence[Owner]

_FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
_DTYPES = {str(dtype).removeprefix("torch."): dtype for dtype in _FLOATS}
_DEVICE = re.compile(r"(cpu|cuda|mps|xpu)(:\d{1,3})?")
_MEBIBYTE = 2**20


@dataclass
class Saved:
    """What a file holds of a model.

    Attributes:
        graph: Its graph.
        mechanisms: Mechanism of each node; as read from a file, they are bound to it.
        streams: Noise stream of each node.
        encoders: Its joint posteriors.
        dtype: Dtype of its values.
        noise_device: Where noise is drawn, if that was chosen.
        evaluating: Names of the model's modules in evaluation mode.

    Example:
        >>> import scm, tempfile
        >>> model = scm.SCM("A -> B", A=scm.Root.normal(), B=scm.Linear({"A": 2.0}))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.save(f"{folder}/model.scm")
        ...     saved = read_model(f"{folder}/model.scm", {})
        >>> saved.graph, saved.dtype
        (CausalGraph('A -> B'), torch.float32)
    """

    graph: CausalGraph
    mechanisms: dict[str, Mechanism]
    streams: dict[str, str]
    encoders: list[Encoder]
    dtype: torch.dtype
    noise_device: torch.device | None = None
    evaluating: tuple[str, ...] = ()

    @property
    def holders(self) -> list[tuple[Owner, Holder]]:
        """Mechanisms by node, then encoders by `owners`."""
        names = owners([(encoder.nodes, encoder.given) for encoder in self.encoders])
        return [*self.mechanisms.items(), *zip(names, self.encoders, strict=True)]


def owners(encoders: Sequence[tuple[tuple[str, ...], tuple[str, ...]]]) -> list[Owner]:
    """What encoders are called: the tuple of their nodes, and what is given if that is not enough.

    Example:
        >>> owners([(("M", "F"), ("X",)), (("H",), ("X",)), (("H",), ("X", "Y"))])
        [('M', 'F'), ('H', '|', 'X'), ('H', '|', 'X', 'Y')]
    """
    all_nodes = [nodes for nodes, _ in encoders]
    return [
        nodes if all_nodes.count(nodes) == 1 else (*nodes, "|", *given) for nodes, given in encoders
    ]


def save(path: str | os.PathLike[str], model: Saved, omit: Omitted = ()) -> None:
    """Write a model to a file.

    Args:
        path: Where to.
        model: What of it is kept.
        omit: Nodes (or, for an encoder, the tuple of its nodes) whose functions, and modules
            not of `torch.nn`, are left out, to be given when the file is read.

    Raises:
        MechanismError: If a mechanism cannot be described, with the way out.
        ScmError: If the file cannot be written.

    Example:
        >>> import scm, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     scm.SCM("A", A=scm.Root.normal()).save(f"{folder}/old.scm")
        ...     saved = read_model(f"{folder}/old.scm", {})
        ...     save(f"{folder}/new.scm", saved)  # what `SCM.save` calls
        ...     scm.load(f"{folder}/new.scm").graph
        CausalGraph('A')
    """
    left_out = (omit,) if isinstance(omit, str) else tuple(omit)
    known = [owner for owner, _ in model.holders]
    for owner in left_out:
        if owner not in known:
            raise MechanismError(f"omit names {owner!r}; {nearest(owner, map(str, known))}")
    writing = Writing(left_out)
    entries = [writing.entry(owner, holder) for owner, holder in model.holders]
    structure = model.graph.structure
    n = len(structure.nodes)
    document = {
        "nodes": structure.nodes,
        "edges": structure.edges,
        "constitutive": structure.constitutive,
        "latent": structure.latent,
        "mechanisms": entries[:n],
        "encoders": entries[n:],
        "streams": [model.streams[node] for node in structure.nodes],
        "dtype": str(model.dtype).removeprefix("torch."),
        "noise_device": None if model.noise_device is None else str(model.noise_device),
        "evaluating": model.evaluating,
    }
    text = json.dumps(document, allow_nan=False, separators=(",", ":"))
    _try_reading(text, writing.tensors, model, left_out)
    archive.write(path, text, writing.tensors)


def _try_reading(
    text: str, tensors: Mapping[str, Tensor], model: Saved, left_out: Sequence[Owner]
) -> None:
    """Make every mechanism again before anything is written."""
    document = json.loads(text)
    entries = [*document["mechanisms"], *document["encoders"]]
    reading = Reading(tensors, {})
    with _making(tensors):
        for (owner, holder), entry in zip(model.holders, entries, strict=True):
            if owner in left_out:
                continue
            try:
                again = reading.made(owner, entry)
                if isinstance(holder, Encoder) and isinstance(again, Encoder):
                    again.bind(holder.types, holder.shapes)
                elif isinstance(holder, Mechanism) and isinstance(again, Mechanism):
                    again.bind(str(owner), holder.parents)
                reading.fill(owner, again, entry)
            except Exception as error:
                raise MechanismError(
                    f"{named(owner)} ({type(holder).__name__}) would not come back from its file: "
                    f"{error}. Its config() has to return the arguments that make it again; or "
                    f"leave its functions out: model.save(path, omit=({owner!r},))"
                ) from error


def read_model(path: str | os.PathLike[str], functions: Mapping[Any, Any]) -> Saved:
    """Read what `save` wrote.

    Args:
        path: The file.
        functions: What the file left out, or other functions than it names, by node (by the
            tuple of its nodes for an encoder): a function or a module; a mapping by argument
            where there are several (`{"read": f, "write": g}`); or a whole mechanism.

    Raises:
        ScmError: If the file is not a saved model, was cut off or altered, names what it may
            not name, or needs a function that is not given.

    Example:
        >>> import scm, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model = scm.SCM("A", A=scm.Root.normal())
        ...     model.save(f"{folder}/model.scm")
        ...     read_model(f"{folder}/model.scm", {}).mechanisms["A"].type  # scm.load makes a model
        Real(shape=())
    """
    text, tensors = archive.read(path)
    try:
        with _making(tensors):
            return _read(json.loads(text), tensors, functions)
    except ScmError as error:
        raise ScmError(f"{path}: {error}") from error
    except Exception as error:
        raise ScmError(
            f"{path} describes no model that SCM.save writes ({type(error).__name__}: "
            f"{error!s:.200}); fetch the file again, or save the model again"
        ) from error


def _read(
    document: dict[str, Any], tensors: Mapping[str, Tensor], functions: Mapping[Any, Any]
) -> Saved:
    nodes = tuple(document["nodes"])
    graph = CausalGraph(
        Structure(
            nodes=nodes,
            edges=tuple((a, b) for a, b in document["edges"]),
            constitutive=tuple((a, b) for a, b in document["constitutive"]),
            latent=tuple(document["latent"]),
        )
    )
    configs = [entry["config"] for entry in document["encoders"]]
    names = owners([(tuple(c["nodes"]), tuple(c["given"])) for c in configs])
    entries = dict(zip(nodes, document["mechanisms"], strict=True))
    encoders = list(zip(names, document["encoders"], strict=True))
    for owner in functions:
        if owner not in (*nodes, *names):
            known = nearest(owner, map(str, (*nodes, *names)))
            raise ScmError(f"functions has a value for {owner!r}; {known}")
    reading = Reading(tensors, functions)
    reading.check_given([*entries.items(), *encoders])
    mechanisms: dict[str, Mechanism] = {}
    for node in nodes:
        made = reading.made(node, entries[node])
        if not isinstance(made, Mechanism):
            raise ScmError(f"the node {node!r} is given a {type(made).__name__}")
        mechanisms[node] = made
    types = {node: mechanism.type for node, mechanism in mechanisms.items()}
    for node, mechanism in mechanisms.items():
        mechanism.bind(node, {p: types[p] for p in graph.parents(node)})
        reading.fill(node, mechanism, entries[node])
    shapes = {node: m.noise.shape for node, m in mechanisms.items() if m.noise is not None}
    found = []
    for name, entry in encoders:
        encoder = reading.made(name, entry)
        assert isinstance(encoder, Encoder)
        encoder.bind(types, shapes)
        reading.fill(name, encoder, entry)
        found.append(encoder)
    device = document["noise_device"]
    if device is not None and not _DEVICE.fullmatch(device):
        raise ScmError(f"noise cannot be drawn on {device!r:.40}")
    streams = dict(zip(nodes, document["streams"], strict=True))
    if not all(isinstance(stream, str) for stream in streams.values()):
        raise ScmError("streams have names")
    return Saved(
        graph=graph,
        mechanisms=mechanisms,
        streams=streams,
        encoders=found,
        dtype=_DTYPES[document["dtype"]],
        noise_device=None if device is None else torch.device(device),
        evaluating=tuple(map(str, document["evaluating"])),
    )


@contextmanager
def _making(tensors: Mapping[str, Tensor]) -> Iterator[None]:
    """Where mechanisms are made: memory in proportion to their tensors, no global seeds."""
    size = sum(t.numel() * t.element_size() for t in tensors.values())
    with (
        torch.random.fork_rng(devices=[]),
        Bounded(
            tensor=64 * _MEBIBYTE + 16 * size,
            total=256 * _MEBIBYTE + 64 * size,
            calls=10_000 + 500 * len(tensors),
        ),
    ):
        yield


@contextmanager
def running(path: str | os.PathLike[str]) -> Iterator[None]:
    """Where a model from a file runs first: an error names the file, and memory is bounded.

    Raises:
        ScmError: If it does not run.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "model.scm")
        ...     _ = path.write_bytes(b"")
        ...     with running(path):
        ...         raise ValueError("no")
        Traceback (most recent call last):
        scm.errors.ScmError: the model in ...model.scm does not run (ValueError: no)...
    """
    try:
        with Bounded(tensor=1024 * _MEBIBYTE + 16 * os.path.getsize(path)):
            yield
    except ScmError as error:
        raise ScmError(f"{path}: {error}") from error
    except Exception as error:
        raise ScmError(
            f"the model in {path} does not run ({type(error).__name__}: {error!s:.300}); if "
            "functions were given, give those that it was saved with"
        ) from error
