import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from scm.discovery.multiplicity import benjamini_hochberg, holm

p_values = st.lists(st.floats(0, 1), min_size=1, max_size=12)


@given(p_values)
def test_benjamini_hochberg_is_scipys(p):
    found = benjamini_hochberg(torch.tensor(p, dtype=torch.float64))
    np.testing.assert_allclose(found.numpy(), false_discovery_control(p), atol=1e-12)


@given(p_values, st.floats(0.001, 0.5))
def test_holm_rejects_what_its_steps_reject(p, level):
    rejected, left = set(), sorted(range(len(p)), key=p.__getitem__)
    while left and p[left[0]] * len(left) < level:
        rejected.add(left.pop(0))
    found = holm(torch.tensor(p, dtype=torch.float64))
    assert {k for k, value in enumerate(found.tolist()) if value < level} == rejected
