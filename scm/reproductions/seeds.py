"""Seeds of a reproduction, each in a process of its own, all into one folder."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console

from scm.files import held
from scm.parallel import Executor
from scm.progress import progress_bar
from scm.reproductions.study import Study

__all__ = ["SeedJob", "run_seeds"]

Result = TypeVar("Result")


@dataclass(frozen=True)
class SeedJob:
    """Does the work of one seed of a reproduction, and leaves its cells in the folder.

    Attributes:
        module: Import path of the reproduction's module.
        name: Name of the reproduction.
        out: Folder of the run.
        quick: Whether to do a fraction of the work.
        device: Where tensors live.
        options: The reproduction's own options.
        first: The seed that does what is done once.
    """

    module: str
    name: str
    out: Path
    quick: bool = False
    device: str = "cpu"
    options: Mapping[str, str] = field(default_factory=dict)
    first: int = 0

    def __call__(self, seed: int) -> tuple[int, float]:
        """Run a seed; returns it, and the seconds that it took."""
        start = time.perf_counter()
        study = _Beside(
            self.name,
            self.out,
            seeds=(seed,),
            first=self.first,
            quick=self.quick,
            device=self.device,
            options=self.options,
            progress=False,
            console=Console(quiet=True),
        )
        import_module(self.module).run(study)
        return seed, time.perf_counter() - start


def run_seeds(
    job: SeedJob, seeds: Sequence[int], run: Executor, console: Console, progress: bool = True
) -> None:
    """Run seeds of a reproduction by an executor; a `Study` of them all then finds their cells.

    Cells that seeds share are computed by one of them, for which the others wait.

    Args:
        job: The reproduction.
        seeds: Its seeds.
        run: What runs them.
        console: Where to print.
        progress: Show a progress bar, on a terminal or in a notebook.

    Raises:
        ScmError: Whatever the reproduction raises; or if workers keep dying.
    """
    with progress_bar(job.name, len(seeds), "seeds", progress) as advance:
        for seed, seconds in run(job, seeds):
            console.print(f"  seed {seed}: {seconds:.1f} s", style="dim")
            advance()
    shutil.rmtree(job.out / _LOCKS, ignore_errors=True)


_LOCKS = "locks"


class _Beside(Study):
    """A study beside others in one folder, which takes turns with them at a cell."""

    def cell(self, label: str, function: Callable[..., Result], /, **settings: Any) -> Result:
        name = str(self._folder(label, function, settings).relative_to(self.cells))
        lock = self.out / _LOCKS / name.replace("/", "+")
        lock.parent.mkdir(exist_ok=True)
        lock.touch()
        with held(lock):
            return super().cell(label, function, **settings)

    def picture(self, figure: Any, caption: str, name: str = "") -> Path:
        """Leave pictures to the study of all seeds."""
        return self.out / name
