"""The command line: `scm demo`, `scm check`, `scm audit` ...; heavy imports where they are used."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

import scm
from scm.errors import ScmError
from scm.exits import EXIT_CODES, Commands, epilogue

__all__ = ["app"]


class Images(StrEnum):
    """Formats of images."""

    PNG = "png"
    NPY = "npy"


class Data(StrEnum):
    """Data sets of the demonstration."""

    DIGITS = "digits"
    MNIST = "mnist"


Ray = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Spread the work over a Ray cluster: auto, or HOST:PORT. Its machines see the files "
        "under the same paths.",
    ),
]


app = typer.Typer(
    name="scm",
    cls=Commands,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # paragraphs are filled to the width of the terminal, as in a manual
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="\b\nExit codes:\n"
    + "\n".join(f"  {code:<4} {meaning}" for code, meaning in EXIT_CODES.items()),
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"scm {scm.__version__}")
        raise typer.Exit


def _experiments(incomplete: str) -> list[tuple[str, str]]:
    from scm.reproductions.catalogue import CATALOGUE

    return [(each.name, each.about) for each in CATALOGUE if each.name.startswith(incomplete)]


@app.callback(invoke_without_command=True)
def main(
    context: typer.Context,
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
    """Structural causal models with neural mechanisms: intervene, ask and audit.

    scm COMMAND --help tells what a command does. An error is one line; scm --debug COMMAND
    shows its traceback. scm --install-completion makes the shell complete commands, options
    and the names of experiments.
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command(
    epilog=epilogue(
        "scm demo",
        "scm demo --data mnist --out out/mnist",
    )
)
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


@app.command(
    epilog=epilogue(
        "scm check my_model.py:model",
        "scm check my_model.py:make --law effectiveness --trials 50",
        "scm check saved.scm --role image=I --role target=T",
    )
)
def check(
    model: Annotated[
        str,
        typer.Argument(
            metavar="FILE.PY:NAME",
            help="A model, or a function without arguments that makes one; or a saved model.",
        ),
    ],
    law: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Name of a law; all that apply by default. Repeatable."),
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

    from scm.loading import load_model
    from scm.testing import check

    roles = dict(pair.split("=", 1) for pair in role or [] if "=" in pair)
    if len(roles) != len(role or []):
        raise ScmError(f"--role {role} was given; expected ROLE=NODE, as --role image=I")
    report = check(load_model(model), law, seed=seed, trials=trials, roles=roles)
    rich.print(report)
    if not report:
        raise typer.Exit(1)


@app.command(
    epilog=epilogue(
        "scm audit gan.py:generator --attributes gan.py:attributes --quick",
        "scm audit gan.py:generator --attributes gan.py:attributes --workers 8",
        "scm audit gan.py:generator --attributes gan.py:attributes --resume",
    )
)
def audit(
    generator: Annotated[
        str,
        typer.Argument(
            metavar="FILE.PY:NAME",
            help="A LatentGenerator, or a function without arguments that makes one.",
        ),
    ],
    attributes: Annotated[
        str,
        typer.Option(
            metavar="FILE.PY:NAME",
            help="A list of attributes, or a function of the generator that makes one.",
        ),
    ],
    out: Annotated[
        Path, typer.Option(help="Folder of the report: new, or empty, or that of the run to go on.")
    ] = Path("out/audit"),
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a run of this audit that was cut off.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    quick: Annotated[
        bool, typer.Option("--quick", help="Do a fraction of the work: a look, not a result.")
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(help="Processes for the nulls and counterfactuals; by default one.", min=1),
    ] = None,
    ray: Ray = None,
) -> None:
    """Ask what a generator has learnt to be a cause.

    Prints the verdict on every pair of attributes, and writes a report into the folder:
    index.html, audit.json and pairs.csv. The page says what each verdict rests on and what it
    cannot claim.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch starts, as above
    from functools import partial

    from scm.discovery.report import audit_report
    from scm.parallel import on_ray, processes
    from scm.testing.auditing import AuditJob, run_pieces
    from scm.testing.loading import load_audit

    model, listed = load_audit(generator, attributes)
    title = Path(generator).name
    ahead = None
    if ray is not None or (workers or 1) > 1:
        run = processes(workers or 1) if ray is None else on_ray(ray, workers)
        job = AuditJob(generator, attributes, out, title, seed, quick)
        ahead = partial(run_pieces, job, run)
    found = audit_report(
        model, listed, out, title=title, seed=seed, quick=quick, resume=resume, ahead=ahead
    )
    for pair in found.pairs.values():
        typer.echo(pair.words)
    typer.echo(f"wrote {out / 'index.html'}")


@app.command(
    epilog=epilogue(
        "scm generate my_model.py:model --units 100000 --out out/data",
        "scm generate my_model.py:model --units 1000 --do X=1 --sweep Z=-2:2:9",
        "scm generate --out out/data --verify",
    )
)
def generate(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="FILE.PY:NAME",
            help="A model, or a function without arguments that makes one; or a saved model.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the data set.")] = Path("out/generate"),
    units: Annotated[int | None, typer.Option(help="Number of units.")] = None,
    do: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NODE=VALUE",
            help="Set a node: X=1, colour=red, or for each unit apart X=Normal(0, 1). Repeatable.",
        ),
    ] = None,
    sweep: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NODE=VALUES",
            help="One world a value: X=0,1,NATURAL, or nine from -2 to 2, X=-2:2:9; two nodes at "
            "once, 'X=0,1; Y=5,6'. Repeatable; several multiply.",
        ),
    ] = None,
    node: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="A node to keep; by default all that are not latent. Repeatable."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the units.")] = 0,
    start: Annotated[int, typer.Option(help="First unit.")] = 0,
    shards: Annotated[
        int | None, typer.Option(help="Number of shards; by default of about 64 MiB each.")
    ] = None,
    images: Annotated[
        Images, typer.Option(help="png has 8 bits a channel, npy every bit.")
    ] = Images.PNG,
    workers: Annotated[
        int | None, typer.Option(help="Number of processes; by default one a core.")
    ] = None,
    ray: Ray = None,
    device: Annotated[str, typer.Option(help="Where values are computed: cpu, cuda.")] = "cpu",
    verify: Annotated[
        bool, typer.Option("--verify", help="Check the data set in --out, and make nothing.")
    ] = False,
) -> None:
    """Write a model's units to a folder, in shards.

    Units are drawn under the interventions that --do and --sweep name. Images go into WebDataset
    tars, anything else into Parquet tables; manifest.json says what they are, with checksums. The
    same command makes the same bytes with any number of workers, and after it was cut off it makes
    what is missing.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch starts, as above
    from scm import generation

    if verify:
        found = generation.verify(out)
        typer.echo(f"{out}: {len(found.shards)} shards are as the manifest says")
        return
    if model is None or units is None:
        raise ScmError(
            "a model and --units were expected: scm generate my_model.py:model --units 1000"
        )
    made = generation.generate(
        model,
        out,
        units,
        do=do,
        sweep=sweep,
        nodes=node,
        seed=seed,
        start=start,
        shards=shards,
        images=images.value,
        workers=workers,
        ray=ray,
        device=device,
    )
    typer.echo(f"wrote {made.rows:,} rows in {len(made.shards)} shards to {out}")


@app.command(
    epilog=epilogue(
        "scm reproduce --list",
        "scm reproduce vcfl-grating --quick",
        "scm reproduce cgn-mnist --seeds 3 --workers 3",
    )
)
def reproduce(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", help="Which one; --list shows them.", autocompletion=_experiments
        ),
    ] = None,
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
    workers: Annotated[
        int | None,
        typer.Option(help="Processes, each of which runs a seed at a time; by default one.", min=1),
    ] = None,
    ray: Ray = None,
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
    reproduce(
        name,
        out,
        seeds=seeds,
        quick=quick,
        device=device,
        options=options,
        workers=workers,
        ray=ray,
    )
