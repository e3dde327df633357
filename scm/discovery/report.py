"""The report of an audit: a page that needs no network, with JSON and a table beside it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from itertools import combinations
from pathlib import Path
from typing import Any

import scm
from scm.discovery.attributes import Attribute
from scm.discovery.audit import audit
from scm.discovery.diagnosis import latent_heads
from scm.discovery.evidence import counterfactuals, paper
from scm.discovery.findings import Audit
from scm.discovery.kept import Kept, finite
from scm.discovery.readings import readings, units
from scm.discovery.report_page import page
from scm.errors import ScmError
from scm.files import write_whole
from scm.mechanisms.latent import LatentGenerator
from scm.progress import progress_bar

__all__ = ["audit_report", "report_piece", "write_report"]

Ahead = Callable[[list[str]], None]

_SCALED = 5_000  # samples that an attribute's standard deviation is taken over
_QUICK_TESTS = {"fit": 1_500, "block": 400, "moved": 100}
_QUICK_SHOWN = {"n": 1_000, "permutations": 99, "moved": 50}
_SHOWN = {"n": 5_000, "permutations": 1_000, "moved": 200}
_QUICK = "a quick run, on a fraction of the samples: a look, not a result"
_PROBED = 16  # units that tell whether a generator is the one of a run before


def audit_report(
    generator: LatentGenerator,
    attributes: Sequence[Attribute],
    folder: str | Path,
    *,
    title: str = "a generator",
    seed: int = 0,
    quick: bool = False,
    resume: bool = False,
    progress: bool = True,
    ahead: Ahead | None = None,
) -> Audit:
    """Audit a generator and report it; what is done is kept, so that a run can be cut off.

    Args:
        generator: The generator.
        attributes: At least two, as for `audit`.
        folder: Where the report goes: `index.html`, `audit.json`, `pairs.csv`, and the folder
            `kept` of what is done.
        title: What is audited, in the page's words.
        seed: Seed of everything.
        quick: Do a fraction of the work: a look, not a result.
        resume: Go on with a run of the same audit that is in the folder.
        progress: Show progress bars, on a terminal or in a notebook.
        ahead: What is told the labels of the report's pieces (counterfactuals of an attribute,
            the nulls of a pair) before they are done here; those that it had `report_piece` do
            elsewhere are read from the folder.

    Raises:
        ScmError: As `audit`; or if the folder is not empty and is no run of the same audit, or is
            one and `resume` was not asked for.

    Example:
        >>> import tempfile, torch
        >>> from scm.mechanisms import Real
        >>> generator = LatentGenerator(torch.nn.Linear(3, 2), 3, Real((2,)))
        >>> two = [Attribute.from_measure(n, lambda x, k=k: x[:, k]) for k, n in enumerate("ab")]
        >>> folder = Path(tempfile.mkdtemp())
        >>> found = audit_report(generator, two, folder, quick=True, progress=False)
        >>> sorted(path.name for path in folder.iterdir())
        ['audit.json', 'index.html', 'kept', 'pairs.csv']
    """
    identity = _identity(generator, attributes, seed) | {"title": title, "quick": quick}
    kept = Kept(folder, identity, resume)
    tests: dict[str, Any] = _QUICK_TESTS if quick else {}
    found = audit(generator, attributes, seed=seed, progress=progress, keep=kept, **tests)
    if quick:
        found = replace(found, warnings=(*found.warnings, _QUICK))
    shown = _QUICK_SHOWN if quick else _SHOWN
    _write(found, kept, generator, attributes, title, progress=progress, ahead=ahead, **shown)
    return found


def report_piece(
    label: str,
    generator: LatentGenerator,
    attributes: Sequence[Attribute],
    folder: str | Path,
    *,
    title: str,
    seed: int = 0,
    quick: bool = False,
) -> None:
    """Do one piece of the report of an audit that is under way in a folder, and keep it there.

    Args:
        label: The piece, as `audit_report` told it to `ahead`.
        generator: As for `audit_report`.
        attributes: Likewise.
        folder: Likewise.
        title: Likewise.
        seed: Likewise.
        quick: Likewise.

    Raises:
        ScmError: If the folder holds no run of the same audit.
    """
    identity = _identity(generator, attributes, seed) | {"title": title, "quick": quick}
    kept = Kept(folder, identity, resume=True)
    shown = _QUICK_SHOWN if quick else _SHOWN
    kept(label, _pieces(kept, generator, attributes, seed, **shown)[label])


def write_report(
    found: Audit,
    folder: str | Path,
    *,
    generator: LatentGenerator,
    attributes: Sequence[Attribute],
    title: str = "a generator",
    n: int = 5_000,
    permutations: int = 1_000,
    moved: int = 200,
    resume: bool = False,
    progress: bool = True,
) -> Path:
    """Report an audit that was made: a page, JSON and a table, in a folder of their own.

    Args:
        found: The audit.
        folder: Where the report goes: `index.html`, `audit.json`, `pairs.csv`, and the folder
            `kept` of what is done.
        generator: The generator that was audited.
        attributes: Its attributes, those of the audit.
        title: What was audited, in the page's words.
        n: Units of the paper's estimator.
        permutations: Draws of each of its nulls.
        moved: Units that are moved for the counterfactuals.
        resume: Go on with a report of the same audit that is in the folder.
        progress: Show a progress bar, on a terminal or in a notebook.

    Returns:
        The page's path.

    Raises:
        ScmError: If the attributes are not the audit's; or the folder is not empty and is no
            report of the same audit, or is one and `resume` was not asked for.

    Example:
        >>> import tempfile, torch
        >>> from scm.mechanisms import Real
        >>> generator = LatentGenerator(torch.nn.Linear(3, 2), 3, Real((2,)))
        >>> two = [Attribute.from_measure(n, lambda x, k=k: x[:, k]) for k, n in enumerate("ab")]
        >>> few = {"fit": 600, "block": 200, "moved": 50, "permutations": 2_000}
        >>> found = audit(generator, two, **few, progress=False)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_report(
        ...         found, f"{folder}/report", generator=generator, attributes=two,
        ...         n=300, permutations=19, moved=20, progress=False,
        ...     ).name
        'index.html'
    """
    names = tuple(a.name for a in attributes)
    if names != found.names:
        raise ScmError(f"the attributes {names} were given; the audit is of {found.names}")
    options: dict[str, Any] = {"n": n, "permutations": permutations, "moved": moved}
    identity = _identity(generator, attributes, found.seed) | {"title": title, **options}
    identity["audit"] = json.loads(found.to_json())
    kept = Kept(folder, identity, resume)
    return _write(found, kept, generator, attributes, title, progress=progress, **options)


def _write(
    found: Audit,
    kept: Kept,
    generator: LatentGenerator,
    attributes: Sequence[Attribute],
    title: str,
    *,
    n: int,
    permutations: int,
    moved: int,
    progress: bool,
    ahead: Ahead | None = None,
) -> Path:
    pieces = _pieces(
        kept, generator, attributes, found.seed, n=n, permutations=permutations, moved=moved
    )
    if ahead is not None:
        ahead(list(pieces))
    done = {}
    with progress_bar("report", len(pieces), "pieces", progress) as advance:
        for label, work in pieces.items():
            done[label] = kept(label, work)
            advance(label)
    moves = [piece for label, piece in done.items() if label.startswith("moved")]
    papers = [piece for label, piece in done.items() if label.startswith("pair")]
    told = json.loads(found.to_json())
    about = [_about(a) for a in attributes]
    counted = [{k: v for k, v in each.items() if k != "pictures"} for each in moves]
    everything = {
        "title": title,
        "version": scm.__version__,
        **told,
        "about": about,
        "moves": counted,
        "paper": papers,
    }
    write_whole(kept.folder / "pairs.csv", _csv(told["pairs"]))
    text = json.dumps(finite(everything), indent=1, ensure_ascii=False)
    write_whole(kept.folder / "audit.json", text + "\n")
    index = kept.folder / "index.html"
    write_whole(index, page(title, told, about, moves, papers))
    return index


def _pieces(
    kept: Kept,
    generator: LatentGenerator,
    attributes: Sequence[Attribute],
    seed: int,
    *,
    n: int,
    permutations: int,
    moved: int,
) -> dict[str, Callable[[], Any]]:
    """Work of the report by label: counterfactuals of each attribute, nulls of each pair."""
    scales = kept("scales", partial(_scales, generator, attributes, seed))
    latents = units(generator, moved, seed + 1)
    heads = cache(lambda: latent_heads(generator, attributes, seed=seed))

    def of_pair(i: int, j: int) -> dict[str, Any]:
        two = (heads()[attributes[i].name], heads()[attributes[j].name])
        return paper(generator, *two, n=n, permutations=permutations, seed=seed)

    pieces: dict[str, Callable[[], Any]] = {
        f"moved-{k}": partial(counterfactuals, generator, attributes, a, latents, scales)
        for k, a in enumerate(attributes)
    }
    return pieces | {
        f"pair-{i}-{j}": partial(of_pair, i, j) for i, j in combinations(range(len(attributes)), 2)
    }


def _identity(
    generator: LatentGenerator, attributes: Sequence[Attribute], seed: int
) -> dict[str, Any]:
    """What makes a run another one: names, sizes, seed, and readings of the same few units."""
    latents = generator.draw(_PROBED, seed)
    made = generator.generate(latents)
    means = made.flatten(1).double().mean(1).tolist()
    read = [a.read(latents if a.space == "latent" else made) for a in attributes]
    return {
        "version": scm.__version__,
        "seed": seed,
        "attributes": [f"{a.name}: {a.kind}" for a in attributes],
        "generator": [f"{tuple(generator.latent)} -> {generator.type}", *means],
        "readings": [values.double().flatten().tolist() for values in read],
    }


def _scales(
    generator: LatentGenerator, attributes: Sequence[Attribute], seed: int
) -> dict[str, float]:
    read = readings(generator, attributes, units(generator, _SCALED, seed))
    return {name: float(values.double().std()) for name, values in read.items()}


def _about(attribute: Attribute) -> dict[str, Any]:
    return {
        "name": attribute.name,
        "kind": attribute.kind,
        "reads": attribute.space,
        "score": _scored(attribute),
        "notes": list(attribute.notes),
    }


def _scored(attribute: Attribute) -> str:
    if attribute.score is not None:
        return str(attribute.score)
    return "not scored: there were no labels" if attribute.trained else "measured, not learnt"


def _csv(pairs: Sequence[Mapping[str, Any]]) -> str:
    """One row for each pair, as `Audit.to_pandas` has them; lists as JSON."""
    rows = [_flat(pair) for pair in pairs]
    columns = list(dict.fromkeys(column for row in rows for column in row))
    written = io.StringIO()
    table = csv.DictWriter(written, columns, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return written.getvalue()


def _flat(content: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    row: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, dict):
            row |= _flat(value, f"{before}{key}.")
        else:
            row[before + key] = json.dumps(value) if isinstance(value, list) else value
    return row
