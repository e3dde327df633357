"""The saved model whose file and document the tests alter."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import distributions as d
from torch.distributions import transforms as tr

import scm
from scm.mechanisms import Flow, Macro, PostNonlinear, Real, Root, Structural
from tests.saving import functions as fs
from tests.saving.models import net


@pytest.fixture(scope="session")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("file") / "model"
    scm.SCM(
        "A -> B, M; A -> C; A => K",
        A=Root.normal(torch.zeros(2)),
        B=Structural(net(2), noise=None, type=Real()),
        M=Flow((), kind="autoregressive", transforms=1, hidden=(4,)),
        C=PostNonlinear(net(2), tr.AffineTransform(torch.tensor(1.0), 2.0), d.Normal(0.0, 1.0)),
        K=Macro(fs.total, fs.set_total),
    ).save(path)
    return path
