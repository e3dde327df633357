"""The nearest image of a class, against brute force over all binary images."""

import itertools

import pytest
import torch
from torch import nn

from scm.interventions import L1, L2, Objective, nearest_images

ALL = torch.tensor(list(itertools.product([0.0, 1.0], repeat=9))).reshape(-1, 1, 3, 3)


def network(seed, hidden=16, classes=3):
    generator = torch.Generator().manual_seed(seed)
    net = nn.Sequential(
        nn.Flatten(), nn.Linear(9, hidden), nn.Tanh(), nn.Linear(hidden, classes)
    ).requires_grad_(False)
    for p in net.parameters():
        p.copy_(torch.randn(p.shape, generator=generator))
    return net


@pytest.mark.parametrize("metric", [L1(), L2()], ids=["L1", "L2"])
def test_binary_images_are_near_the_best_of_all(metric):
    net = network(0)
    objective = Objective([net], metric, alpha=0.3)
    images = ALL[::16]
    targets = (net(images).argmax(-1) + 1) % 3
    found = nearest_images(objective, images, targets, values="binary")
    assert ((found.images == 0) | (found.images == 1)).all()
    assert found.reached.all()
    probability = net(ALL).softmax(-1)
    excess = []
    for k in range(len(images)):
        value = 0.7 * (1 - probability[:, targets[k]])
        value += 0.3 * metric(images[k : k + 1].expand_as(ALL), ALL)
        ours = 0.7 * (1 - found.probability[k]) + 0.3 * found.distance[k]
        excess.append(ours - value[probability.argmax(-1) == targets[k]].min())
    excess = torch.stack(excess)
    assert excess.min() > -1e-5
    assert excess.mean() < 0.02  # a local search: mean 0 would be exact
    assert (excess < 1e-5).float().mean() > 0.6


def test_grey_images_stay_in_range_and_report_what_they_are():
    net = network(1)
    images = torch.rand(20, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    targets = (net(images).argmax(-1) + 1) % 3
    found = nearest_images(Objective([net]), images, targets)
    assert ((found.images >= 0) & (found.images <= 1)).all()
    assert torch.equal(net(found.images).argmax(-1) == targets, found.reached)
    torch.testing.assert_close(L2()(images, found.images), found.distance)
    grid = torch.rand(100_000, 1, 3, 3, generator=torch.Generator().manual_seed(1))
    reachable = torch.isin(targets, net(torch.cat([grid, ALL])).argmax(-1).unique())
    assert found.reached[reachable].float().mean() > 0.9


def test_a_class_that_no_image_has_is_reported_and_the_image_returned():
    net = network(2)
    net[3].bias[2] = -1e4
    images = ALL[:10]
    found = nearest_images(Objective([net]), images, torch.full((10,), 2))
    assert not found.reached.any()
    assert torch.equal(found.images, images)
    assert not found.distance.any()


@pytest.mark.parametrize("values", ["grey", "binary"])
def test_leave_keeps_images_of_the_class(values):
    net = network(3)
    targets = net(ALL).argmax(-1)
    found = nearest_images(Objective([net]), ALL, targets, values=values, leave=True)
    assert torch.equal(found.images, ALL)
    assert found.reached.all()


def test_the_term_keeps_what_it_is_given():
    net, reader = network(4), network(5, classes=2)
    targets = (net(ALL).argmax(-1) + 1) % 3
    free = nearest_images(Objective([net]), ALL, targets, values="binary")
    held = nearest_images(Objective([net], keep=reader), ALL, targets, values="binary")
    before = reader(ALL).argmax(-1)
    lost = (reader(free.images).argmax(-1) != before).float().mean()
    kept = reader(held.images).argmax(-1) == before
    assert lost > 0.2
    assert torch.equal(kept, held.kept)
    assert kept[held.reached].float().mean() > 0.97


def test_rows_do_not_depend_on_each_other():
    net = network(6)
    targets = (net(ALL).argmax(-1) + 1) % 3
    whole = nearest_images(Objective([net]), ALL, targets, values="binary")
    part = nearest_images(Objective([net]), ALL[30:40], targets[30:40], values="binary")
    assert torch.equal(part.images, whole.images[30:40])
