"""`to_pyro`: the same law, the same interventions and the same densities, in Pyro."""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from typing import Any

import pyro
import pytest
import torch
from pyro import poutine
from pyro.infer import (
    MCMC,
    NUTS,
    SVI,
    Predictive,
    Trace_ELBO,
    TraceEnum_ELBO,
    config_enumerate,
    infer_discrete,
)
from pyro.infer.autoguide import AutoNormal
from scipy import stats
from torch import Tensor, nn
from torch.distributions import Exponential, Gamma, Laplace, MultivariateNormal, Normal, Uniform
from torch.distributions.transforms import ExpTransform

import scm
from scm import CVAE, Additive, Flow, Image, Linear, Macro, PostNonlinear, Root, Structural, Tabular
from scm.errors import InterventionError, ScmError

UNITS = 20_000
# Each comparison below fails by chance with probability 1e-4; there are fewer than 100.
CHANCE = 1e-4
Z = stats.norm.isf(CHANCE / 2)


@pytest.fixture(autouse=True)
def _pyro_is_left_alone() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # pyro.set_rng_seed seeds numpy and random too, which no fork undoes
        pyro.clear_param_store()
        yield
        pyro.clear_param_store()


def mlp(inputs: int) -> nn.Module:
    generator = torch.Generator().manual_seed(1)
    net = nn.Sequential(nn.Linear(inputs, 8), nn.Tanh(), nn.Linear(8, 1))
    with torch.no_grad():
        for p in net.parameters():
            p.normal_(generator=generator)
    return net


def dense() -> scm.SCM:
    """A mixed model in which every node has a density."""
    return scm.SCM(
        "C -> D; C, D -> A; A -> P; P, C -> F; A -> V; V, E -> W",
        C=Root.categorical([0.2, 0.5, 0.3]),
        D=Tabular([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]]),
        A=Additive(mlp(5), noise=Laplace(0.0, 0.7)),
        P=PostNonlinear(lambda A: 0.5 * A, ExpTransform(), noise=Normal(0.1, 0.4)),
        F=Flow((2,), hidden=(16,), transforms=1, seed=3),
        V=Linear({"A": [1.0, -2.0]}, noise=Normal(torch.zeros(2), torch.tensor([1.0, 0.5]))),
        E=Root(Gamma(torch.tensor(2.0), torch.tensor(1.0))),
        W=Additive(lambda V, E: V[..., 0] * E, noise=Uniform(-1.0, 2.0)),
    )


def mixed() -> scm.SCM:
    """A mixed model with nodes that have no density."""
    return scm.SCM(
        "C -> D; R, C -> L; L -> A; A -> P; P, L -> F; L, R -> S; S, D -> T; T -> B",
        C=Root.bernoulli(0.3),
        D=Tabular([[0.9, 0.1], [0.4, 0.6]]),
        R=Root.empirical([-1.0, 0.5, 2.0, 2.5]),
        L=Linear({"R": 0.7, "C": [0.0, 1.5]}),
        A=Additive(mlp(1), noise=Normal(0.0, 0.3)),
        P=PostNonlinear(lambda A: 0.5 * A, ExpTransform()),
        F=Flow(hidden=(16,), transforms=1, seed=3),
        S=Structural(lambda L, R: L * R),
        T=Structural(lambda S, D, noise: S + D * noise, noise=Gamma(2.0, 1.0)),
        B=Structural(lambda T: (T > 0).long(), type=scm.Categorical(2)),
    )


def agree(a: dict[str, Tensor], b: dict[str, Tensor]) -> None:
    """Two independent samples have one law: marginals, means, and all second joint moments."""
    columns = []
    for sample in (a, b):
        flat = [sample[n].double().reshape(UNITS, -1) for n in sample]
        # Tails are drawn in, so that a standard error describes the moments.
        columns.append(torch.cat([v.asinh() for v in flat], -1))
    for x, y in zip(columns[0].T, columns[1].T, strict=True):
        if (x == x[0]).all():
            torch.testing.assert_close(x, y)
        else:
            assert stats.ks_2samp(x.numpy(), y.numpy(), method="asymp").pvalue > CHANCE
    i, j = torch.triu_indices(columns[0].shape[1], columns[0].shape[1])
    first, second = (torch.cat([c, c[:, i] * c[:, j]], -1) for c in columns)
    stderr = ((first.var(0) + second.var(0)) / UNITS).sqrt()
    gap = (first.mean(0) - second.mean(0)).abs()
    most = stats.norm.isf(CHANCE / 2 / len(gap))
    assert (gap <= most * stderr + 1e-6).all(), gap / stderr


@pytest.mark.parametrize("make", [dense, mixed])
def test_sites_are_the_nodes_in_topological_order(make: Any) -> None:
    model = make()
    trace = poutine.trace(model.to_pyro()).get_trace(5)
    order = list(model.graph.topological_order())
    sites = [name for name in trace.nodes if name in order]
    assert sites == order
    others = set(trace.nodes) - set(order) - {"_INPUT", "_RETURN", "units"}
    assert others == ({"R.noise", "T.noise"} if make is mixed else set())
    for node in order:
        value = trace.nodes[node]["value"]
        kind = model.mechanisms[node].type
        assert value.shape == (5, *kind.event)
        assert (value.dtype == torch.int64) == isinstance(kind, scm.Categorical)
    trace.compute_log_prob()
    fixed = {n for n in order if trace.nodes[n]["infer"].get("_deterministic")}
    assert fixed == ({"R", "S", "T", "B"} if make is mixed else set())


@pytest.mark.parametrize(
    ("make", "act"),
    [
        (dense, {}),
        (dense, {"A": 0.5}),
        (dense, {"D": 1, "V": [1.0, 0.0]}),
        (mixed, {}),
        (mixed, {"L": 1.0}),
        (mixed, {"S": -0.5, "C": 1}),
        (mixed, {"R": 0.5}),
    ],
)
def test_do_agrees_with_the_engine(make: Any, act: dict[str, Any]) -> None:
    model = make()
    ours = (model.do(act) if act else model).sample(UNITS, seed=0)
    tensors = {node: torch.tensor(value) for node, value in act.items()}
    with torch.no_grad():
        theirs = pyro.do(model.to_pyro(), tensors)(UNITS)
    agree({n: ours[n] for n in theirs}, theirs)


def test_density_is_the_engines() -> None:
    model = dense()
    data = {n: model.sample(200, seed=0)[n] for n in model.graph.nodes}
    trace = poutine.trace(pyro.condition(model.to_pyro(), data)).get_trace(200)
    expected = model.log_prob(data).sum().item()
    assert trace.log_prob_sum().item() == pytest.approx(expected, rel=1e-4)
    trace.compute_log_prob()
    for name, site in trace.nodes.items():
        if name in data:
            assert site["is_observed"]
            assert site["log_prob"].shape == (200,)
            assert torch.equal(site["value"], data[name])


def test_what_cannot_be_has_density_zero() -> None:
    model = scm.SCM(
        "A -> B; C -> D",
        A=Root(Exponential(1.0)),
        B=Additive(lambda A: A, noise=Exponential(2.0)),
        C=Root.empirical([0, 0, 1], type=scm.Categorical(3)),
        D=Tabular([[1.0, 0.0], [0.5, 0.5], [0.5, 0.5]]),
    )
    good = {"A": 1.0, "B": 1.5, "C": 0, "D": 0}
    for change in ({}, {"A": -1.0}, {"B": 0.5}, {"C": 2}, {"D": 1}):
        data = {n: torch.tensor([v]) for n, v in {**good, **change}.items()}
        total = poutine.trace(pyro.condition(model.to_pyro(), data)).get_trace().log_prob_sum()
        torch.testing.assert_close(total, model.log_prob(data).sum())
        assert torch.isinf(total) == bool(change)


def test_evidence_against_a_deterministic_node_has_density_zero() -> None:
    model = scm.SCM("A -> B", A=Root.normal(), B=Structural(lambda A: 2 * A))
    for b, density in ((2.0, 0.0), (2.5, -torch.inf)):
        data = {"A": torch.tensor([1.0]), "B": torch.tensor([b])}
        trace = poutine.trace(pyro.condition(model.to_pyro(), data)).get_trace()
        trace.compute_log_prob()
        assert trace.nodes["B"]["log_prob_sum"].item() == density


def test_cvae_can_be_conditioned() -> None:
    image = Image((1, 3, 3))
    model = scm.SCM("Y -> X", Y=Root.bernoulli(0.5), X=CVAE(image, latent=2, hidden=(4,)))
    in_pyro, cvae = model.to_pyro(), model.mechanisms["X"]
    data = {n: model.sample(7, seed=0)[n] for n in ("X", "Y")}
    trace = poutine.trace(pyro.condition(in_pyro, data)).get_trace(7)
    trace.compute_log_prob()
    latent = trace.nodes["X.latent"]["value"]
    assert latent.shape == (7, 2)
    mean = cvae.decode(latent, {"Y": data["Y"]})
    by_hand = Normal(mean, cvae.log_scale.exp()).log_prob(data["X"]).sum((1, 2, 3))
    torch.testing.assert_close(trace.nodes["X"]["log_prob"], by_hand)
    assert trace.nodes["X"]["is_observed"]
    with torch.no_grad():
        ours = model.sample(UNITS, seed=0)["X"].mean((1, 2, 3))
        theirs = in_pyro(UNITS)["X"].mean((1, 2, 3))
    assert stats.ks_2samp(ours.numpy(), theirs.numpy(), method="asymp").pvalue > CHANCE

    flat = CVAE(image, latent=2, hidden=(4,), likelihood="bernoulli")
    trace = poutine.trace(scm.SCM("Y -> X", Y=Root.bernoulli(), X=flat).to_pyro()).get_trace(7)
    assert trace.nodes["X.noise"]["value"].shape == (7, 2)
    assert trace.nodes["X"]["infer"]["_deterministic"]


def test_nuts_finds_the_linear_gaussian_posterior() -> None:
    model = scm.SCM(
        "U -> A, B",
        latent=("U",),
        U=Root.normal(),
        A=Linear({"U": 1.0}),
        B=Linear({"U": 2.0}, noise=Normal(0.0, 0.5)),
    )
    data = {"A": torch.tensor([0.0, 2.0]), "B": torch.tensor([1.0, 3.0])}
    precision = 1 + 1 + 4 / 0.25
    mean = (data["A"] + 2 * data["B"] / 0.25) / precision
    mcmc = MCMC(
        NUTS(pyro.condition(model.to_pyro(), data)), 200, warmup_steps=60, disable_progbar=True
    )
    mcmc.run(2)
    draws = mcmc.get_samples()["U"]
    assert draws.shape == (200, 2)
    effective = pyro.ops.stats.effective_sample_size(draws[None])
    stderr = (1 / precision / effective.clamp(min=50)).sqrt()
    assert ((draws.mean(0) - mean).abs() < Z * stderr).all()
    assert draws.std(0).tolist() == pytest.approx([precision**-0.5] * 2, rel=0.3)


def learnable() -> tuple[scm.SCM, dict[str, Tensor]]:
    truth = scm.SCM("U -> A", U=Root.normal(), A=Linear({"U": 0.5}, bias=3.0))
    model = scm.SCM("U -> A", U=Root.normal(), A=Linear({"U": 0.5}, bias=0.0))
    return model, {"A": truth.sample(500, seed=0)["A"]}


def test_a_parameter_is_learnt_by_autograd() -> None:
    model, data = learnable()
    conditioned = pyro.condition(model.to_pyro(), data)
    guide = AutoNormal(conditioned)
    guide(500)
    optimiser = torch.optim.Adam([model.mechanisms["A"].bias, *guide.parameters()], lr=0.1)
    for _ in range(150):
        optimiser.zero_grad()
        Trace_ELBO().differentiable_loss(conditioned, guide, 500).backward()
        optimiser.step()
    # The maximum is the mean of A (standard error 0.05); the rest is the optimiser's.
    assert model.mechanisms["A"].bias.item() == pytest.approx(data["A"].mean().item(), abs=0.2)


def test_a_parameter_is_learnt_by_svi() -> None:
    model, data = learnable()
    conditioned = pyro.condition(model.to_pyro(), data)

    def registered(n: int) -> None:
        pyro.module("model", model)
        conditioned(n)

    svi = SVI(registered, AutoNormal(conditioned), pyro.optim.Adam({"lr": 0.1}), Trace_ELBO())
    for _ in range(150):
        svi.step(500)
    assert model.mechanisms["A"].bias.item() == pytest.approx(data["A"].mean().item(), abs=0.2)


def test_discrete_latents_are_enumerated() -> None:
    model = scm.SCM(
        "C -> D; C, D -> A",
        C=Root.categorical([0.2, 0.5, 0.3]),
        D=Tabular([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]]),
        A=Additive(lambda C, D: 2.0 * C - D),
    )
    data = {"A": torch.tensor([0.3, 4.0]), "D": torch.tensor([1, 0])}
    conditioned = config_enumerate(pyro.condition(model.to_pyro(), data))
    loss = TraceEnum_ELBO(max_plate_nesting=1).loss(conditioned, lambda n: None, 2)
    every = [model.log_prob({**data, "C": torch.full((2,), c)}) for c in range(3)]
    assert -loss == pytest.approx(torch.stack(every).logsumexp(0).sum().item(), rel=1e-5)
    best = infer_discrete(conditioned, first_available_dim=-2, temperature=0)(2)["C"]
    assert torch.equal(best, torch.stack(every).argmax(0))


def test_predictive_in_parallel() -> None:
    model = scm.SCM(
        "Y -> A; A -> S, X; S -> T",
        Y=Root.bernoulli(),
        A=Additive(mlp(2)),
        S=Structural(mlp(1)),
        X=CVAE(Image((1, 2, 2)), latent=2, hidden=(3,)),
        T=Structural(
            lambda S, noise: S + noise,
            noise=MultivariateNormal(torch.zeros(1), torch.eye(1)),
            type=scm.Real((1,)),
        ),
    )
    draws = Predictive(model.to_pyro(), num_samples=6, parallel=True)(4)
    assert draws["X"].shape == (6, 4, 1, 2, 2)
    assert draws["S"].shape == (6, 4)
    net = model.mechanisms["S"].f.f
    with torch.no_grad():
        torch.testing.assert_close(draws["S"], net(draws["A"][..., None])[..., 0])


@pytest.mark.parametrize("law", [Gamma(2.0, 1.0), Laplace(0.0, 1.0), Uniform(1.0, 3.0)])
def test_gradients_reach_the_noise(law: Any) -> None:
    mechanism = Structural(lambda A, noise: A * noise, noise=law)
    in_pyro = scm.SCM("A -> B", A=Root.normal(), B=mechanism).double().to_pyro()

    def value(noise: Tensor) -> Tensor:
        given = {"A": torch.tensor([1.0, 2.0]), "B.noise": noise}
        return pyro.condition(in_pyro, given)(2)["B"]

    noise = torch.tensor([0.2, 0.9], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(value, noise, atol=1e-4)


def test_macro_variables_are_read_and_not_set() -> None:
    macro = Macro(lambda i: i.mean(-1), lambda i, c: i - i.mean(-1, keepdim=True) + c)
    model = scm.SCM("I => K", I=Root.normal(torch.zeros(4)), K=macro)
    in_pyro = model.to_pyro()
    values = pyro.do(in_pyro, {"I": torch.ones(4)})(3)
    assert torch.equal(values["K"], torch.ones(3))
    with pytest.raises(InterventionError, match=r"'K' is a macro-variable.*\['I'\]"):
        pyro.do(in_pyro, {"K": torch.tensor(2.0)})(3)


def test_scalars_and_codes_are_read() -> None:
    model = scm.SCM("Y -> A", Y=Root.categorical([0.5, 0.5]), A=Linear({"Y": [0.0, 1.0]}))
    in_pyro = model.to_pyro()
    values = pyro.do(in_pyro, {"Y": 1.0, "A": 2})(3)
    assert torch.equal(values["Y"], torch.tensor([1, 1, 1]))
    assert torch.equal(values["A"], torch.full((3,), 2.0))
    for wrong in (torch.tensor(0.5), torch.tensor(2)):
        with pytest.raises(InterventionError, match=r"for 'Y': .* is no level of"):
            pyro.do(in_pyro, {"Y": wrong})(3)
    for shape, n in (((5,), 1), ((5,), 3), ((3, 2), 3)):
        with pytest.raises(InterventionError, match="for 'A', which is Real; expected"):
            pyro.do(in_pyro, {"A": torch.zeros(shape)})(n)


def test_double_precision() -> None:
    model = dense().double()
    trace = poutine.trace(model.to_pyro()).get_trace(3)
    assert trace.nodes["W"]["value"].dtype == torch.float64


def test_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    from scm.neighbours.pyro import to_pyro

    model = scm.SCM("A -> B", A=Root.normal(), B=Linear({"A": 1.0}))
    with pytest.raises(InterventionError, match=r"acts on \['A'\].*pyro\.do"):
        to_pyro(model.do(A=1.0).program)
    with pytest.raises(ScmError, match="a positive number of units"):
        model.to_pyro()(0)
    with pytest.raises(ScmError, match="two Pyro sites would be called 'units'"):
        scm.SCM("units", units=Root.normal()).to_pyro()

    found = builtins.__import__

    def without_pyro(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == "pyro":
            raise ModuleNotFoundError(f"No module named {name!r}")
        return found(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_pyro)
    with pytest.raises(ScmError, match=r"pip install 'neural-scm\[pyro\]'"):
        model.to_pyro()


def test_the_graph_of_a_model_that_was_exported_comes_back() -> None:
    from scm.neighbours.pyro import from_pyro

    model = scm.SCM(
        "A -> B; A, B -> C; D",
        A=Root.normal(),
        B=Linear({"A": 1.0}),
        C=Linear({"A": 1.0, "B": -2.0}),
        D=Root.normal(),
    )
    before = torch.get_rng_state()
    found = from_pyro(model.to_pyro(), 4, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    assert found == model.graph


def test_a_program_without_sites_has_no_graph() -> None:
    from scm.neighbours.pyro import from_pyro

    with pytest.raises(ScmError, match="no sample sites; expected a Pyro model"):
        from_pyro(lambda: None)
