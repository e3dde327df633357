"""Each objective against a calculation that shares no code with it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from scm import ScmError
from scm.learning import (
    ERM,
    IRM,
    LNTL,
    Batch,
    GroupDRO,
    HeadEnsemble,
    Jump,
    Mixup,
    Objective,
    Ramp,
    SmallCNN,
    VREx,
    Weighted,
)
from scm.learning.objectives import Moment, colour_bins
from scm.learning.objectives.irm import scale_gradient
from scm.learning.objectives.lntl import reverse


class Pixels(nn.Module):
    """A "network" whose logits are its images: `(n, classes, 1, 1)` to `(n, classes)`."""

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)


def batch(n: int, seed: int, groups: Sequence[int] | None = None, classes: int = 3) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(n, classes, 1, 1, generator=generator, dtype=torch.float64)
    labels = torch.randint(classes, (n,), generator=generator)
    return Batch(logits, labels, None if groups is None else torch.tensor(groups))


def moment(step: int = 0, steps: int = 100, seed: int = 0) -> Moment:
    return Moment(step, steps, torch.Generator().manual_seed(seed))


def risks(b: Batch, scale: float = 1.0) -> NDArray[np.float64]:
    """Cross-entropy of each image, in numpy."""
    logits = scale * b.images.flatten(1).numpy()
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return np.asarray(-np.log(p[np.arange(len(p)), b.labels.numpy()]))


def loss(objective: Objective, batches: Sequence[Batch], at: Moment | None = None) -> float:
    objective.start(Pixels(), batches, 0)
    return float(objective.loss(Pixels(), batches, at or moment()))


def penalty(b: Batch) -> float:
    """Squared derivative of the risk in the logits' scale, by a central difference."""
    h = 1e-5
    return float(((risks(b, 1 + h).mean() - risks(b, 1 - h).mean()) / (2 * h)) ** 2)


def test_erm_is_the_mean_risk_of_environments() -> None:
    a, b = batch(4, 0), batch(6, 1)
    assert loss(ERM(), [a, b]) == pytest.approx((risks(a).mean() + risks(b).mean()) / 2)


def test_irm_penalty_is_a_finite_difference() -> None:
    a, b = batch(5, 0), batch(7, 1)
    wanted = np.mean([risks(x).mean() + 0.3 * penalty(x) for x in (a, b)])
    assert loss(IRM(0.3), [a, b]) == pytest.approx(wanted, rel=1e-7)


def test_irm_divides_by_a_large_weight() -> None:
    a = batch(5, 0)
    assert loss(IRM(50.0), [a]) == pytest.approx(risks(a).mean() / 50 + penalty(a), rel=1e-7)


def test_irm_of_halves_multiplies_their_derivatives() -> None:
    a = batch(6, 0)
    parts = [Batch(a.images[k::2], a.labels[k::2]) for k in (0, 1)]
    h = 1e-5
    product = math.prod((risks(p, 1 + h).mean() - risks(p, 1 - h).mean()) / (2 * h) for p in parts)
    found = IRM(1.0, halves=True).penalty(a.images.flatten(1), a.labels)
    assert float(found) == pytest.approx(product, rel=1e-6)


def test_irm_penalty_has_the_gradient_of_the_double_backward() -> None:
    a = batch(5, 3)
    logits = a.images.flatten(1).requires_grad_()
    scale = torch.ones((), dtype=torch.float64, requires_grad=True)
    risk = nn.functional.cross_entropy(scale * logits, a.labels)
    (inner,) = torch.autograd.grad(risk, scale, create_graph=True)
    (wanted,) = torch.autograd.grad(inner.square(), logits)
    (found,) = torch.autograd.grad(scale_gradient(logits, a.labels).square(), logits)
    torch.testing.assert_close(found, wanted)


def test_schedules() -> None:
    assert [Ramp(8.0)(s, 4) for s in range(5)] == [0, 2, 4, 6, 8]
    assert [Jump(9e4, 190)(s, 501) for s in (0, 189, 190, 500)] == [0, 0, 9e4, 9e4]
    a = batch(5, 0)
    at = moment(step=25)
    assert loss(IRM(Ramp(2.0)), [a], at) == pytest.approx(risks(a).mean() + 0.5 * penalty(a))
    assert loss(IRM(Jump(9.0, 26)), [a], at) == pytest.approx(risks(a).mean())
    with pytest.raises(ScmError, match="weight of a penalty is -1"):
        loss(IRM(-1.0), [a])


def test_vrex_is_the_variance_of_risks() -> None:
    batches = [batch(4, 0), batch(6, 1), batch(3, 2)]
    each = [risks(b).mean() for b in batches]
    assert loss(VREx(0.7), batches) == pytest.approx(np.mean(each) + 0.7 * np.var(each))
    assert loss(VREx(20.0), batches) == pytest.approx(np.mean(each) / 20 + np.var(each))


def test_group_dro_by_hand() -> None:
    a = batch(6, 0, groups=[0, 2, 2, 0, 0, 2])
    b = batch(4, 1, groups=[1, 1, 0, 2])
    objective = GroupDRO(eta=0.5, groups=3)
    objective.start(Pixels(), [a], 0)
    q = np.full(3, 1 / 3)
    for each in (a, b):
        r = np.zeros(3)
        for g in range(3):
            inside = each.groups is not None and (each.groups == g).numpy()
            r[g] = risks(each)[inside].mean() if np.any(inside) else 0.0
        q = q * np.exp(0.5 * r)
        q = q / q.sum()
        assert float(objective.loss(Pixels(), [each], moment())) == pytest.approx(q @ r)
        np.testing.assert_allclose(objective.weights.numpy(), q)


def test_group_dro_takes_environments_as_groups() -> None:
    a, b = batch(4, 0), batch(6, 1)
    r = np.array([risks(a).mean(), risks(b).mean()])
    q = np.exp(2 * r) / np.exp(2 * r).sum()
    assert loss(GroupDRO(eta=2.0), [a, b]) == pytest.approx(q @ r)


def test_group_dro_refuses_what_has_no_groups() -> None:
    with pytest.raises(ScmError, match="needs groups"):
        loss(GroupDRO(), [batch(4, 0)])
    with pytest.raises(ScmError, match="how many there are"):
        loss(GroupDRO(), [batch(2, 0, groups=[0, 1])])
    with pytest.raises(ScmError, match="groups from 0 to 5 were given; expected 0 to 1"):
        loss(GroupDRO(groups=2), [batch(2, 0, groups=[0, 5])])
    with pytest.raises(ScmError, match="have none"):
        loss(GroupDRO(groups=2), [batch(2, 0)])


@pytest.mark.parametrize(
    "objective", [ERM(), IRM(3.0), VREx(3.0), GroupDRO(eta=2.0), Weighted(1.0, 0.5), Mixup()]
)
def test_soft_labels_of_one_class_are_that_class(objective: Objective) -> None:
    hard = [batch(4, 0), batch(6, 1)]
    soft = [b._replace(labels=nn.functional.one_hot(b.labels, 3).double()) for b in hard]
    assert loss(objective, soft) == pytest.approx(loss(objective, hard))


def test_soft_labels_weigh_the_risks_of_the_classes() -> None:
    b = batch(6, 0, groups=[0, 1, 1, 0, 0, 1])
    p = torch.rand(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    p = p / p.sum(1, keepdim=True)
    each = [risks(b._replace(labels=torch.full((6,), k))) for k in range(3)]
    expected = sum(p[:, k].numpy() * each[k] for k in range(3))
    objective = GroupDRO(groups=2)
    objective.start(Pixels(), [b], 0)
    found = objective.risks([Pixels()(b.images)], [b._replace(labels=p)])
    inside = b.groups.numpy() == 0  # type: ignore[union-attr]
    assert found.tolist() == pytest.approx([expected[inside].mean(), expected[~inside].mean()])
    with pytest.raises(ScmError, match=r"soft labels of shape \(6, 2\) were given to logits"):
        loss(ERM(), [b._replace(labels=p[:, :2])])


def test_mixup_mixes_images_and_labels_alike() -> None:
    a = batch(8, 0)
    objective = Mixup(alpha=1.0)
    share, other = objective.draw(8, torch.Generator().manual_seed(1))
    assert 0.05 < share < 0.95
    assert sorted(other.tolist()) == list(range(8))
    logits = share * a.images + (1 - share) * a.images[other]
    one_hot = np.eye(3)
    target = share * one_hot[a.labels.numpy()] + (1 - share) * one_hot[a.labels[other].numpy()]
    wanted = -(target * logits.flatten(1).log_softmax(1).numpy()).sum(1).mean()
    assert loss(objective, [a], moment(seed=1)) == pytest.approx(wanted)


@pytest.mark.parametrize("wrong", [0.0, -1.0, math.nan])
def test_settings_that_make_no_sense_are_refused(wrong: float) -> None:
    with pytest.raises(ScmError, match="expected a positive number"):
        Mixup(wrong)
    with pytest.raises(ScmError, match="0 or more"):
        GroupDRO(eta=wrong - 1)


def test_mixup_draws_from_the_beta_law() -> None:
    generator = torch.Generator().manual_seed(0)
    shares = np.array([Mixup(0.2).draw(1, generator)[0] for _ in range(2_000)])
    # Beta(a, a) has variance 1 / (4 (2 a + 1)); 4 standard errors: false alarm below 1e-4.
    assert abs(shares.mean() - 0.5) < 4 * shares.std() / 2_000**0.5
    squares = (shares - 0.5) ** 2
    assert abs(squares.mean() - 1 / 5.6) < 4 * squares.std() / 2_000**0.5


def test_gradient_reversal() -> None:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = reverse(x, 0.25)
    assert torch.equal(y, x)
    (y * torch.tensor([3.0, 5.0])).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [-0.75, -1.25]


def test_lntl_teaches_the_predictor_and_unteaches_the_features() -> None:
    """With a reversal of mu, features move against the predictor's gradient, mu times as far."""
    images = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    b = Batch(images, torch.arange(6) % 2)

    def gradients(mu: float) -> tuple[Tensor, Tensor]:
        network, objective = SmallCNN(3, classes=2), LNTL(information=0.0, reversal=mu)
        objective.start(network, [b], 0)
        objective.loss(network, [b], moment()).backward()
        first = network.layers[0].weight.grad
        theirs = next(objective.predictor.parameters()).grad
        assert isinstance(first, Tensor)
        assert theirs is not None
        return first, theirs

    (still, mine), (against, same), (with_it, _) = (gradients(m) for m in (0.0, 0.5, -0.5))
    assert torch.equal(mine, same)
    assert mine.abs().max() > 0
    torch.testing.assert_close(still - against, with_it - still)
    assert (still - against).abs().max() > 1e-6


def test_lntl_certainty_is_the_negative_entropy_and_spares_the_predictor() -> None:
    images = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    b = Batch(images, torch.arange(4) % 2)
    network = SmallCNN(3, classes=2)
    values, theirs = [], []
    for weight in (0.0, 1.0):
        objective = LNTL(information=weight)
        objective.start(network, [b], 0)
        found = objective.loss(network, [b], moment())
        found.backward()
        values.append(float(found.detach()))
        gradient = next(objective.predictor.parameters()).grad
        assert gradient is not None
        theirs.append(gradient)
    torch.testing.assert_close(theirs[0], theirs[1])
    with torch.no_grad():
        maps = network.layers[:6](images)
        p = objective.predictor(maps).unflatten(1, (8, 3)).softmax(1).double().numpy()
    assert values[1] - values[0] == pytest.approx((p * np.log(p)).sum(1).mean(), rel=1e-4)


def test_lntl_watches_the_layer_that_it_is_told() -> None:
    """What lies behind the layer is not moved by the predictor, and a wrong name is told."""
    images = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    b = Batch(images, torch.arange(4) % 2)
    moved = {}
    for mu in (0.0, 0.5):
        network = SmallCNN(3, classes=2)
        objective = LNTL(information=0.0, reversal=mu, layer="layers.2")
        objective.start(network, [b], 0)
        objective.loss(network, [b], moment()).backward()
        moved[mu] = [network.layers[k].weight.grad for k in (0, 2, 5)]
    same = [torch.equal(a, c) for a, c in zip(moved[0.0], moved[0.5], strict=True)]
    assert same == [False, False, True]
    with pytest.raises(ScmError, match=r"LNTL\(layer='layers.3x'\) is no module"):
        LNTL(layer="layers.3x").start(SmallCNN(3, classes=2), [b], 0)


def test_colour_bins_leave_black_out() -> None:
    image = torch.zeros(1, 3, 4, 4)
    image[0, :, 0, 0] = torch.tensor([0.99, 0.3, 0.0])
    found = colour_bins(image, (2, 2))
    assert found[0, :, 0, 0].tolist() == [7, 2, 0]
    assert (found[0, :, 1, :] == -1).all()


def test_lntl_refuses_images_whose_colours_it_cannot_tell() -> None:
    images = torch.rand(2, 3, 4, 4)
    for wrong in (255 * images, 2 * images - 1, images * torch.nan):
        with pytest.raises(ScmError, match=r"rescale them to \[0, 1\]"):
            colour_bins(wrong, (2, 2))


def test_heads_learn_their_own_labels_and_the_mean_learns_the_rest() -> None:
    ensemble = HeadEnsemble(SmallCNN(3, classes=4))
    images = torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    own = torch.randint(4, (5, 3), generator=torch.Generator().manual_seed(1))
    whole = own[:, 0]
    batches = [Batch(images, own), Batch(images, whole)]
    found = float(ERM().loss(ensemble, batches, moment()).detach())
    with torch.no_grad():
        p = ensemble.heads(images).exp().numpy().astype(np.float64)
    heads = -np.mean([[np.log(p[i, k, own[i, k]]) for k in range(3)] for i in range(5)])
    geometric = np.exp(np.log(p).mean(1))
    geometric /= geometric.sum(1, keepdims=True)
    mean = -np.mean([np.log(geometric[i, whole[i]]) for i in range(5)])
    assert found == pytest.approx((heads + mean) / 2, rel=1e-5)


def test_what_does_not_fit_is_refused() -> None:
    images, labels = torch.rand(2, 3, 8, 8), torch.zeros(2, dtype=torch.int64)
    with pytest.raises(ScmError, match="label 7 was given to a network with 4 classes"):
        ERM().loss(SmallCNN(3, classes=4), [Batch(images, labels + 7)], moment())
    with pytest.raises(ScmError, match="SmallCNN with 0"):
        ERM().loss(SmallCNN(3), [Batch(images, labels[:, None].expand(2, 3))], moment())
    other = Batch(torch.rand(2, 3, 9, 9), labels)
    with pytest.raises(ScmError, match="resize them"):
        ERM().loss(SmallCNN(3), [Batch(images, labels), other], moment())
