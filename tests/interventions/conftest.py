"""A small world of bars on 4x4 pixels, and one manipulator of it."""

import pytest

from scm.datasets import gratings, has_column, has_row
from scm.interventions import Manipulator

QUICK = {"rounds": 2, "queries": 20, "ensemble": 1, "steps": 60, "progress": False}


@pytest.fixture(scope="session")
def bars():
    images = gratings(4, noise=0.02).sample(600, seed=0)["I"]
    return images, has_row(images).long()


@pytest.fixture(scope="session")
def manipulator(bars):
    options = QUICK | {"ensemble": 2, "steps": 150}
    return Manipulator.fit(*bars, has_row, values="binary", keep=has_column, **options)
