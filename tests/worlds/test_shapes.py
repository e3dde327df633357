"""Shapes, types, and how functions and modules are called."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal

import scm
from scm import Additive, Image, Linear, Root, Structural, Tabular
from scm.mechanisms import Categorical, Real


def images() -> scm.SCM:
    return scm.SCM(
        "S, K -> J; V -> J; J -> M",
        S=Root.normal(),
        V=Root.normal(torch.zeros(5)),
        K=Root.normal(torch.zeros(3, 4, 5)),
        J=Structural(
            lambda S, K, V: S * K + 0 * V[..., :1, :1, :1], type=Image((3, 4, 5), (-9, 9))
        ),
        M=Structural(lambda J: J.mean((-3, -2, -1))),
    )


class Sees(nn.Module):
    """Remembers what it was called with."""

    def __init__(self, out: int = 1, names: bool = False) -> None:
        super().__init__()
        self.out, self.seen = out, []

    def forward(self, features: Tensor) -> Tensor:
        self.seen.append(features)
        return features.sum(-1, keepdim=True).expand(-1, self.out)


class Named(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[dict[str, Tensor]] = []

    def forward(self, A: Tensor, T: Tensor) -> Tensor:
        self.seen.append({"A": A, "T": T})
        return A.sum(-1) + T


# ------------------------------------------------------------------------- given values


def test_event_dimensions_are_stripped_from_the_right() -> None:
    m, n = images(), 6
    one = torch.rand(3, 4, 5)
    by_unit = torch.rand(n, 3, 4, 5)
    assert torch.equal(m.do(K=one).sample(n, 0)["K"], one.expand(n, 3, 4, 5))
    assert torch.equal(m.do(K=by_unit).sample(n, 0)["K"], by_unit)
    assert torch.equal(m.do(V=torch.arange(5.0)).sample(n, 0)["V"][3], torch.arange(5.0))
    units = m.sweep(S=[0.0, 1.0]).sample(n, seed=0)
    worlds = torch.rand(2, n, 3, 4, 5)
    assert torch.equal(units.do(K=worlds)["K"], worlds)
    assert torch.equal(units.do(K=worlds[:1])["K"], worlds[:1].expand(2, n, 3, 4, 5))


@pytest.mark.parametrize(
    "shape", [(), (3,), (4, 5), (3, 4, 6), (7, 3, 4, 5), (2, 6, 3, 4, 5), (1, 3, 4, 5)]
)
def test_other_shapes_are_errors_that_show_both(shape: tuple[int, ...]) -> None:
    m = images()
    with pytest.raises(scm.InterventionError, match=r"'K'.*\(3, 4, 5\)|\(3, 4, 5\).*'K'") as error:
        m.do(K=torch.zeros(shape)).sample(6, seed=0)
    assert str(tuple(shape)) in str(error.value)
    with pytest.raises(scm.InterventionError, match="'K'"):
        m.sample(6, seed=0).do(K=torch.zeros(shape))  # refused at once, where units are known


def test_values_by_unit_are_never_confused_with_events() -> None:
    """Five units of a five-vector: (5,) is the event, not one number a unit."""
    m = images()
    value = torch.arange(5.0)
    assert torch.equal(m.do(V=value).sample(5, seed=0)["V"], value.expand(5, 5))
    with pytest.raises(scm.InterventionError, match="'V'"):
        m.do(V=1.0)


def test_values_by_world_and_unit_in_a_sweep() -> None:
    m = images()
    rows = [torch.arange(6.0), torch.zeros(6)]
    assert torch.equal(m.sweep(S=rows).sample(6, seed=0)["S"], torch.stack(rows))
    assert torch.equal(m.sweep(S=torch.stack(rows)).sample(6, seed=0)["S"], torch.stack(rows))
    with pytest.raises(scm.InterventionError, match="sweep"):
        m.do(S=torch.stack(rows)).sample(6, seed=0)


def test_pixels_far_out_of_the_declared_range_are_refused() -> None:
    with pytest.raises(scm.InterventionError, match="rescale"):
        images().do(J=torch.full((3, 4, 5), 255.0))


# ----------------------------------------------------------------------------- functions


def test_a_scalar_times_an_image_means_what_it_says() -> None:
    units = images().sample(4, seed=0)
    assert units["J"].shape == (4, 3, 4, 5)
    wanted = units["S"][:, None, None, None] * units["K"]
    torch.testing.assert_close(units["J"], wanted)
    torch.testing.assert_close(units["M"], units["J"].mean((-3, -2, -1)))
    swept = images().sweep(S=[0.0, 2.0]).sample(4, seed=0)
    torch.testing.assert_close(swept["J"][1], 2 * units["K"])
    assert swept["M"].shape == (2, 4)


def test_functions_of_acts_see_padded_events_too() -> None:
    m = images()
    units = m.do(J=lambda S, K: S + K).sample(4, seed=0)
    torch.testing.assert_close(units["J"], units["S"][:, None, None, None] + units["K"])


def test_a_scalar_nodes_function_sees_scalars() -> None:
    seen = []
    m = scm.SCM(
        "A, B -> C",
        A=Root.normal(),
        B=Root.normal(),
        C=Structural(lambda A, B: seen.append((A.ndim, B.ndim)) or A * B),
    )
    m.sample(5, seed=0)
    assert set(seen[-1:]) == {(1, 1)}


def test_functions_that_cannot_broadcast_get_flat_rows() -> None:
    """Code that assumes one batch dimension works in worlds as well."""

    def picky(A: Tensor, B: Tensor) -> Tensor:
        assert A.ndim == 1
        assert A.shape == B.shape
        return torch.stack([A, B]).sum(0)

    m = scm.SCM("A, B -> C", A=Root.normal(), B=Root.normal(), C=Structural(picky))
    units = m.sweep(A=[1.0, 2.0]).sweep(B=[3.0, 4.0, 5.0]).sample(2, seed=0)
    assert units["C"][:, :, 0].tolist() == [[4.0, 5.0, 6.0], [5.0, 6.0, 7.0]]


def test_what_a_mechanism_returns_is_checked_and_never_broadcast() -> None:
    for wrong in (
        lambda A: torch.ones(()),
        lambda A: A[..., None],
        lambda A: A.unsqueeze(0),
        lambda A: A[..., :1],
        lambda A: 3.0,
    ):
        with pytest.raises(scm.MechanismError, match=r"'B'"):
            scm.SCM("A -> B", A=Root.normal(), B=Structural(wrong))
    with pytest.raises(scm.MechanismError, match=r"\(4, 2\)|\(2,\)"):
        scm.SCM("A -> B", A=Root.normal(), B=Structural(lambda A: A, type=Real(2)))


def test_a_functions_arguments_are_the_parents() -> None:
    with pytest.raises(scm.MechanismError, match=r"\['A', 'Q'\].*\['A', 'B'\]"):
        scm.SCM("A, B -> C", A=Root.normal(), B=Root.normal(), C=Additive(lambda A, Q: A))
    scm.SCM("A, B -> C", A=Root.normal(), B=Root.normal(), C=Additive(lambda **p: p["A"] + p["B"]))


# ------------------------------------------------------------------------------- modules


def test_modules_see_flat_rows_of_features_in_declared_order() -> None:
    net = Sees()
    m = scm.SCM(
        "T, V, A -> Y",
        A=Root.normal(),
        V=Root.normal(torch.zeros(2)),
        T=Tabular([0.2, 0.3, 0.5]),
        Y=Additive(net),
    )
    units = m.sweep(A=[0.0, 1.0]).sweep(T=[0, 1, 2]).sample(4, seed=0)
    features = net.seen[-1]
    assert features.shape == (2 * 3 * 4, 3 + 2 + 1)
    laid = features.reshape(2, 3, 4, 6)
    assert torch.equal(laid[0, 1, 2, :3], torch.tensor([0.0, 1.0, 0.0]))  # one-hot
    assert torch.equal(laid[1, 2, :, 3:5], units["V"][0, 0])
    assert (laid[1, ..., 5] == 1).all()
    assert (laid[0, ..., 5] == 0).all()


def test_modules_may_take_their_parents_by_name() -> None:
    net = Named()
    m = scm.SCM(
        "A, T -> Y",
        A=Root.normal(torch.zeros(2)),
        T=Tabular([0.5, 0.5]),
        Y=Additive(net, inputs="named"),
    )
    m.sweep(T=[0, 1, 1]).sample(4, seed=0)
    assert net.seen[-1]["A"].shape == (12, 2)
    assert net.seen[-1]["T"].shape == (12,)
    assert net.seen[-1]["T"].dtype == torch.int64


def test_a_module_makes_an_image_of_its_features() -> None:
    net = nn.Sequential(nn.Linear(2, 12), nn.Unflatten(-1, (3, 2, 2)))
    m = scm.SCM(
        "A, B -> X",
        A=Root.normal(),
        B=Root.normal(),
        X=Structural(net, type=Image((3, 2, 2), (-99, 99))),
    )
    units = m.sweep(A=[0.0, 1.0]).sample(4, seed=0)
    assert units["X"].shape == (2, 4, 3, 2, 2)
    features = torch.stack([units["A"][1], units["B"][1]], -1)
    torch.testing.assert_close(units["X"][1], net(features).detach())


# -------------------------------------------------------------------------------- probe


def test_rows_that_talk_to_each_other_are_refused_at_binding() -> None:
    for f in (lambda A: A - A.mean(), lambda A: A.cumsum(-1), lambda A: A.sort().values):
        with pytest.raises(scm.MechanismError, match="'B'.*rows talk"):
            scm.SCM("A -> B", A=Root.normal(), B=Additive(f))


def test_hidden_randomness_is_refused_at_binding() -> None:
    refused = pytest.raises(scm.MechanismError, match="randomness of its own")
    with torch.random.fork_rng(devices=[]), refused:
        scm.SCM("A -> B", A=Root.normal(), B=Additive(lambda A: A + torch.rand_like(A)))


@pytest.mark.parametrize("layer", [nn.BatchNorm1d(1), nn.Dropout(0.5), nn.AlphaDropout(0.5)])
def test_modules_that_mix_rows_are_refused_in_training_mode(layer: nn.Module) -> None:
    net = nn.Sequential(nn.Linear(1, 1), layer)
    with pytest.raises(scm.MechanismError, match=r"eval\(\)"):
        scm.SCM("A -> B", A=Root.normal(), B=Additive(net))
    m = scm.SCM("A -> B", A=Root.normal(), B=Additive(net.eval()))
    units = m.sample(4, seed=0)
    m.train()
    with pytest.raises(scm.MechanismError, match=type(layer).__name__):
        m.sample(4, seed=0)
    with pytest.raises(scm.MechanismError, match=type(layer).__name__):
        units.do(A=1.0)["B"]
    with pytest.raises(scm.MechanismError, match=type(layer).__name__):
        m.abduct({"A": [1.0], "B": [1.0]})
    with pytest.raises(scm.MechanismError, match=type(layer).__name__):
        m.log_prob({"A": [1.0], "B": [1.0]})
    m.eval()
    assert m.sample(4, seed=0)["B"].shape == (4,)


# -------------------------------------------------------------------------------- types


def test_types_are_declared_and_never_guessed_from_values() -> None:
    """0 and 1 as numbers stay numbers; codes beyond the levels are errors."""
    real = scm.SCM("A -> B", A=Root.empirical([0.0, 1.0]), B=Linear({"A": 1.0}))
    assert real.sample(5, seed=0)["A"].dtype == torch.float32
    with pytest.raises(scm.MechanismError, match="codes"):
        scm.SCM("A -> B", A=Root.normal(), B=Structural(lambda A: A, type=Categorical(2)))
    high = Structural(lambda A: A + 1, type=Categorical(2))
    with pytest.raises(scm.MechanismError, match="codes"):
        scm.SCM("A -> B", A=Tabular([0.0, 1.0]), B=high)


def test_bernoulli_is_categorical() -> None:
    m = scm.SCM("A", A=Root.bernoulli(0.5))
    assert m.sample(5, seed=0)["A"].dtype == torch.int64
    assert m.mechanisms["A"].type == Categorical(2)
    assert m.do(A=True).sample(2, seed=0)["A"].tolist() == [1, 1]


def test_level_names_are_accepted_and_shown() -> None:
    m = scm.SCM(
        "T -> Y",
        T=Tabular([0.5, 0.5], levels=("no", "yes")),
        Y=Additive(lambda T: 1.0 * T, Normal(0.0, 1.0)),
    )
    assert m.do(T="yes").sample(2, seed=0)["T"].tolist() == [1, 1]
    assert "'no', 'yes'" in repr(m.sample(2, seed=0))


def test_a_failing_function_names_its_node() -> None:
    def broken(A: Tensor) -> Tensor:
        raise ZeroDivisionError("oh")

    with pytest.raises(scm.MechanismError, match="'B'.*ZeroDivisionError.*oh"):
        scm.SCM("A -> B", A=Root.normal(), B=Structural(broken))
    m = scm.SCM("A -> B", A=Root.normal(), B=Structural(lambda A: A))
    with pytest.raises(scm.MechanismError, match="'B'.*ZeroDivisionError"):
        m.do(B=broken).sample(3, seed=0)
