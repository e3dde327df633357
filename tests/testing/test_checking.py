"""The report, the pytest helper, the command, and what bad input gets."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import scm
from scm.errors import ScmError
from scm.loading import load_model
from scm.testing import assert_lawful, check

from .broken import batch_statistics, chain

FILE = """
import scm

good = scm.SCM("A -> B", A=scm.Root.normal(), B=scm.Linear({"A": 2.0}))

def made():
    return good

def bad():
    centred = lambda A: A - A.mean(-1, keepdim=True) if A.shape[-1] > 4 else A
    return scm.SCM("A -> B", A=scm.Root.normal(), B=scm.Additive(centred))

other = 3
"""


def test_report() -> None:
    report = check(chain(), trials=2)
    assert report
    assert not report.failed
    text = str(report)
    assert "effectiveness" in text
    assert "no exact joint: exact() needs tables" in text
    assert report.summary in text
    assert {r.outcome for r in report.results} == {"passed", "not applicable"}


def test_a_failure_shows_its_counterexample() -> None:
    report = check(batch_statistics(), ["units do not depend on n"])
    assert not report
    (result,) = report.failed
    assert result.counterexample is not None
    assert result.law.statement in result.detail
    assert str(result.counterexample) in result.detail
    assert "failed" in str(report)


def test_assert_lawful() -> None:
    assert_lawful(chain(), trials=1)
    with pytest.raises(AssertionError, match="units do not depend on n: .* unit"):
        assert_lawful(batch_statistics(), ["effectiveness", "units do not depend on n"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"laws": ["efectiveness"]}, "did you mean 'effectiveness'"),
        ({"roles": {"picture": "A"}}, "there is no role 'picture'"),
        ({"roles": {"image": "a"}}, "the graph has no node 'a'; did you mean 'A'"),
    ],
)
def test_bad_input(options: dict[str, object], message: str) -> None:
    with pytest.raises(ScmError, match=message):
        check(chain(), **options)  # type: ignore[arg-type]


def test_something_else_than_a_model() -> None:
    with pytest.raises(ScmError, match="expected an scm.SCM"):
        check(chain().view)  # type: ignore[arg-type]


def test_load_model(tmp_path: Path) -> None:
    file = tmp_path / "my_model.py"
    file.write_text(FILE)
    path = list(sys.path)
    for name in ("good", "made"):
        assert isinstance(load_model(f"{file}:{name}"), scm.SCM)
    assert sys.path == path
    for where, message in [
        (f"{file}:god", "did you mean 'good'"),
        (f"{file}:other", "is a int; expected an scm.SCM"),
        (f"{tmp_path / 'none.py'}:good", "there is no file"),
        (f"{file}", "expected a file and a name"),
    ]:
        with pytest.raises(ScmError, match=message):
            load_model(where)


def test_command(tmp_path: Path) -> None:
    from scm.cli import app

    file = tmp_path / "my_model.py"
    file.write_text(FILE)
    run = CliRunner().invoke
    good = run(app, ["check", f"{file}:good", "--trials", "1"])
    assert good.exit_code == 0, good.output
    assert "0 failed" in good.output
    bad = run(app, ["check", f"{file}:bad", "--law", "units do not depend on n"])
    assert bad.exit_code == 1
    assert "1 failed" in bad.output
    assert run(app, ["check", f"{file}:nothing"]).exit_code == 1
    assert run(app, ["check", f"{file}:good", "--role", "image"]).exit_code == 1


def test_check_needs_no_hypothesis() -> None:
    code = (
        "import sys; sys.modules['hypothesis'] = None\n"
        "import scm; assert 'scm.testing' not in sys.modules\n"
        "from scm.testing import check\n"
        "model = scm.SCM('A -> B', A=scm.Root.normal(), B=scm.Linear({'A': 1.0}))\n"
        "assert check(model, ['effectiveness'])\n"
        "try:\n"
        "    from scm.testing import strategies\n"
        "except scm.ScmError as error:\n"
        "    assert 'neural-scm[test]' in str(error)\n"
        "else:\n"
        "    raise AssertionError\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(scm.__file__).parents[1])
