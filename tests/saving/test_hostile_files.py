"""Every reader of files that others wrote: nothing but ScmError, no code, bounded memory.

The bound of memory is held by the system: inside `limited` this process cannot map more than
`ROOM` beyond what it had, and a reader that asks for more fails with another error.
"""

from __future__ import annotations

import copy
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from scm import ScmError
from scm.discovery.kept import Kept
from scm.learning import Answers
from scm.learning.cgn import CGN, counterfactuals
from scm.learning.checkpoint import read_checkpoint, write_checkpoint
from scm.mechanisms.compiled import read_program
from scm.mechanisms.pickled import read_pickled
from scm.mechanisms.weights import load_into
from tests.saving import test_altered_files, test_documents
from tests.saving.hostile import (
    Harmful,
    Storage,
    Tensor,
    altered,
    described,
    descriptions,
    limited,
    old,
    zipped,
)

ROOM = 2**28
READERS: dict[str, Callable[[Path], Any]] = {
    "weights": lambda path: load_into(nn.Linear(2, 2), path),
    "checkpoint": lambda path: read_checkpoint(path, {}),
    "published CGN": CGN.from_published,
}
PICKLES = list(descriptions(Path("touched")))


def saved(folder: Path, kind: str) -> Path:
    """A good file of a kind."""
    path = folder / kind.replace(" ", "-")
    state = nn.Linear(2, 2).state_dict()
    if kind == "safetensors":
        path = path.with_suffix(".safetensors")
        save_file(state, path)
    elif kind in ("zip", "old"):
        torch.save(state, path, _use_new_zipfile_serialization=kind == "zip")
    elif kind == "checkpoint":
        adam = torch.optim.Adam(nn.Linear(2, 2).parameters())
        write_checkpoint(path, {"identity": {}, "step": 3, "best": None, "adam": adam.state_dict()})
    elif kind == "answers":
        Answers(lambda images: images.mean((1, 2, 3)), path=path)(torch.rand(3, 1, 2, 2))
    elif kind == "kept":
        Kept(path, {"a": 1}, resume=False)("work", lambda: {"b": (1.5, [2])})
        path = path / "kept" / "work.json"
    elif kind in ("counterfactuals", "their images"):
        path.mkdir()
        document = {"format": counterfactuals._FORMAT, "shards": [2], "seed": 0, "ratio": 1}
        (path / "manifest.json").write_text(json.dumps(document))
        images = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
        shard = path / "images-00000.safetensors"
        save_file({"images": images, "labels": torch.zeros(2, 3, dtype=torch.int64)}, shard)
        path = shard if kind == "their images" else path / "manifest.json"
    return path


def read(kind: str, path: Path) -> Any:
    """What the reader of a kind makes of a file."""
    if kind in ("zip", "old", "safetensors"):
        return load_into(nn.Linear(2, 2), path)
    if kind == "checkpoint":
        return read_checkpoint(path, {})
    if kind == "answers":
        return Answers(lambda images: images.mean((1, 2, 3)), path=path)(torch.zeros(1, 1, 2, 2))
    if kind == "kept":
        return Kept(path.parents[1], {"a": 1}, resume=True)("work", lambda: {"b": (1.5, [2])})
    return list(counterfactuals.read_counterfactuals(path.parent))


def refusal(read: Callable[[Path], Any], path: Path) -> str:
    """What a reader said against a file in bounded memory; nothing where it read it."""
    try:
        with limited(ROOM):
            read(path)
    except ScmError as error:
        return str(error)
    return ""


KINDS = [
    *("zip", "old", "safetensors", "checkpoint", "answers", "kept"),
    *("counterfactuals", "their images"),
]


def alter_bytes(kind: str, tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / f"good-{kind}"
    if not path.exists():
        path.mkdir()
        (tmp_path / f"path-{kind}").write_text(str(saved(path, kind)))
        good = Path((tmp_path / f"path-{kind}").read_text())
        (tmp_path / f"bytes-{kind}").write_bytes(good.read_bytes())
    path = Path((tmp_path / f"path-{kind}").read_text())
    content = (tmp_path / f"bytes-{kind}").read_bytes()
    path.write_bytes(data.draw(altered(content) | st.binary(max_size=60)))
    assert "MemoryError" not in refusal(lambda file: read(kind, file), path)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_altered_bytes(kind: str, data: st.DataObject, tmp_path: Path) -> None:
    alter_bytes(kind, tmp_path, data)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=3000, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_altered_bytes_longer(kind: str, data: st.DataObject, tmp_path: Path) -> None:
    alter_bytes(kind, tmp_path, data)


LONGER = settings(max_examples=3000, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.slow
@LONGER
@given(data=st.data())
def test_documents_longer(file: Path, data: st.DataObject, tmp_path: Path) -> None:
    test_documents.test_only_scm_errors_come_out.hypothesis.inner_test(file, data, tmp_path)


@pytest.mark.slow
@LONGER
@given(data=st.data())
def test_altered_models_longer(file: Path, data: st.DataObject, tmp_path: Path) -> None:
    test_altered_files.test_altered_files_are_refused.hypothesis.inner_test(file, data, tmp_path)


@pytest.mark.parametrize("container", ["zip", "old"])
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", PICKLES)
def test_pickles_of_code_and_of_gigabytes(
    name: str, reader: str, container: str, tmp_path: Path
) -> None:
    touched, path = tmp_path / "touched", tmp_path / "file"
    description = descriptions(touched)[name]
    content = (
        zipped(description, {"0": bytes(16)})
        if container == "zip"
        else old(description, ["0"], (4).to_bytes(8, "little") + bytes(16))
    )
    path.write_bytes(content)
    told = refusal(READERS[reader], path)
    assert told
    assert "MemoryError" not in told
    assert not touched.exists()


def test_code_is_refused_by_its_name(tmp_path: Path) -> None:
    torch.save({"w": Harmful(tmp_path / "touched")}, tmp_path / "file")
    with pytest.raises(ScmError, match=r"holds Python objects.*Path.touch|getattr"):
        load_into(nn.Linear(2, 2), tmp_path / "file")
    assert not (tmp_path / "touched").exists()


def test_records_that_are_not_what_they_claim(tmp_path: Path) -> None:
    path, row = tmp_path / "file", {"w": Tensor(Storage(count=2**24), 0, (2**24,), (1,))}
    path.write_bytes(zipped(described(row), {"0": bytes(2**26)}, compression=zipfile.ZIP_DEFLATED))
    assert path.stat().st_size < 2**18
    with limited(ROOM // 8), pytest.raises(ScmError, match="compressed records unpack to 67,1"):
        load_into(nn.Linear(2, 2), path)
    out = io.BytesIO(zipped(described(row), {"0": bytes(2**20)}))
    with zipfile.ZipFile(out, "a") as archive:
        archive.writestr("a/more", "")
        for number in range(300):
            again = copy.copy(archive.getinfo("a/data/0"))
            again.filename = again.orig_filename = f"a/data/{number + 1}"
            archive.filelist.append(again)
    path.write_bytes(out.getvalue())
    with limited(ROOM), pytest.raises(ScmError, match="longer than the file"):
        load_into(nn.Linear(2, 2), path)


DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.uint8, torch.bool]


@settings(max_examples=60, deadline=None)
@given(data=st.data(), zipped=st.booleans())
def test_what_torch_saved_comes_back(data: st.DataObject, zipped: bool) -> None:
    """Values, dtypes, strides and what is shared, as `torch.load` reads them."""
    base = torch.arange(24).to(data.draw(st.sampled_from(DTYPES)))
    size = data.draw(st.lists(st.integers(0, 3), max_size=3))
    stride = data.draw(st.lists(st.integers(0, 3), min_size=len(size), max_size=len(size)))
    view = base.as_strided(size, stride, data.draw(st.integers(0, 4)))
    network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    given = {
        "network": network.state_dict(),
        "parameter": nn.Parameter(torch.ones(2)),
        "nested": [(1, 2.5, None, True), {"a": {3: "b"}}, view, base],
        "adam": torch.optim.Adam(network.parameters()).state_dict(),
    }
    out = io.BytesIO()
    torch.save(given, out, _use_new_zipfile_serialization=zipped)
    out.seek(0)
    found = read_pickled(out)
    out.seek(0)
    expected = torch.load(out, weights_only=True)
    assert list(found) == list(expected)
    for name, tensor in expected["network"].items():
        assert torch.equal(found["network"][name], tensor)
    assert found["network"]._metadata == expected["network"]._metadata
    assert torch.equal(found["parameter"], expected["parameter"])
    assert found["nested"][:2] == expected["nested"][:2]
    assert found["adam"] == expected["adam"]
    for one, two in zip(found["nested"][2:], expected["nested"][2:], strict=True):
        assert (one.dtype, one.shape) == (two.dtype, two.shape)
        assert torch.equal(one, two)
        assert not one.numel() or one.stride() == two.stride()
    if view.numel():
        found["nested"][3].zero_()
        assert not found["nested"][2].any()  # the storage was shared, and is


def exported(**members: str) -> bytes:
    """Something like a file of `torch.export.save`."""
    out = io.BytesIO()
    names = {"archive_format": "pt2", "archive_version": "0", "byteorder": "little"}
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in {**names, **members}.items():
            archive.writestr(f"g/{name}", content)
    return out.getvalue()


def model(**parts: Any) -> dict[str, str]:
    return {"models/model.json": json.dumps({"graph_module": {"graph": {"nodes": [parts]}}})}


PROGRAMS = {
    "an expression": (model(expr_str="__import__('os').system('touch touched')"), "expression"),
    "a call": (model(expr_str="preview(1)"), "expression"),
    "a power": (model(expr_str="9**9**9"), "expression"),
    "a long number": (model(expr_str="1" * 10**5 + "x"), "expression"),
    "an attribute": (model(expr_str="().__class__"), "expression"),
    "a function": (model(target="torch.os.system", inputs=[], outputs=[]), "operator"),
    "a file": (model(target="torch.ops.aten.from_file.default", inputs=[]), "operator"),
    "an import": (
        model(
            in_spec=json.dumps(
                [
                    1,
                    {
                        "type": "builtins.dict",
                        "context": '[{"__enum__": true, "fqn": "antigravity:x", "name": "y"}]',
                        "children_spec": [],
                    },
                ]
            )
        ),
        "arguments",
    ),
    "a factory": (
        model(in_spec='[1, {"type": "collections.defaultdict", "context": "{}"}]'),
        "arguments",
    ),
    "pickled weights": ({"data/weights/w_weights_config.json": '{"use_pickle": true}'}, "pickled"),
    "a library": ({"data/aotinductor/model/x.so": "ELF"}, "neither a description nor a tensor"),
    "an object": ({"data/constants/custom_obj_0": "x"}, "neither a description nor a tensor"),
    "a pickle": ({"data/sample_inputs/model.pt": "\x80\x02cos\nsystem\n."}, "Error|holds"),
    "no JSON": ({"models/model.json": "[" * 10**5}, "RecursionError"),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_that_do_more_than_compute(name: str, tmp_path: Path) -> None:
    members, message = PROGRAMS[name]
    path = tmp_path / "g.pt2"
    path.write_bytes(exported(**members))
    with limited(ROOM), pytest.raises(ScmError, match=f"cannot be read as a program.*({message})"):
        read_program(path)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_reads_no_files_and_altered_it_is_refused(tmp_path: Path) -> None:
    path, reaching = tmp_path / "g.pt", tmp_path / "reaching.pt"
    torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)).save(str(path))
    assert read_program(path)(torch.zeros(1, 2)).shape == (1, 2)
    with zipfile.ZipFile(path) as good, zipfile.ZipFile(reaching, "w") as out:
        for name in good.namelist():
            code = b"return torch.from_file('touched', True, 4)" if name.endswith(".py") else b""
            out.writestr(name, good.read(name) + code)
    with pytest.raises(ScmError, match=r"calls 'from_file\(', which does more than compute"):
        read_program(reaching)
    content = path.read_bytes()
    for at in range(0, len(content), max(1, len(content) // 60)):
        path.write_bytes(content[:at] + bytes([content[at] ^ 16]) + content[at + 1 :])
        assert "MemoryError" not in refusal(read_program, path)


def test_a_file_that_answers_did_not_write_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes"
    for content in (b"my notes", b"my\nnotes", b"[1]\n", b'{"answers": 2}\n{"image": "a"}\nrest'):
        path.write_bytes(content)
        with pytest.raises(ScmError, match="name another"):
            Answers(lambda images: images, path=path)
        assert path.read_bytes() == content
    path.write_bytes(b'{"answers": 2}\n{"image": "a", "answer": [2.0, -1.0]}\n')
    with pytest.raises(ScmError, match="probabilities"):
        Answers(lambda images: images, path=path)
    path.write_bytes(b'{"answers": 2}\n{"image": "a", "answer": [0.5, 0.5]}\n{"image": "b')
    assert len(Answers(lambda images: images, path=path)) == 1
    path.write_bytes(b'{"answ')
    assert len(Answers(lambda images: images, path=path)) == 0


@pytest.mark.parametrize(
    "settings_",
    [
        [], "x", None, {}, {"layers": 3, "output_dim": 16}, {"layers": [[True]], "output_dim": 16},
        {"layers": [[True, 16, 8]], "output_dim": 8, "channel_width": 10**6},
        {"layers": [[True, 16, 8]], "output_dim": 8, "channel_width": 16, "num_classes": 10**9},
        {"layers": [[False, 4, 4]] * 10**4, "output_dim": 4},
        {"layers": [[True, 16, 8]], "output_dim": 8, "z_dim": "x", "class_embed_dim": "x"},
    ],
)  # fmt: skip
def test_settings_of_a_biggan(settings_: Any, tmp_path: Path) -> None:
    pytest.importorskip("pytorch_pretrained_biggan")
    from scm.mechanisms.biggan import BigGAN

    (tmp_path / "config.json").write_text(json.dumps(settings_))
    torch.save({}, tmp_path / "pytorch_model.bin")
    with limited(ROOM), pytest.raises(ScmError) as caught:
        BigGAN.from_pretrained(tmp_path)
    assert "MemoryError" not in str(caught.value)
