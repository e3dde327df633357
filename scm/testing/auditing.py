"""Pieces of an audit's report in processes of their own, for the command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from scm.discovery.attributes import Attribute
from scm.discovery.report import report_piece
from scm.mechanisms.latent import LatentGenerator
from scm.parallel import Executor
from scm.progress import progress_bar
from scm.testing.loading import load_audit

__all__ = ["AuditJob", "run_pieces"]


@dataclass(frozen=True)
class AuditJob:
    """Does a piece of the report of an audit that is under way, and leaves it in the folder.

    Attributes:
        generator: The generator, as `file.py:name`.
        attributes: Its attributes, likewise.
        folder: Folder of the audit.
        title: What is audited.
        seed: Seed of the audit.
        quick: Whether to do a fraction of the work.
    """

    generator: str
    attributes: str
    folder: Path
    title: str
    seed: int = 0
    quick: bool = False

    def __call__(self, label: str) -> str:
        """Do the piece of this label."""
        generator, attributes = _loaded(self.generator, self.attributes)
        report_piece(
            label,
            generator,
            attributes,
            self.folder,
            title=self.title,
            seed=self.seed,
            quick=self.quick,
        )
        return label


@lru_cache(maxsize=1)
def _loaded(generator: str, attributes: str) -> tuple[LatentGenerator, list[Attribute]]:
    return load_audit(generator, attributes)


def run_pieces(job: AuditJob, run: Executor, labels: Sequence[str], progress: bool = True) -> None:
    """Do pieces of a report by an executor; `audit_report` then reads them from the folder."""
    with progress_bar("report", len(labels), "pieces", progress) as advance:
        for label in run(job, labels):
            advance(label)
