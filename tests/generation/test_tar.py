"""The tar that shards are: byte for byte what the standard library writes."""

from __future__ import annotations

import io
import tarfile

from hypothesis import given
from hypothesis import strategies as st

from scm.generation.shards import _tar_of


@given(st.lists(st.binary(max_size=1500), max_size=30))
def test_as_tarfile_writes_it(contents: list[bytes]) -> None:
    files = {f"{k:012d}-0000.I.png": content for k, content in enumerate(contents)}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    assert _tar_of(files) == out.getvalue()
