"""The trained MNIST networks that the authors of the CGN published.

A file `{colored,double_colored,wildlife}.pth` is a state dict of four parts: `label_emb`,
one embedding for the three mechanisms, `f_shape`, `f_text1` and `f_text2`. The numbers in
its keys count the layers; those without parameters are left out.

Source: Sauer and Geiger (2021), published networks; MIT licence.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scm.errors import ScmError
from scm.mechanisms.cgn import Labelled
from scm.mechanisms.cgn_conv import ConvShape, ConvTexture
from scm.mechanisms.types import Categorical
from scm.mechanisms.weights import read_state

__all__ = ["read_published"]

_CLASSES = 10
# Layer of the file -> where it stands in the mechanism.
_SHAPE = {
    "0": "linear",
    "4": "layers.2.1",
    "5": "layers.2.2",
    "9": "layers.5.1",
    "10": "layers.5.2",
}
_TEXTURE = {
    "0": "linear",
    "3": "layers.1.1",
    "4": "layers.1.2",
    "7": "layers.3.1",
    "8": "layers.3.2",
    "10": "layers.5.0",
    "11": "layers.5.1",
}
_SOURCE = (
    "mnists/experiments/cgn_{colored,double_colored,wildlife}_MNIST/weights/ckp.pth of the "
    "repository autonomousvision/counterfactual_generative_networks (scm reproduce cgn-mnist looks "
    "for them at pretrained/cgn_mnist/{colored,double_colored,wildlife}.pth, in the folder that "
    "the environment variable SCM_DATA names)"
)
_LEAVES = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def read_published(path: str | Path) -> tuple[ConvShape, ConvTexture, ConvTexture]:
    """Shape, foreground and background mechanism of a published file.

    Args:
        path: One of `colored.pth`, `double_colored.pth`, `wildlife.pth`.

    Raises:
        ScmError: If there is no such file, it needs unpickling, or its keys or shapes are
            not those of the published networks; each that differs is named.
    """
    state = read_state(path, _SOURCE)
    shape = ConvShape()
    front, back = ConvTexture(shuffle="crop"), ConvTexture(shuffle="crop")
    wanted: dict[str, tuple[int, ...]] = {"label_emb.weight": (_CLASSES, _CLASSES)}
    places: dict[str, list[tuple[Labelled, str]]] = {"label_emb.weight": []}
    parts: list[tuple[str, Labelled, dict[str, str]]] = [
        ("f_shape", shape, _SHAPE),
        ("f_text1", front, _TEXTURE),
        ("f_text2", back, _TEXTURE),
    ]
    for prefix, mechanism, layers in parts:
        mechanism.bind("?", {"Y": Categorical(_CLASSES)})
        own = mechanism.state_dict()
        places["label_emb.weight"].append((mechanism, "embedding.weight"))
        for number, name in layers.items():
            for leaf in _LEAVES:
                if f"{name}.{leaf}" in own:
                    key = f"{prefix}.{number}.{leaf}"
                    wanted[key] = tuple(own[f"{name}.{leaf}"].shape)
                    places[key] = [(mechanism, f"{name}.{leaf}")]
    _check(path, state, wanted)
    with torch.no_grad():
        for key, targets in places.items():
            for mechanism, name in targets:
                mechanism.state_dict()[name].copy_(state[key])
    for _, mechanism, _ in parts:
        mechanism.node, mechanism.parents = "?", {}
        mechanism.eval()
    return shape, front, back


def _check(path: str | Path, state: Mapping[str, Tensor], wanted: Mapping[str, Any]) -> None:
    problems = []
    for key, shape in wanted.items():
        if key not in state:
            problems.append(f"{key} is missing, expected {shape}")
        elif tuple(state[key].shape) != shape:
            problems.append(f"{key} is {tuple(state[key].shape)}, expected {shape}")
        elif state[key].is_complex():
            problems.append(f"{key} is {state[key].dtype}, expected real numbers")
    extra = [key for key in state if key not in wanted]
    problems += [f"{key} {tuple(state[key].shape)} is unknown" for key in extra]
    if problems:
        shown = "; ".join(problems[:8]) + ("; ..." if len(problems) > 8 else "")
        raise ScmError(
            f"{path} is none of the published MNIST CGNs, {len(problems)} of its tensors differ: "
            f"{shown}. Give colored.pth, double_colored.pth or wildlife.pth"
        )
