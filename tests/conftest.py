"""What every test shares: Hypothesis profiles, one thread a worker, no GPU tests without a GPU."""

from __future__ import annotations

import os

import pytest
import torch
from hypothesis import settings

# On CI the same examples every time; elsewhere new ones, so that more is tried.
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.register_profile("dev", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "dev")

if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
