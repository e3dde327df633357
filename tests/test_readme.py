"""The code in the README runs."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest

import scm

README = Path(__file__).parents[1] / "README.md"


def blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)


def test_the_first_block_runs() -> None:
    space: dict[str, Any] = {}
    exec(blocks()[0], space)
    assert isinstance(space["model"], scm.SCM)
    assert space["units"].n == 10_000


def test_every_line_of_the_second_block_runs() -> None:
    table = scm.Tabular([[[0.9, 0.1], [0.5, 0.5]], [[0.6, 0.4], [0.1, 0.9]]])
    model = scm.SCM(
        "U -> X, Y; X -> M -> Y",
        latent=["U"],
        U=scm.Root.bernoulli(0.4),
        X=scm.Tabular([[0.8, 0.2], [0.3, 0.7]]),
        M=scm.Tabular([[0.9, 0.1], [0.25, 0.75]]),
        Y=table,
    )
    units = model.sample(2000, seed=0)
    data = {"X": units["X"], "M": units["M"], "Y": units["Y"], "W": units["U"]}
    space: dict[str, Any] = {"scm": scm, "model": model, "data": data}
    refused = 0
    for statement in ast.parse(blocks()[1]).body:
        code = ast.unparse(statement)
        if "X -> Y; X <-> Y" in code and "M" not in code:
            with pytest.raises(scm.NotIdentifiedError):
                exec(code, space)
            refused += 1
        else:
            exec(code, space)
    assert refused == 1


def test_the_third_block_runs() -> None:
    space: dict[str, Any] = {"scm": scm}
    exec(blocks()[2], space)
    effect = space["found"].macro_model().exact().prob({"T": 1}, do={"C": 1})
    assert f"tensor({effect:.4f})" in blocks()[2]
    units = space["pixels"].do(C=1).sample(100, seed=1)
    assert scm.datasets.has_row(units["I"]).float().mean() > 0.9
    assert len(space["causes"].answers) == 40
