"""What can be reproduced, and how it is run."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from rich.console import Console

from scm.devices import require_devices
from scm.errors import ScmError, nearest
from scm.parallel import Executor, here, on_ray, processes
from scm.reproductions.report import write_report
from scm.reproductions.seeds import SeedJob, run_seeds
from scm.reproductions.study import Study

__all__ = ["CATALOGUE", "Reproduction", "reproduce"]


@dataclass(frozen=True)
class Reproduction:
    """One experiment of a paper.

    Attributes:
        name: What it is called on the command line.
        paper: Which paper, and where in it.
        about: What it does, in one line.
        seeds: How many seeds a full run has; a quick one has one.
        options: What else can be set, and what it is, by name.
        grid: Whether it has a `Study.grid`, which workers then share rather than its seeds.
        module: Import path of the module with its `run(study)`; `scm.reproductions.NAME`, with
            underscores, by default.

    Example:
        >>> next(each for each in CATALOGUE if each.name == "vcfl-grating").path
        'scm.reproductions.vcfl_grating'
    """

    name: str
    paper: str
    about: str
    seeds: int = 3
    options: Mapping[str, str] = field(default_factory=dict)
    grid: bool = False
    module: str = ""

    @property
    def path(self) -> str:
        """Import path of its module."""
        return self.module or f"scm.reproductions.{self.name.replace('-', '_')}"


DATA_OPTION = {
    "data": "mnist, or digits (scikit-learn's, smaller); MNIST by default where there is SCM_DATA "
    "and the run is not quick",
}
GENINT_OPTIONS = DATA_OPTION | {
    "models": "folder for generators and classifiers that several GenInt reproductions train; "
    "those that are there are taken. By default each run trains its own",
}
CGN_OPTIONS = DATA_OPTION | {
    "models": "folder of CGNs that `scm reproduce cgn-mnist` left, in place of training them again",
}
IMAGENET_OPTIONS = {
    "root": "folder with imagenet/ (or imagenet-mini/), imagenet-stylized/, bg_challenge/ and "
    "style-transfer-preprocessed-512/; tiny ones are drawn by default",
    "partial": "yes accepts folders below root that lack classes or images",
    "train": "imagenet, or imagenet-mini, below root",
    "size": "pixels along a side of what classifiers see of the images below root, 224",
    "network": "a classifier of torchvision, resnet50 by default, for the images below root",
    "weights": "file of its state dict, from which trainings start",
    "biggan": "folder of a trained BigGAN-deep, or its published name, for root; none leaves the "
    "CGN out",
    "u2net": "file of trained U2-Net weights, for root",
    "vgg": "file of torchvision's VGG16-BN; random weights stand in by default",
    "inception": "file of torchvision's Inception-v3; the IN classifier stands in by default",
}
CATALOGUE = [
    Reproduction(
        "vcfl-grating",
        "Chalupka, Perona and Eberhardt 2015, section 4.1",
        "the visual cause of a behaviour, learned in few experiments, and its manipulator",
        seeds=5,
    ),
    Reproduction(
        "vcfl-mnist",
        "Chalupka, Perona and Eberhardt 2015, section 4.2 and supplement E",
        "ten manipulators that turn digits into others, in rounds of questions to annotators",
        seeds=1,
        options={
            "data": "mnist, or digits (scikit-learn's, smaller); MNIST by default where there is "
            "SCM_DATA and the run is not quick",
            "answers": "folder of people's answers, in place of the networks that stand for them",
        },
    ),
    Reproduction(
        "cgn-mnist",
        "Sauer and Geiger 2021, table 2",
        "classifiers that learn a digit's shape from counterfactuals, beside all their baselines",
        options=CGN_OPTIONS
        | {
            "kinds": "some of coloured,double,wildlife; all by default",
            "rows": "some of ceiling,counterfactuals,mixed,original,published,irm,lntl,gan,"
            "adversarial, or single ones such as irm-2; all by default",
            "vgg16": "file of torchvision's VGG16, for the style loss of the adversarial rows",
        },
    ),
    Reproduction(
        "cgn-choices",
        "Sauer and Geiger 2021, table 2 and appendix C.4",
        "what the baselines of cgn-mnist chose on validation digits: LNTL's strength, IRM's weight",
        seeds=1,
        options=DATA_OPTION,
    ),
    Reproduction(
        "cgn-cf-ablation",
        "Sauer and Geiger 2021, appendix A.3",
        "how many counterfactual images, and how many of one shape",
        seeds=1,
        options=CGN_OPTIONS
        | {
            "kinds": "some of coloured,double,wildlife; all by default",
            "images": "10000,30000,100000 by default; 1000000 if wanted",
            "ratios": "1,5,10,20 by default",
        },
    ),
    Reproduction(
        "cgn-loss-ablation",
        "Sauer and Geiger 2021, table 1; the reproduction's table 2",
        "what becomes of a CGN's masks without each of its losses",
        options=DATA_OPTION | {"kinds": "coloured, double, with commas; double by default"},
    ),
    Reproduction(
        "cgn-edge-loss",
        "[Re] Counterfactual Generative Networks, appendix C",
        "correct masks with and without the edge loss, and the rate of collapse",
        seeds=10,
        options=DATA_OPTION
        | {
            "group": "edge (default) or collapse",
            "kinds": "with commas; coloured, or coloured,double for collapse",
            "steps": "steps of each CGN; 600, or as shipped",
        },
    ),
    Reproduction(
        "cgn-beta-vae",
        "Sauer and Geiger 2021, appendix A.1",
        "why a disentangled VAE does not do: what its latents move, what swapping them teaches",
        options=CGN_OPTIONS,
    ),
    Reproduction(
        "cgn-interpolate",
        "Sauer and Geiger 2021, appendix D.2",
        "paths of one mechanism in u and in y, all else held",
        options=CGN_OPTIONS | {"kinds": "with commas; all three by default"},
    ),
    Reproduction(
        "cgn-explain",
        "the reproduction of Sauer and Geiger 2021, section 4.2.2",
        "GradCAM and features of classifiers trained on original images and on counterfactuals",
        options=CGN_OPTIONS,
    ),
    Reproduction(
        "cgn-irm-assumptions",
        "Sauer and Geiger 2021, appendices C.4 and H",
        "the causal factor found from environments; IRM, VREx and ERM on the same ones",
        options=CGN_OPTIONS,
    ),
    Reproduction(
        "cgn-imagenet",
        "Sauer and Geiger 2021, sections 4.2 and 4.3, tables 1, 3 and 4",
        "loss ablation, shape bias and background gap, on tiny folders or the real ones",
        options=IMAGENET_OPTIONS,
    ),
    Reproduction(
        "genint-colored-mnist",
        "Mao et al. 2021, section 7 and table 5",
        "classifiers of coloured MNIST from observed and from intervened images",
        options=GENINT_OPTIONS,
    ),
    Reproduction(
        "genint-ablation",
        "Mao et al. 2021, tables 4, 6, 7 and 8",
        "generated images alone, variants A to D, batch size and lambda1, on coloured MNIST",
        options=GENINT_OPTIONS
        | {
            "vgg19": "file of VGG19's weights (torchvision's), for the transfer; by default the "
            "convolutions of variant A's classifier stand in",
        },
    ),
    Reproduction(
        "genint-bound",
        "Mao et al. 2021, figure 5",
        "whether a larger log P(x|z) means a better causal classifier, on coloured MNIST",
        options=GENINT_OPTIONS,
    ),
    Reproduction(
        "genint-strategy",
        "Mao et al. 2021, figure 6",
        "log P(x|z) over truncation, number of directions and scale, on coloured MNIST",
        options=GENINT_OPTIONS,
    ),
    Reproduction(
        "genint-correlation",
        "Mao et al. 2021, sections 3.1 and 10, figure 3",
        "what nuisances say of the label, before and after intervention",
        options=GENINT_OPTIONS,
    ),
    Reproduction(
        "genint-linear",
        "Mao et al. 2021, section 8, theorem 4",
        "linear models: the effect from intervened nuisances, against two-stage least squares",
    ),
    Reproduction(
        "genint-biggan",
        "Mao et al. 2021, figures 2 and 17",
        "one direction of a BigGAN across classes",
        seeds=1,
        options={
            "weights": "folder with config.json and pytorch_model.bin, biggan-deep-128, -256 or "
            "-512, or random",
        },
    ),
    Reproduction(
        "cage-toy",
        "CAGE, section 4.1, figure 3",
        "two mixtures, a masked autoregressive flow, nulls, and delta-tau over alpha",
    ),
    Reproduction(
        "cage-morphomnist",
        "CAGE, section 4.2, figure 4",
        "thickness and intensity in a VAE trained on MorphoMNIST, and in DeepSCM's published one",
    ),
    Reproduction(
        "cage-celebahq",
        "CAGE, section 4.2, table 1 and appendix C",
        "seven pairs of attributes, by the paper's protocol; a tiny generator without weights",
        seeds=1,
        options={
            "generator": "program of the generator, TorchScript or .pt2; a tiny one by default",
            "mapping": "program of the mapping in front, for an audit in W",
            "latents": ".safetensors with latents and a 0/1 tensor for each attribute",
        },
    ),
    Reproduction(
        "cage-dro",
        "CAGE, section 4.3, table 2",
        "group DRO with counterfactual augmentation, causal against anti-causal",
        options={
            "celeba": "CelebA's folder, with img_align_celeba/ and its two lists; MorphoMNIST in "
            "colour by default",
            "partial": "yes accepts a folder of CelebA that lacks images",
            "size": "pixels along a side of CelebA's images, 64; all are held in memory (8 GB)",
            "generator": "program of latents -> images in [0, 1], TorchScript or .pt2, with "
            "encoder; a VAE is trained by default",
            "encoder": "program of images -> latents",
            "network": "a classifier of torchvision, such as resnet50; a small one by default",
            "inception": "file of torchvision's Inception-v3, for FID; a classifier stands in by "
            "default",
        },
    ),
    Reproduction(
        "cage-zoo",
        "CAGE, equation 7, on the library's own zoo",
        "simulated generators of known truth: what each statistic makes of them",
    ),
    Reproduction(
        "tuebingen",
        "Mooij et al. 2016, section 5",
        "which of two is the cause: weighted accuracy on the 99 Tuebingen pairs of cdt",
        seeds=1,
        grid=True,
    ),
]


def reproduce(
    name: str,
    out: str | Path | None = None,
    *,
    seeds: int | None = None,
    quick: bool = False,
    device: str = "cpu",
    options: Mapping[str, str] | None = None,
    progress: bool = True,
    console: Console | None = None,
    workers: int | None = None,
    ray: str | None = None,
) -> Study:
    """Run one experiment of a paper, or go on with a run that was cut off.

    Args:
        name: Its name in `CATALOGUE`.
        out: Folder for the table, the results and the pictures; `out/reproduce/NAME` by default,
            `out/reproduce/NAME-quick` for a quick run.
        seeds: Number of seeds, 0, 1, ...; by default the experiment's own, or one where quick.
        quick: Do a fraction of the work: a smoke test, not a result.
        device: Where tensors live.
        options: The experiment's own options.
        progress: Show progress bars, on a terminal or in a notebook.
        console: Where to print; standard output by default.
        workers: Number of processes that run the seeds, or the cells of its grid; 1 by default,
            which works in this process. On a cluster, as many at once at most.
        ray: Address of a Ray cluster that runs them, see `scm.parallel.on_ray`.

    Returns:
        The finished study, with its rows.

    Raises:
        ScmError: If there is no such experiment, option or device, `seeds` is not positive, the
            folder cannot be written, something that the experiment needs is missing, no cluster
            answers, or workers keep dying.

    Example:
        >>> study = reproduce("vcfl-grating", quick=True)  # doctest: +SKIP
        >>> reproduce("vcfl-gratings")
        Traceback (most recent call last):
        scm.errors.ScmError: there is no reproduction 'vcfl-gratings'; did you mean ...
    """
    known = {r.name: r for r in CATALOGUE}
    if name not in known:
        raise ScmError(f"there is no reproduction {name!r}; {nearest(name, known)}")
    chosen, options = known[name], dict(options or {})
    for option in options:
        if option not in chosen.options:
            raise ScmError(f"{name} has no option {option!r}; {nearest(option, chosen.options)}")
    if seeds is not None and seeds < 1:
        raise ScmError(f"seeds={seeds} was given; expected at least one")
    if ray is None:
        require_devices(device)
    count = seeds or (1 if quick else chosen.seeds)
    command = ["scm", "reproduce", name, *(["--quick"] if quick else []), "--seeds", str(count)]
    for option, value in options.items():
        command += ["--option", f"{option}={value}"]
    out = Path(out or Path("out", "reproduce", f"{name}-quick" if quick else name))
    apart = (workers or 1) if chosen.grid else min(workers or 1, count)
    spread: Executor = processes(apart) if apart > 1 else here
    if ray is not None:
        spread = on_ray(ray, workers, gpus=device.startswith("cuda"))
    if spread is not here and not chosen.grid:
        Study(name, out)  # the folder can be written
        job = SeedJob(chosen.path, name, out, quick, device, options)
        run_seeds(job, range(count), spread, console or Console(highlight=False), progress)
    study = Study(
        name,
        out,
        seeds=range(count),
        quick=quick,
        device=device,
        options=options,
        progress=progress,
        console=console,
        command=shlex.join(command),
        spread=spread if chosen.grid else here,
    )
    import_module(chosen.path).run(study)
    write_report(study, f"{chosen.about} ({chosen.paper})")
    return study
