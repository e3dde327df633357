"""The folder of a data set: what of it is finished, whatever happened to those who wrote it.

While a data set is made, a journal lists its plan and then each finished shard, one line
each; a line that was cut off counts for nothing. At the end the manifest takes its place.
Every other file is written aside, read back, and renamed, so that a name stands for all of
its bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scm.errors import ScmError
from scm.files import held
from scm.generation.manifest import (
    MANIFEST,
    Manifest,
    Plan,
    Shard,
    parse,
    parse_json,
    parse_plan,
    parse_shard,
    read_text,
)

__all__ = ["JOURNAL", "MODEL", "Folder", "checksum", "write_whole"]

JOURNAL = "unfinished.jsonl"
MODEL = "model.safetensors"
_ASIDE = ".scm-"
_PIECE = 2**18


def write_whole(path: Path, content: bytes) -> str:
    """Write a file aside, read it back, and rename it: it is there whole or not at all.

    Returns:
        SHA-256 of the content.

    Raises:
        ScmError: If the disk refuses, or does not return what was written.
    """
    beside = path.with_name(f"{_ASIDE}{secrets.token_hex(8)}.tmp")
    try:
        with open(beside, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if not _holds(beside, content):
            raise OSError("the disk does not return what was written")
        os.replace(beside, path)
    except OSError as error:
        raise _refused(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()
    return hashlib.sha256(content).hexdigest()


def _holds(path: Path, content: bytes) -> bool:
    """Whether a file has this content; a piece at a time, which stays in the processor's cache."""
    with open(path, "rb") as file:
        pieces = range(0, len(content) + 1, _PIECE)
        return all(file.read(_PIECE) == content[k : k + _PIECE] for k in pieces)


def checksum(path: Path) -> str:
    """SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _refused(path: Path, error: OSError) -> ScmError:
    return ScmError(
        f"{path} could not be written ({error}); what is finished is kept. Choose a folder that "
        "may be written and has room, or make room, and run the same again"
    )


class Folder:
    """A folder that holds one data set, or is to hold one.

    Args:
        path: The folder; made where it does not exist.

    Raises:
        ScmError: If it cannot be made, or holds something else.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            names = os.listdir(self.path)
        except OSError as error:
            raise ScmError(
                f"the folder {self.path} cannot be made or read ({error}); give one that can"
            ) from error
        ours = {MANIFEST, JOURNAL}
        others = [name for name in names if not name.startswith(_ASIDE) and name != MODEL]
        if others and not ours.intersection(names):
            raise ScmError(
                f"{self.path} holds something else ({', '.join(sorted(others)[:5])}); give a new "
                "or empty folder, or one in which scm generate began"
            )

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other runs out meanwhile, where the system can; a run that is killed lets go.

        Raises:
            ScmError: If another run is at work here.
        """
        try:
            with held(self.path, wait=False):
                yield
        except BlockingIOError as error:
            raise ScmError(
                f"another run is making a data set in {self.path}; wait for it, or end it"
            ) from error

    def begin(self, plan: Plan) -> dict[int, Shard]:
        """Finished shards by number, once the folder is known to hold this plan or nothing.

        Raises:
            ScmError: If it holds another plan's data (with what differs), or a finished shard
                was altered since.
        """
        found, done = self._read()
        if found is None:
            write_whole(self.path / JOURNAL, _line(plan.document()))
            return {}
        differences = found.differences(plan)
        if differences:
            raise ScmError(
                f"{self.path} holds another data set: {'; '.join(differences)}. Ask for the same, "
                "or give another folder"
            )
        return {k: s for k, s in done.items() if self.intact(plan, s)}

    def intact(self, plan: Plan, shard: Shard) -> bool:
        """Whether a finished shard's file is there.

        Raises:
            ScmError: If it was altered, or cannot be read.
        """
        path = self.path / plan.file_of(shard.number)
        if not path.exists():
            return False
        try:
            same = path.stat().st_size == shard.bytes and checksum(path) == shard.sha256
        except OSError as error:
            raise ScmError(f"{path} cannot be read ({error}); check its rights") from error
        if not same:
            raise ScmError(
                f"{path} was altered since it was made: its checksum is not the one on record. "
                "Delete it, and run the same generate again to make it anew"
            )
        return True

    def expect(self, plan: Plan, shard: Shard) -> None:
        """Check that what another machine wrote is here.

        Raises:
            ScmError: If it is not.
        """
        path = self.path / plan.file_of(shard.number)
        if not path.exists() or path.stat().st_size != shard.bytes:
            raise ScmError(
                f"{path} was made, but is not here: a worker on another machine wrote to a disk "
                "of its own. Give a folder that all machines of the cluster share"
            )

    def record(self, shard: Shard) -> None:
        """Note that a shard is finished; nothing to note in a data set that was complete."""
        if (self.path / MANIFEST).exists():
            return
        line = {"number": shard.number, "bytes": shard.bytes, "sha256": shard.sha256}
        try:
            with open(self.path / JOURNAL, "ab") as file:
                file.write(_line(line))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise _refused(self.path / JOURNAL, error) from error

    def finish(self, manifest: Manifest) -> None:
        """Write the manifest in the journal's place, and clear what was left aside."""
        if not (self.path / MANIFEST).exists():
            write_whole(self.path / MANIFEST, manifest.text().encode())
        for path in [self.path / JOURNAL, *self.path.glob(f"{_ASIDE}*")]:
            with contextlib.suppress(OSError):
                path.unlink()

    def _read(self) -> tuple[Plan | None, dict[int, Shard]]:
        """Plan and finished shards, of the manifest or else of the journal."""
        manifest, journal = self.path / MANIFEST, self.path / JOURNAL
        try:
            if manifest.exists():
                whole = parse(read_text(manifest))
                return whole.plan, {shard.number: shard for shard in whole.shards}
            if not journal.exists():
                return None, {}
            return self._read_journal(read_text(journal))
        except (ValueError, RecursionError) as error:
            damaged = manifest if manifest.exists() else journal
            raise ScmError(
                f"{damaged} is damaged ({error!s:.300}); fetch it again, or generate into another "
                "folder"
            ) from error

    def _read_journal(self, text: str) -> tuple[Plan, dict[int, Shard]]:
        first, *lines = text.splitlines(keepends=True) or [""]
        plan = parse_plan(parse_json(first))
        if lines and not lines[-1].endswith("\n"):
            write_whole(self.path / JOURNAL, (first + "".join(lines[:-1])).encode())
            lines = lines[:-1]
        shards = [parse_shard(parse_json(line)) for line in lines]
        if any(shard.number >= plan.shards for shard in shards):
            raise ScmError(f"it lists shards beyond the {plan.shards} of its plan")
        return plan, {shard.number: shard for shard in shards}


def _line(document: dict[str, object]) -> bytes:
    return json.dumps(document).encode() + b"\n"
