"""The training loop, and how functions are called."""

from __future__ import annotations

import functools

import pytest
import torch
from torch import nn

from scm.errors import MechanismError
from scm.mechanisms import Additive, Linear
from scm.mechanisms.assignment import Assignment, check_shape, pad, signature_names
from scm.mechanisms.fitting import minimise
from tests.mechanisms.contract import (
    REAL,
    VECTOR,
    global_random_state_untouched,
    small,
)

X = torch.linspace(-1, 1, 40)


def bound(net: nn.Module | None = None) -> Additive:
    mechanism = Additive(small(1) if net is None else net)
    mechanism.bind("S", {"A": REAL})
    return mechanism


def state(mechanism: nn.Module) -> list[torch.Tensor]:
    return [v.clone() for v in mechanism.state_dict().values()]


def same(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_a_seed_repeats_even_dropout() -> None:
    found = []
    for seed in (0, 0, 1):
        mechanism = bound(nn.Sequential(small(1, 4), nn.Dropout(0.5), small(4)))
        with global_random_state_untouched():
            minimise(mechanism, X, {"A": X}, epochs=2, batch=8, seed=seed)
        found.append(state(mechanism))
    assert same(found[0], found[1])
    assert not same(found[0], found[2])


def test_no_seed_draws_one() -> None:
    with global_random_state_untouched():
        assert len(minimise(bound(), X, {"A": X}, epochs=2, seed=None)) == 2


def test_the_loss_falls() -> None:
    history = minimise(bound(), X, {"A": X}, epochs=20, batch=10, lr=0.05)
    assert history[-1] < history[0]


def test_an_interrupt_leaves_the_parameters_as_far_as_they_came() -> None:
    mechanism = bound()
    mechanism.eval()
    start, loss, steps = state(mechanism), mechanism.loss, []

    def interrupted(*arguments):
        steps.append(state(mechanism))
        if len(steps) == 4:
            raise KeyboardInterrupt
        return loss(*arguments)

    mechanism.loss = interrupted
    with pytest.raises(KeyboardInterrupt), global_random_state_untouched():
        minimise(mechanism, X, {"A": X}, epochs=9, batch=10)
    del mechanism.loss
    assert same(state(mechanism), steps[-1])
    assert not same(state(mechanism), start)
    assert not mechanism.training
    minimise(mechanism, X, {"A": X}, epochs=1)


def test_a_loss_that_is_not_finite_keeps_the_last_good_parameters() -> None:
    mechanism = bound()
    message = r"loss of Additive node 'S' became (inf|nan) after 0 epochs; lower lr=0.1, rescale"
    with pytest.raises(MechanismError, match=message):
        minimise(mechanism, X * 1e30, {"A": X}, epochs=3, lr=0.1)
    assert all(torch.isfinite(v).all() for v in state(mechanism))


@pytest.mark.parametrize(("rows", "epochs"), [(0, 1), (5, 0)])
def test_nothing_to_do(rows: int, epochs: int) -> None:
    with pytest.raises(MechanismError, match=f"{rows} rows and epochs={epochs} .*at least one"):
        minimise(bound(), X[:rows], {"A": X[:rows]}, epochs=epochs)


def test_one_mechanism_for_two_nodes() -> None:
    mechanism = Linear({"A": 1.0})
    mechanism.bind("S", {"A": REAL})
    mechanism.bind("T", {"A": REAL})
    with pytest.raises(MechanismError, match=r"\['A'\].*'U' with parents \['B'\]; make"):
        mechanism.bind("U", {"B": REAL})


def test_signatures() -> None:
    assert signature_names(lambda A, B=1, **rest: A) == (["A"], ["B"], True)
    assert signature_names(lambda A, /, *, B: A) == (["B", "*A"], [], False)
    assert signature_names(functools.partial(lambda A, B: A, B=2)) == (["A"], ["B"], False)
    Assignment(lambda **parents: parents["age (y)"]).bind("S", {"age (y)": REAL})


def test_scalars_are_padded_to_what_is_made() -> None:
    assert pad(torch.zeros(4), REAL, 2).shape == (4, 1, 1)
    assert pad(torch.zeros(4, 2), VECTOR, 1).shape == (4, 2)
    assert pad(torch.zeros(4, 2), VECTOR, 0).shape == (4, 2)


def test_shapes_of_worlds() -> None:
    batch = torch.Size((3, 5))
    assert check_shape(torch.zeros(1, 5), batch, (), "x").shape == (1, 5)
    for wrong in (torch.zeros(3, 1), torch.zeros(2, 5), torch.zeros(5), torch.zeros(3, 5, 1)):
        with pytest.raises(MechanismError, match=r"expected \(3, 5\)"):
            check_shape(wrong, batch, (), "x")


def test_modules_may_return_a_column() -> None:
    mechanism = bound(nn.Linear(1, 1))
    assert mechanism.mean({"A": X}).shape == X.shape
    wide = bound(nn.Linear(1, 2))
    with pytest.raises(MechanismError, match=r"module of 'S' returned shape \(40, 2\)"):
        wide.mean({"A": X})


def test_modules_get_features_in_declared_order() -> None:
    weights = nn.Linear(3, 1, bias=False)
    with torch.no_grad():
        weights.weight.copy_(torch.tensor([[1.0, 10.0, 100.0]]))
    mechanism = Additive(weights)
    mechanism.bind("S", {"A": REAL, "B": VECTOR})
    rows = {"A": torch.ones(2), "B": torch.tensor([[2.0, 3.0], [0.0, 1.0]])}
    assert mechanism.mean(rows).tolist() == [321.0, 101.0]
