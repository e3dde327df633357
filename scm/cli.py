"""The command line: `scm demo`, `scm check`, `scm reproduce`; heavy imports where they are used."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import scm
from scm.errors import ScmError

__all__ = ["app"]


class Data(StrEnum):
    """Data sets of the demonstration."""

    DIGITS = "digits"
    MNIST = "mnist"


class _Group(TyperGroup):
    """Commands whose `ScmError`s end in one clear line instead of a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except ScmError as error:
            if ctx.params.get("debug"):
                raise
            typer.echo(f"scm: {error}", err=True)
            raise typer.Exit(1) from error


app = typer.Typer(
    cls=_Group,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"scm {scm.__version__}")
        raise typer.Exit


@app.callback()
def main(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error, not its message alone.")
    ] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Structural causal models with neural mechanisms: intervene, ask and audit."""


@app.command()
def demo(
    data: Annotated[
        Data,
        typer.Option(
            help="Real digits: scikit-learn's 8x8 ones, which need no download; or MNIST, read "
            "from the folder MNIST/raw below the one that the environment variable SCM_DATA "
            "names, or downloaded where that is not set."
        ),
    ] = Data.DIGITS,
    out: Annotated[
        Path, typer.Option(help="Folder for the pictures; made where it does not exist.")
    ] = Path("out/demo"),
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    quick: Annotated[
        bool, typer.Option("--quick", help="Fit and train for a fraction of the time.")
    ] = False,
) -> None:
    """Show in a minute what interventions are for.

    A hidden cause ties a digit to its colour, so a classifier trained on what was observed
    reads the colour. The demo declares that graph, fits its image mechanism to real digits,
    makes training images under do(colour), and compares classifiers on held-out real
    digits. It prints the graph, the table and the code, and saves two pictures: the graph, and
    the same digits in the factual world and in counterfactual ones.
    """
    # Read when torch starts, which is below. Threads that spin while they wait for each other cost
    # more than they give on small images, five times as much where others compute too.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if data is Data.DIGITS:
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    from scm.demo import run

    run(data.value, out, seed, quick)


@app.command()
def check(
    model: Annotated[
        str,
        typer.Argument(
            metavar="FILE.PY:NAME", help="A model, or a function without arguments that makes one."
        ),
    ],
    law: Annotated[
        list[str] | None, typer.Option(help="Name of a law; all that apply by default. Repeatable.")
    ] = None,
    role: Annotated[
        list[str] | None,
        typer.Option(metavar="ROLE=NODE", help="What a node stands for, as image=I. Repeatable."),
    ] = None,
    trials: Annotated[int, typer.Option(help="Cases to draw for each law.", min=1)] = 10,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
) -> None:
    """Try the laws of causality on a model of your own.

    Prints which passed, which failed, with the smallest counterexample found, and which do not
    apply, with the reason. Exits with 1 where one failed.
    """
    import rich

    from scm.testing import check
    from scm.testing.loading import load_model

    roles = dict(pair.split("=", 1) for pair in role or [] if "=" in pair)
    if len(roles) != len(role or []):
        raise ScmError(f"--role {role} was given; expected ROLE=NODE, as --role image=I")
    report = check(load_model(model), law, seed=seed, trials=trials, roles=roles)
    rich.print(report)
    if not report:
        raise typer.Exit(1)


@app.command()
def reproduce(
    name: Annotated[str | None, typer.Argument(help="Which one; --list shows them.")] = None,
    listed: Annotated[
        bool, typer.Option("--list", help="Show what can be reproduced, and stop.")
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Do a fraction of the work: a smoke test, not a result.")
    ] = False,
    seeds: Annotated[
        int | None,
        typer.Option(help="Number of seeds; by default the experiment's own.", min=1),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run; out/reproduce/NAME by default.")
    ] = None,
    device: Annotated[str, typer.Option(help="Where tensors live: cpu, cuda.")] = "cpu",
    option: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="An experiment's own option. Repeatable."),
    ] = None,
) -> None:
    """Run one experiment of a paper.

    Prints a table of the paper's figures beside those found, and writes it into the folder with
    the pictures and results.json. A run that was cut off goes on where it was.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch starts, as above
    import rich
    from rich.table import Table

    from scm.reproductions import CATALOGUE, reproduce

    if listed:
        table = Table("name", "paper", "what it does", box=None)
        for known in CATALOGUE:
            keys = "".join(f"\n--option {key}=...: {what}" for key, what in known.options.items())
            table.add_row(known.name, known.paper, known.about + keys)
        rich.print(table)
        return
    if name is None:
        raise ScmError("which experiment? scm reproduce NAME; scm reproduce --list shows them")
    options = dict(pair.split("=", 1) for pair in option or [] if "=" in pair)
    if len(options) != len(option or []):
        raise ScmError(f"--option {option} was given; expected KEY=VALUE")
    reproduce(name, out, seeds=seeds, quick=quick, device=device, options=options)
