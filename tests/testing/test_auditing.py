"""Pieces of an audit's report done elsewhere: the same report."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from scm.cli import app
from scm.discovery import report
from scm.discovery.report import audit_report
from scm.parallel import here
from scm.testing.auditing import AuditJob, run_pieces
from scm.testing.loading import load_audit

MODEL = """
import torch
from scm.discovery import Attribute
from scm.mechanisms import Real
from scm.mechanisms.latent import LatentGenerator

def made():
    return LatentGenerator(lambda z: torch.stack([z[:, 0], z[:, 1]], 1), 2, Real((2,)))

def attributes(generator):
    return [Attribute.from_measure(n, lambda x, k=k: x[:, k]) for k, n in enumerate("ab")]
"""
LABELS = ["moved-0", "moved-1", "pair-0-1"]


@pytest.fixture
def where(tmp_path: Path) -> tuple[str, str]:
    file = tmp_path / "mine.py"
    file.write_text(MODEL)
    return f"{file}:made", f"{file}:attributes"


def written(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_same_report(
    where: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator, attributes = load_audit(*where)
    options = {"title": "mine", "quick": True}
    audit_report(generator, attributes, tmp_path / "one", progress=False, **options)  # type: ignore[arg-type]
    job = AuditJob(*where, tmp_path / "two", "mine", 0, True)

    def ahead(labels: list[str]) -> None:
        assert labels == LABELS
        run_pieces(job, here, labels[::-1], progress=False)
        monkeypatch.setattr(report, "paper", None)
        monkeypatch.setattr(report, "counterfactuals", lambda *_: 1 / 0)

    audit_report(
        generator,
        attributes,
        tmp_path / "two",
        progress=False,
        ahead=ahead,
        **options,  # type: ignore[arg-type]
    )
    assert written(tmp_path / "one") == written(tmp_path / "two")


@pytest.mark.slow
def test_command(where: tuple[str, str], tmp_path: Path) -> None:
    for workers in ("1", "2"):
        words = ["audit", where[0], "--attributes", where[1], "--quick", "--workers", workers]
        words += ["--out", str(tmp_path / workers)]
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, done.output
    assert written(tmp_path / "1") == written(tmp_path / "2")
