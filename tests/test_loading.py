"""Models are read from Python files of any kind."""

from __future__ import annotations

from pathlib import Path

from scm.loading import load_model

PROGRAM = """
from __future__ import annotations
from dataclasses import dataclass, field
from typing import ClassVar
import scm
from scm.mechanisms import Root

@dataclass(frozen=True)
class Chances:
    of: ClassVar[str] = "X"
    one: float = {chance}

model = scm.SCM("X", X=Root.bernoulli(Chances().one))
"""


def test_a_file_may_hold_dataclasses_and_share_its_name_with_another(tmp_path: Path) -> None:
    """Their annotations are strings, which are looked up in the module by its name."""
    for chance in (0.0, 1.0):
        folder = tmp_path / str(chance)
        folder.mkdir()
        (folder / "json.py").write_text(PROGRAM.format(chance=chance))
    for chance in (0.0, 1.0):
        model = load_model(f"{tmp_path / str(chance) / 'json.py'}:model")
        assert model.sample(5, seed=0)["X"].float().mean() == chance
