import pytest
import torch

import scm
from scm.errors import ScmError
from scm.interventions import moved_images
from scm.learning import GroupDRO, LabelledImages, Mixed, Recipe, SmallCNN, accuracy, train
from scm.mechanisms import Image
from scm.mechanisms.latent import LatentGenerator
from scm.mechanisms.macro import Macro, Move

H = torch.tensor([0.6, 0.0, 0.8])


@pytest.fixture
def generator() -> LatentGenerator:
    weights = torch.randn(3, 64, generator=torch.Generator().manual_seed(1))
    return LatentGenerator(lambda z: (z @ weights).sigmoid().view(-1, 1, 8, 8), 3, Image((1, 8, 8)))


def test_moved_images_are_those_of_man_on_the_same_units(generator):
    reading = Macro(lambda z: z @ H)
    model = scm.SCM("Z -> X; Z => A", Z=generator.prior, X=generator, A=reading)
    units = model.sample(20, seed=0)
    for alpha in (-1.5, 2.0):
        made = moved_images(generator, units["Z"], H, alpha, label=1)
        expected = units.man(Z=Move(H, alpha))["X"]
        assert torch.allclose(made.images, expected, atol=1e-6)
    assert torch.allclose(moved_images(generator, units["Z"], H, 0.0, 1).images, units["X"])


def test_labels_are_hard_or_those_of_a_classifier_of_the_moved_latent(generator):
    z = generator.draw(7)
    hard = moved_images(generator, z, H, 1.0, label=2, group=5)
    assert (hard.labels.tolist(), hard.groups.tolist()) == ([2] * 7, [5] * 7)
    soft = moved_images(generator, z, H, 1.0, label=lambda z: (2 * z[:, 0]).sigmoid())
    expected = (2 * (z[:, 0] + 0.6)).sigmoid()
    assert torch.allclose(soft.labels, torch.stack([1 - expected, expected], 1))
    assert soft.groups is None
    three = moved_images(generator, z, H, 1.0, label=lambda z: z.softmax(1))
    assert torch.allclose(three.labels, (z + H).softmax(1))


def test_they_train_beside_the_images_whose_group_they_enlarge(generator):
    z = generator.draw(64, seed=2)
    classes = (z[:, 0] > 0).long()
    real = LabelledImages(
        generator.generate(z), torch.nn.functional.one_hot(classes, 2).float(), classes
    )
    made = moved_images(generator, z[classes == 0], H, 2.0, lambda z: (9 * z[:, 0]).sigmoid(), 1)
    sources = Mixed([real, LabelledImages(*made)], (3, 1))
    recipe = Recipe(steps=40, batch=32, lr=1e-2)
    trained = train(SmallCNN(1, 2, width=4), sources, GroupDRO(groups=2), recipe=recipe)
    z = generator.draw(200, seed=3)
    found = accuracy(trained.network, generator.generate(z), (z[:, 0] > 0).long())
    assert found.value > 0.8


def test_what_does_not_fit_is_refused(generator):
    z = generator.draw(4)
    with pytest.raises(ScmError, match=r"one for each of a latent \(3,\)"):
        moved_images(generator, z, H[:2], 1.0, label=1)
    for wrong, problem in (
        (lambda z: z, "no probabilities"),
        (lambda z: z[:2, 0].sigmoid(), r"labels of shape \(2, 2\)"),
        (lambda z: 3 + z[:, 0].sigmoid(), "no probabilities"),
    ):
        with pytest.raises(ScmError, match=problem):
            moved_images(generator, z, H, 1.0, label=wrong)
