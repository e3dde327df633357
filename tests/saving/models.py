"""Models to save, what two of them must share, and files with a checksum that is right."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import distributions as d
from torch import nn
from torch.distributions import transforms as tr

import scm
from scm.mechanisms import (
    CVAE,
    Additive,
    Categorical,
    Encoder,
    Flow,
    Image,
    Linear,
    Macro,
    PostNonlinear,
    Real,
    Root,
    Structural,
    Tabular,
)
from scm.saving import archive
from tests.saving import functions as fs


def net(n_in: int = 1, n_out: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Linear(n_in, 3), nn.Tanh(), nn.Linear(3, n_out, bias=False))


def perturbed(model: scm.SCM) -> scm.SCM:
    """Parameters that no constructor would draw."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator).to(parameter))
    return model


IMAGE = Image((1, 4, 4), (-1.0, 1.0))

MODELS: dict[str, Any] = {
    "root": lambda: scm.SCM("A; B", A=Root.normal(1.0, 2.0), B=Root(d.Gamma(2.0, 3.0))),
    "vector root": lambda: scm.SCM("A", A=Root.normal(torch.arange(3.0), 1.0)),
    "multivariate": lambda: scm.SCM(
        "A", A=Root(d.MultivariateNormal(torch.ones(2), torch.tensor([[2.0, 0.5], [0.5, 1.0]])))
    ),
    "poisson": lambda: scm.SCM("A", A=Root(d.Poisson(3.0))),
    "empirical": lambda: scm.SCM("A", A=Root.empirical(torch.tensor([[1.0, 2.0], [3.0, 5.0]]))),
    "empirical levels": lambda: scm.SCM(
        "A", A=Root.empirical(["a", "b", "b"], type=Categorical(("a", "b")))
    ),
    "tabular": lambda: scm.SCM(
        "A -> B",
        A=Root.categorical([0.2, 0.3, 0.5], levels=("x", 2, 0.5)),
        B=Tabular([[0.1, 0.9], [0.7, 0.3], [1 / 3, 2 / 3]], coupling="monotone"),
    ),
    "linear": lambda: scm.SCM(
        "A, K -> B",
        A=Root.normal(),
        K=Root.bernoulli(0.3),
        B=Linear({"A": 2.0, "K": [1.0, -1.0]}, bias=0.5, noise=d.Laplace(0.0, 2.0)),
    ),
    "additive": lambda: scm.SCM("A -> B", A=Root.normal(), B=Additive(fs.double)),
    "additive net": lambda: scm.SCM("A -> B", A=Root.normal(), B=Additive(net())),
    "post-nonlinear": lambda: scm.SCM(
        "A -> B",
        A=Root.normal(),
        B=PostNonlinear(
            net(),
            tr.ComposeTransform(
                [tr.AffineTransform(0.5, torch.tensor(2.0)), tr.SigmoidTransform()]
            ),
        ),
    ),
    "inverse transform": lambda: scm.SCM(
        "A -> B",
        A=Root.normal(),
        B=PostNonlinear(fs.double, tr.ComposeTransform([tr.ExpTransform(), tr.ExpTransform().inv])),
    ),
    "flow": lambda: scm.SCM("A -> B", A=Root.normal(), B=Flow(2, transforms=2, hidden=(8,))),
    "autoregressive": lambda: scm.SCM("B", B=Flow((), kind="autoregressive", hidden=(4,), seed=3)),
    "structural": lambda: scm.SCM(
        "A -> B, C, T",
        A=Root.normal(),
        B=Structural(fs.plus_noise, noise=d.Gumbel(0.0, 1.0), inverse=fs.minus_parent),
        C=Structural(net(1, 4), type=Real((2, 2))),
        T=Structural(fs.Tools.triple),
    ),
    "decorated": lambda: scm.SCM("A -> B", A=Root.normal(), B=Additive(fs.decorated)),
    "macro": lambda: scm.SCM(
        "A => B", A=Root.normal(torch.zeros(4)), B=Macro(fs.total, fs.set_total, tolerance=0.01)
    ),
    "cvae": lambda: scm.SCM(
        "A -> B", A=Root.bernoulli(0.5), B=CVAE(IMAGE, latent=2, hidden=(5,), beta=0.5)
    ),
    "cvae with nets": lambda: scm.SCM(
        "A -> B",
        A=Root.normal(),
        B=CVAE(
            Image((1, 4, 4)),
            latent=2,
            likelihood="bernoulli",
            encoder=net(17, 4),
            decoder=nn.Sequential(
                nn.Linear(3, 4),
                nn.Unflatten(1, (1, 2, 2)),
                nn.Upsample(scale_factor=2.0, mode="bilinear", align_corners=False),
                nn.Conv2d(1, 2, 3, padding="same", padding_mode="reflect"),
                nn.GroupNorm(2, 2),
                nn.PReLU(),
                nn.ConvTranspose2d(2, 1, 1),
            ),
        ),
    ),
    "own mechanism": lambda: scm.SCM(
        "A -> B",
        A=Root.normal(),
        B=fs.Scaled(2.0, torch.tensor(0.25), {"x": math.inf, 1: (None, [True, "y"])}),
    ),
    "batch norm": lambda: scm.SCM(
        "A -> B",
        A=Root.normal(),
        B=Additive(nn.Sequential(nn.BatchNorm1d(1), nn.Dropout(0.3), nn.Linear(1, 1)).eval()),
    ),
    "latent, odd names": lambda: scm.SCM(
        'C -> "age (y)"; C -> Z; Z -> "age (y)"',
        {"C": Root.normal(), "age (y)": Linear(), "Z": Linear({"C": 1.0})},
        latent=("C",),
    ),
    "encoder": lambda: scm.SCM(
        "Z -> X",
        Z=Root.normal(),
        X=Additive(net()),
        encoders=[Encoder(("Z",), ("X",), nn.Linear(1, 2))],
    ),
}


def same(a: scm.Samples, b: scm.Samples) -> None:
    assert list(a) == list(b)
    for node in a:
        assert a[node].dtype == b[node].dtype
        assert torch.equal(a[node], b[node]), node


def assert_same_model(a: scm.SCM, b: scm.SCM) -> None:
    assert a.graph.structure == b.graph.structure
    assert {n: m.type for n, m in a.mechanisms.items()} == {
        n: m.type for n, m in b.mechanisms.items()
    }
    for ours, theirs in (
        (a.named_parameters(), b.named_parameters()),
        (a.named_buffers(), b.named_buffers()),
    ):
        mine, other = dict(ours), dict(theirs)
        assert mine.keys() == other.keys()
        for name, tensor in mine.items():
            assert tensor.dtype == other[name].dtype
            assert tensor.requires_grad == other[name].requires_grad
            assert torch.equal(tensor, other[name]), name
    modes = [
        {n: m.training for n, m in model.named_modules(remove_duplicate=False)} for model in (a, b)
    ]
    assert modes[0] == modes[1]


def lambda_model() -> scm.SCM:
    return scm.SCM("A -> Y", A=Root.normal(), Y=Additive(lambda A: 2 * A))


def rewrite(path: Path, document: Any, tensors: dict[str, torch.Tensor]) -> None:
    text = document if isinstance(document, str) else json.dumps(document)
    metadata = {"format": archive.FORMAT, "model": text, "sha256": archive.checksum(text, tensors)}
    save_file(tensors, path, metadata)
