"""People's answers: the table, the pictures, the majority."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch

from scm import ScmError
from scm.learning import Annotators, Answers

IMAGES = torch.rand(27, 1, 6, 6, generator=torch.Generator().manual_seed(1))


def fill(path: Path, answers: dict[str, list[str]]) -> None:
    rows = list(csv.DictReader(path.read_text().splitlines()))
    left = {name: list(given) for name, given in answers.items()}
    for row in rows:
        if left.get(row["image"]):
            row["answer"] = left[row["image"]].pop(0)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["image", "annotator", "answer"])
        writer.writeheader()
        writer.writerows(rows)


def names(path: Path) -> list[str]:
    return list(
        dict.fromkeys(row["image"] for row in csv.DictReader(path.read_text().splitlines()))
    )


def test_pictures_and_a_table_then_the_majority(tmp_path: Path):
    people = Annotators(tmp_path, target="7", labels="0123456789")
    answers = Answers(people)
    with pytest.raises(ScmError, match=r"135 answers about 27 of 27 images .*answers\.csv"):
        answers(IMAGES)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "answers.csv",
        "sheet-001.png",
        "sheet-002.png",
    ]
    rows = list(csv.DictReader(people.table.read_text().splitlines()))
    assert len(rows) == 135
    assert {row["answer"] for row in rows} == {""}
    ids = names(people.table)
    votes = ["77777", "77719", "77???", "1111?", "?????", "77733"] + ["12345"] * 21
    fill(people.table, {i: list(v) for i, v in zip(ids[:20], votes, strict=False)})
    with pytest.raises(ScmError, match="35 answers about 7 of 27"):
        answers(IMAGES)
    assert not (tmp_path / "sheet-002.png").exists()
    fill(people.table, {i: list(v) for i, v in zip(ids, votes, strict=True)})
    assert answers(IMAGES).tolist() == [1, 1, 0, 0, 0, 1] + [0] * 21
    undecided = Annotators(tmp_path, "7", "0123456789", undecided=0.5)
    assert undecided(IMAGES)[:6].tolist() == [1, 1, 0.5, 0, 0.5, 1]


def test_tie_and_another_persons_table(tmp_path: Path):
    people = Annotators(tmp_path, "yes", ["yes", "no"], people=2)
    with pytest.raises(ScmError, match="missing"):
        people(IMAGES[:1])
    (image,) = names(people.table)
    people.table.write_text(
        f"time,annotator,image,answer\n1,Ann,{image},yes\n2,Bo,{image},no\n3,Cy,{image},\n"
    )
    assert people(IMAGES[:1]).tolist() == [0.0]
    people.table.write_text(people.table.read_text() + f"4,Di,{image},yes\n")
    assert people(IMAGES[:1]).tolist() == [1.0]


def test_tables_that_make_no_sense(tmp_path: Path):
    people = Annotators(tmp_path, "7", "0123456789")
    for text, match in (
        ("image,answer\na,7\n", "has columns"),
        ("image,annotator,answer\na,1,seven\n", "line 2 .*'seven'"),
        ("image,annotator,answer\na,1,7\na,1,8\n", "line 3 .*'7' about a before"),
    ):
        people.table.write_text(text)
        with pytest.raises(ScmError, match=match):
            people(IMAGES[:1])
        assert people.table.read_text() == text
    with pytest.raises(ScmError, match="is no label"):
        Annotators(tmp_path, "x", "01")
    with pytest.raises(ScmError, match="people=0"):
        Annotators(tmp_path, "1", "01", people=0)
