"""Documents with a right checksum that SCM.save never wrote: nothing but ScmError."""

from __future__ import annotations

import contextlib
import copy
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import scm
from scm import ScmError
from scm.saving import archive
from tests.saving.models import rewrite


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = list(value.items()) if isinstance(value, dict) else []
    inner = list(enumerate(value)) if isinstance(value, list) else inner
    return [at, *(p for key, item in inner for p in places(item, (*at, key)))]


def changed(value: Any, at: tuple[Any, ...], new: Any) -> Any:
    if not at:
        return new
    value = copy.copy(value)
    value[at[0]] = changed(value[at[0]], at[1:], new)
    return value


strange = st.sampled_from(
    [
        None, True, 0, 1, -1, 2**31, 2**62, 2**70, 10**400, 1e308, -0.5, "", "x", "A", "os:system",
        "tests.saving.functions:double", "Root", "Linear", "Flow", "CVAE", "ModuleList", [], {},
        [[]], {"$": "tensor", "key": "0.law.loc"}, {"$": "tensor", "key": "no"}, {"$": "given"},
        {"$": "tuple", "items": [10**6] * 5}, {"$": "number", "value": "nan"}, {"$": "nothing"},
        {"$": "number", "value": "inf"}, {"$": "dict", "items": [[[], 1]]}, [0] * 1000,
        {"$": "function", "path": "builtins:exec"},
        {"$": "type", "name": "Categorical", "levels": 10**12},
        {"$": "type", "name": "Real", "shape": [10**6, 10**6]},
        {"$": "module", "class": "Linear", "arguments": {"in_features": 10**9, "out_features": 9}},
        {"$": "module", "class": "Sequential", "parts": []},
        {"$": "module", "class": "Upsample", "arguments": {"scale_factor": 1e9}},
        {"$": "law", "family": "Normal", "parameters": {}},
        {"$": "transform", "name": "ExpTransform", "arguments": {}},
    ]
)  # fmt: skip


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_only_scm_errors_come_out(file: Path, data: st.DataObject, tmp_path: Path) -> None:
    text, tensors = archive.read(file)
    document = json.loads(text)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.sampled_from(places(document)))
        what = data.draw(st.sampled_from(["replace", "swap", "drop"]))
        if what == "replace":
            document = changed(document, at, data.draw(strange))
        elif what == "swap":
            other = data.draw(st.sampled_from(places(document)))
            value = document
            for key in other:
                value = value[key]
            document = changed(document, at, value)
        elif at:
            holder = document
            for key in at[:-1]:
                holder = holder[key]
            shorter = copy.copy(holder)
            del shorter[at[-1]]
            document = changed(document, at[:-1], shorter)
    if data.draw(st.booleans()):
        key = data.draw(st.sampled_from(sorted(tensors)))
        new = data.draw(
            st.sampled_from([torch.zeros(0), torch.zeros(2, 3), torch.full((), math.nan)])
        )
        tensors = {**tensors, key: new}
    path = tmp_path / "made"
    rewrite(path, document, tensors)
    with contextlib.suppress(ScmError):
        scm.load(path)


@pytest.mark.parametrize(
    "text",
    ["", "null", "[]", "{}", "NaN", '{"nodes": 1}', "[" * 200_000, '{"a":' * 50_000, "1" * 10_000],
)
def test_documents_that_are_no_models(text: str, tmp_path: Path) -> None:
    rewrite(tmp_path / "made", text, {})
    with pytest.raises(ScmError):
        scm.load(tmp_path / "made")
