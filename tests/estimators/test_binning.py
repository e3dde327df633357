from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torch.distributions import Exponential, Laplace, LogNormal, Normal, StudentT

import scm
from scm.estimators import binned, causal_partition, observational_partition, visual_causes

MEANS = torch.tensor([[0.0, 0.0, 1.0], [2.0, 2.0, -1.0]])
PRIOR = np.array([0.3, 0.7])
IMAGE = np.array([[0.5, 0.3, 0.2], [0.2, 0.2, 0.6]])


def shifted(H: torch.Tensor, I: torch.Tensor) -> torch.Tensor:  # noqa: E741
    return MEANS[H, I]


def model(noise: torch.distributions.Distribution) -> scm.SCM:
    return scm.SCM(
        "H -> I; H, I -> T",
        latent=["H"],
        H=scm.Tabular(PRIOR),
        I=scm.Tabular(IMAGE),
        T=scm.Additive(shifted, noise),
    )


LAWS = {
    "normal": (Normal(0.5, 2.0), stats.norm(0.5, 2.0)),
    "laplace": (Laplace(0.0, 1.0), stats.laplace(0.0, 1.0)),
    "exponential": (Exponential(2.0), stats.expon(scale=0.5)),
    "lognormal": (LogNormal(0.0, 0.5), stats.lognorm(0.5)),
}


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("bins", [2, 5])
def test_bins_by_the_rule(name: str, bins: int) -> None:
    noise, law = LAWS[name]
    found = binned(model(noise), "T", bins=bins)
    exact = found.exact()
    assert exact.table("T").values.numpy() == pytest.approx(np.full(bins, 1 / bins), abs=1e-6)
    ends = [name.strip("(]").split(", ")[1] for name in exact.levels["T"]]
    edges = [float(end) for end in ends[:-1]]
    table = found.mechanisms["T"].table().numpy().cumsum(-1)[..., :-1]
    expected = law.cdf(np.array(edges) - MEANS.numpy()[..., None])
    assert table == pytest.approx(expected, abs=2e-3)  # the names have four digits


@pytest.mark.parametrize("name", LAWS)
def test_bins_of_given_edges(name: str) -> None:
    noise, law = LAWS[name]
    edges = [-1.5, 0.25, 1.75]
    found = binned(model(noise), "T", edges=edges)
    below = law.cdf(np.array(edges) - MEANS.numpy()[..., None])
    expected = np.diff(below, prepend=0, append=1)
    assert found.mechanisms["T"].table().numpy() == pytest.approx(expected, abs=1e-6)
    names = ("(-inf, -1.5]", "(-1.5, 0.25]", "(0.25, 1.75]", "(1.75, inf]")
    assert found.exact().levels["T"] == names


def test_partitions_of_a_continuous_target() -> None:
    whole = model(Normal(0.0, 1.0))
    for bins in (2, 3, 8):
        few = binned(whole, "T", bins=bins)
        assert causal_partition(few, "I", "T", 1e-6).cells == ((0, 1), (2,))
        assert observational_partition(few, "I", "T", 1e-6).cells == ((0,), (1,), (2,))
        assert visual_causes(few, tolerance=1e-6).coarsens
    # One bin holds next to all: its classes are coarser.
    coarse = binned(whole, "T", edges=[50.0])
    assert causal_partition(coarse, "I", "T", 1e-6).cells == ((0, 1, 2),)
    assert whole.graph == coarse.graph
    assert torch.equal(whole.sample(50, seed=0)["I"], coarse.sample(50, seed=0)["I"])


def test_bins_of_a_root_and_of_a_linear_node() -> None:
    root = scm.SCM("T", T=scm.Root.normal(3.0, 2.0))
    assert binned(root, "T", bins=2).mechanisms["T"].type.names == ("(-inf, 3]", "(3, inf]")
    line = scm.SCM("I -> T", I=scm.Root.bernoulli(), T=scm.Linear({"I": [0.0, 1e-5]}))
    assert len(binned(line, "T", edges=[1.0, 1.0 + 1e-9]).mechanisms["T"].type.names) == 3


def test_what_cannot_be_binned() -> None:
    good = model(Normal(0.0, 1.0))
    for edges in ([], [1.0, 1.0], [2.0, 1.0], [float("nan")]):
        with pytest.raises(scm.ScmError, match="ascending order"):
            binned(good, "T", edges=edges)
    for bins in (1, 2.5):
        with pytest.raises(scm.ScmError, match="2 or more"):
            binned(good, "T", bins=bins)  # type: ignore[arg-type]
    with pytest.raises(scm.MechanismError, match="scalar Real"):
        binned(good, "I")
    with pytest.raises(scm.GraphError, match="Known"):
        binned(good, "Z")
    with pytest.raises(scm.MechanismError, match="no distribution function"):
        binned(model(StudentT(4.0)), "T")
    line = scm.SCM("A -> T -> B", A=scm.Root.bernoulli(), T=scm.Linear(), B=scm.Linear())
    with pytest.raises(scm.GraphError, match=r"has effects .*\['B'\]"):
        binned(line, "T")
    with pytest.raises(scm.MechanismError, match="all Categorical"):
        binned(line, "B")
    no_density = scm.Structural(lambda I: 1.0 * I)  # noqa: E741
    with pytest.raises(scm.MechanismError, match="no density"):
        binned(scm.SCM("I -> T", I=scm.Root.bernoulli(), T=no_density), "T")
