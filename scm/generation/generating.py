"""`generate`: a data set of a model's units in shards; `verify`: is it what it was?"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from scm.errors import MechanismError, ScmError
from scm.generation.folder import MODEL, Folder, checksum, write_whole
from scm.generation.interventions import Do, Interventions, Sweeps
from scm.generation.manifest import MANIFEST, Column, Manifest, Plan, Shard, read_manifest
from scm.generation.shards import encode
from scm.loading import load_model, model_hash
from scm.mechanisms.types import Categorical, Image, NodeType
from scm.model import SCM
from scm.parallel import available_cores, on_ray, processes
from scm.png import COLOUR_TYPES
from scm.progress import progress_bar
from scm.worlds.samples import Samples
from scm.worlds.streams import fresh_seed
from scm.worlds.view import View

__all__ = ["generate", "verify"]

_SHARD_BYTES = 2**26
_MEMBER_BYTES = 1024
_RESERVED = ("unit", "world")

Images = Literal["png", "npy"]


def generate(
    model: SCM | str | Path,
    out: str | Path,
    units: int,
    *,
    do: Do = None,
    sweep: Sweeps = None,
    nodes: Sequence[str] | None = None,
    seed: int = 0,
    start: int = 0,
    shards: int | None = None,
    images: Images = "png",
    workers: int | None = None,
    ray: str | None = None,
    device: str = "cpu",
    progress: bool = True,
) -> Manifest:
    """Write units `start, ..., start + units - 1` of a model to a folder, in shards.

    Each shard holds consecutive units, one row for each unit and world (the last sweep
    fastest): a Parquet table, or where nodes are images a tar in WebDataset's layout. The
    bytes follow from the arguments alone, not from `workers` or from failures: a run that was
    cut off in any way is completed by the same call. They may differ between versions of the
    libraries, and between kinds of processors or `device`.

    Args:
        model: A model; or the file of a saved one; or `file.py:name`. A model itself is saved
            to `out/model.safetensors` first.
        out: Folder of the data set; made where it does not exist.
        units: Number of units.
        do: Interventions: "X=1", several such, or values by node; see `Interventions.read`.
        sweep: World dimensions: "X=0,1", several such, or lists of values by node.
        nodes: Nodes to keep; all that are not latent by default.
        seed: Seed of the units.
        start: First unit.
        shards: Number of shards; by default as many as give about 64 MiB of values each.
        images: "png" rounds the declared range to 8 bits, "npy" keeps every bit.
        workers: Number of processes; by default one a core, 1 for a GPU or a single shard.
            1 works in this process, and writes a shard while it computes the next. On a cluster,
            shards made at once at most.
        ray: Address of a Ray cluster that makes the shards, see `scm.parallel.on_ray`: "auto" or
            "HOST:PORT". Its machines see the model's file and `out` under the same paths.
        device: Where values are computed; noise is drawn on the CPU, the same everywhere.
        progress: Show a progress bar on a terminal.

    Returns:
        The manifest, which is also written, as `manifest.json`.

    Raises:
        ScmError: If an argument makes no sense; if the folder holds something else, or another
            data set (with what differs), or a shard that was altered; if the disk refuses, no
            cluster answers, or workers keep dying (what is finished is then kept).

    Example:
        >>> import scm, tempfile
        >>> model = scm.SCM("A -> B", A=scm.Root.normal(), B=scm.Linear({"A": 2.0}))
        >>> with tempfile.TemporaryDirectory() as out:
        ...     manifest = generate(model, out, 100, do="A=1", shards=2, workers=1)
        ...     verify(out) == manifest, manifest.rows
        (True, 100)
    """
    for name, number, least in (("units", units, 1), ("start", start, 0), ("workers", workers, 1)):
        if name != "workers" or number is not None:
            _check_number(name, number, least)
    cluster = None
    if ray is not None:
        cluster = on_ray(ray, workers, gpus=torch.device(device).type == "cuda")
    folder = Folder(out)
    with folder.held():
        where = str(model) if not isinstance(model, SCM) else _saved(model, folder)
        loaded = load_model(where)
        acts = Interventions.read(loaded, do, sweep)
        view = _placed(loaded, acts, device)
        columns = _columns(loaded, view.sample(1, fresh_seed(seed), start=start), nodes, images)
        plan = Plan(
            model=Path(where).name,
            sha256=model_hash(where, loaded),
            do=acts.do,
            sweep=tuple(acts.sweeps),
            seed=_checked_seed(seed),
            start=start,
            units=units,
            shards=1,
            device=torch.device(device).type,
            columns=columns,
        )
        plan = _divided(plan, shards)
        done = folder.begin(plan)
        known = _known(folder)
        missing = [k for k in range(plan.shards) if k not in done]
        file, there = str(Path(where).absolute()), folder.path.absolute()
        job = _Job(file, plan.sha256, acts, device, there, plan)
        run = cluster or _executor(workers, len(missing), device)
        with progress_bar("generate", plan.shards, "shards", progress) as advance:
            for _ in done:
                advance()
            for shard in run(job, missing):
                if known.get(shard.number, shard) != shard:
                    raise ScmError(
                        f"{plan.file_of(shard.number)} was made anew, but its checksum is not the "
                        "manifest's: other versions of the libraries, or another processor, make "
                        "other bytes. Generate the whole data set into another folder"
                    )
                folder.expect(plan, shard)
                folder.record(shard)
                done[shard.number] = shard
                advance()
        manifest = Manifest(plan, tuple(done[k] for k in range(plan.shards)))
        folder.finish(manifest)
    return manifest


def verify(path: str | Path, *, progress: bool = True) -> Manifest:
    """Check every shard of a data set against its manifest.

    Raises:
        ScmError: If the data set is unfinished, or shards are missing or altered: which.

    Example:
        >>> import scm, tempfile
        >>> model = scm.SCM("A", A=scm.Root.normal())
        >>> with tempfile.TemporaryDirectory() as out:
        ...     made = generate(model, out, 10, workers=1)
        ...     _ = (Path(out) / made.plan.file_of(0)).write_bytes(b"")
        ...     verify(out)
        Traceback (most recent call last):
        scm.errors.ScmError: 1 of 1 shards ... are not as the manifest says: ... (altered)...
    """
    manifest, folder = read_manifest(path), Path(path)
    folder = folder if folder.is_dir() else folder.parent
    wrong = []
    with progress_bar("verify", len(manifest.shards), "shards", progress) as advance:
        for shard in manifest.shards:
            file = folder / manifest.plan.file_of(shard.number)
            try:
                same = file.stat().st_size == shard.bytes and checksum(file) == shard.sha256
                wrong += [] if same else [f"{file.name} (altered)"]
            except FileNotFoundError:
                wrong.append(f"{file.name} (missing)")
            except OSError as error:
                wrong.append(f"{file.name} ({error.strerror})")
            advance()
    if wrong:
        more = f" and {len(wrong) - 10} more" if len(wrong) > 10 else ""
        raise ScmError(
            f"{len(wrong)} of {len(manifest.shards)} shards in {folder} are not as the manifest "
            f"says: {', '.join(wrong[:10])}{more}. Delete them, and run the same generate again "
            "to make them anew"
        )
    return manifest


@dataclass(frozen=True)
class _Job:
    """Makes the shards of a data set, in whatever process it is called."""

    where: str
    sha256: str
    acts: Interventions
    device: str
    folder: Path
    plan: Plan

    def __call__(self, number: int) -> Shard:
        return self.write(number, self.content(number))

    def content(self, number: int) -> bytes:
        plan = self.plan
        start, stop = plan.units_of(number)
        with _one_thread():
            acts = json.dumps([self.acts.do, self.acts.sweeps])
            view = _loaded(self.where, self.sha256, acts, self.device)
            samples = view.sample(stop - start, plan.seed, start=start)
            arrays = {c.node: _rows(samples, c) for c in plan.columns}
        return encode(plan, number, arrays)

    def write(self, number: int, content: bytes) -> Shard:
        written = write_whole(self.folder / self.plan.file_of(number), content)
        return Shard(number, len(content), written)


def _in_turn(job: _Job, numbers: Sequence[int]) -> Iterator[Shard]:
    """Shards made in this process: one is written while the next is computed."""
    written: Future[Shard] | None = None
    with ThreadPoolExecutor(1) as disk:
        for number in numbers:
            try:
                content = job.content(number)
            finally:
                if written is not None:
                    yield written.result()
            written = disk.submit(job.write, number, content)
        if written is not None:
            yield written.result()


@lru_cache(maxsize=1)
def _loaded(where: str, sha256: str, acts: str, device: str) -> View:
    model = load_model(where)
    if model_hash(where, model) != sha256:
        raise ScmError(
            f"{where} gives another model each time that it is loaded, or was changed meanwhile; "
            "draw initial weights from a seed, or save the model and give its file"
        )
    do, sweeps = json.loads(acts)
    return _placed(model, Interventions(do, tuple(sweeps)), device)


def _placed(model: SCM, acts: Interventions, device: str) -> View:
    try:
        return acts.on(model.to(device, noise_device="cpu"))
    except (RuntimeError, AssertionError) as error:
        raise ScmError(
            f"the model cannot be put on device={device!r} ({error!s:.200}); give cpu, or a "
            "device that this machine has"
        ) from error


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute on one thread meanwhile: sums depend on how many share them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # noqa: TID251
    try:
        yield
    finally:
        torch.set_num_threads(before)  # noqa: TID251


def _saved(model: SCM, folder: Folder) -> str:
    """Save a model into the folder, where the workers find it."""
    path = folder.path / MODEL
    aside = folder.path / f".scm-{MODEL}"
    try:
        model.save(aside)
    except MechanismError as error:
        raise MechanismError(
            f"generate saves the model for its workers, which failed: {error}. Or let a file "
            "make the model, and give file.py:name"
        ) from error
    if path.exists() and model_hash(str(aside), model) == model_hash(str(path), model):
        aside.unlink()
    elif path.exists():
        aside.unlink()
        raise ScmError(
            f"{folder.path} holds another model's data set ({MODEL} differs); give another folder"
        )
    else:
        aside.replace(path)
    return str(path)


def _known(folder: Folder) -> dict[int, Shard]:
    """Shards of a data set that was complete."""
    if not (folder.path / MANIFEST).exists():
        return {}
    return {shard.number: shard for shard in read_manifest(folder.path).shards}


def _columns(
    model: SCM, pilot: Samples, nodes: Sequence[str] | None, images: Images
) -> tuple[Column, ...]:
    if images not in ("png", "npy"):
        raise ScmError(f"images={images!r} was given; expected 'png' or 'npy'")
    if nodes is None:
        names = tuple(n for n in model.graph.nodes if n not in model.graph.latent)
    else:
        names = model.graph.require(*dict.fromkeys([nodes] if isinstance(nodes, str) else nodes))
    taken = [name for name in names if name in _RESERVED]
    if taken or not names:
        raise ScmError(
            f"the nodes {list(names)} were to be kept; expected at least one, and none called "
            "'unit' or 'world', which are columns of every data set (model.rename gives others)"
        )
    kinds = {name: model.mechanisms[name].type for name in names}
    tar = any(isinstance(kind, Image) for kind in kinds.values())
    return tuple(
        _column(number, name, kind, pilot[name].dtype, tar, images)
        for number, (name, kind) in enumerate(kinds.items())
    )


def _column(
    number: int, node: str, kind: NodeType, dtype: torch.dtype, tar: bool, images: Images
) -> Column:
    stored = "float64" if dtype == torch.float64 else "float32"
    stored = stored if dtype.is_floating_point else "int64"
    plain = re.fullmatch("[A-Za-z0-9_-]{1,40}", node) and node != "json"
    stem = node if plain else f"column{number}"
    if isinstance(kind, Image):
        if images == "png" and kind.shape[0] not in COLOUR_TYPES:
            raise ScmError(
                f"{node!r} has {kind.shape[0]} channels, and a PNG has 1 to 4; give images='npy'"
            )
        stored = "float32" if images == "png" else stored
        return Column(
            node, "image", stored, kind.shape, images, f"{stem}.{images}", range=kind.range
        )
    if isinstance(kind, Categorical):
        levels = None if isinstance(kind.levels, int) else tuple(map(str, kind.names))
        storage: Literal["json", "column"] = "json" if tar else "column"
        return Column(node, "categorical", stored, (), storage, levels=levels)
    if tar and kind.event:
        return Column(node, "real", stored, kind.event, "npy", f"{stem}.npy")
    return Column(node, "real", stored, kind.event, "json" if tar else "column")


def _rows(samples: Samples, column: Column) -> np.ndarray:
    """Values of a node, `(units * worlds, *event)`, the worlds of a unit together."""
    values = samples[column.node].detach().to("cpu", getattr(torch, column.dtype))
    worlds = math.prod(values.shape[: len(samples.worlds)])
    by_unit = values.reshape(worlds, samples.n, *column.shape).transpose(0, 1)
    rows: np.ndarray = by_unit.reshape(worlds * samples.n, *column.shape).numpy()
    return rows


def _divided(plan: Plan, wanted: int | None) -> Plan:
    """The plan with its number of shards."""
    if wanted is None:
        files = sum(c.file is not None for c in plan.columns) + 1
        held = sum(math.prod(c.shape) * np.dtype(c.dtype).itemsize for c in plan.columns)
        row = held + (files * _MEMBER_BYTES if plan.layout == "tar" else 16)
        wanted = min(plan.units, max(1, -(-plan.units * plan.worlds * row // _SHARD_BYTES)))
    _check_number("shards", wanted, 1)
    if wanted > plan.units:
        raise ScmError(
            f"{wanted} shards of {plan.units} units were asked for; a shard holds at least one "
            f"unit: ask for at most {plan.units}"
        )
    return replace(plan, shards=wanted)


def _executor(
    workers: int | None, jobs: int, device: str
) -> Callable[[_Job, Sequence[int]], Iterator[Shard]]:
    if workers is None:
        workers = available_cores() if torch.device(device).type == "cpu" else 1
    number = min(workers, jobs)
    return processes(number) if number > 1 else _in_turn


def _check_number(name: str, number: Any, least: int) -> None:
    if isinstance(number, bool) or not isinstance(number, int) or not least <= number < 2**62:
        raise ScmError(f"{name}={number!r} was given; expected a whole number from {least}")


def _checked_seed(seed: int) -> int:
    if seed is None:
        raise ScmError("seed=None was given; a data set needs a seed, so that it can be completed")
    return fresh_seed(seed)
