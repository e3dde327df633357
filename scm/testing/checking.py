"""`check`: run the laws on a model; `Report`: what came out."""

from __future__ import annotations

import io
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from scm import html
from scm.errors import ScmError, nearest
from scm.model import SCM
from scm.testing.law import Counterexample, Law, Subject
from scm.testing.laws import LAWS

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Report", "Result", "assert_lawful", "check"]

Outcome = Literal["passed", "failed", "not applicable"]
_STYLES: dict[Outcome, str] = {"passed": "green", "failed": "bold red", "not applicable": "dim"}


@dataclass(frozen=True)
class Result:
    """What one law said.

    Attributes:
        law: The law.
        outcome: "passed", "failed" or "not applicable".
        cases: Number of cases tried.
        reason: Why it does not apply.
        counterexample: The smallest case found in which it fails.
        seconds: How long it took.

    Example:
        >>> from scm import Root, SCM
        >>> (result,) = check(SCM("A", A=Root.normal()), laws=["effectiveness"], trials=2).results
        >>> result.outcome, result.detail
        ('passed', '2 cases')
    """

    law: Law
    outcome: Outcome
    cases: int = 0
    reason: str = ""
    counterexample: Counterexample | None = None
    seconds: float = 0.0

    @property
    def detail(self) -> str:
        """The counterexample, the reason, or the number of cases."""
        if self.counterexample is not None:
            return f"{self.law.statement}. But {self.counterexample}"
        alarm = f", false alarm {self.law.false_alarm:g} a case" if self.law.false_alarm else ""
        return self.reason or f"{self.cases} case{'s' * (self.cases != 1)}{alarm}"


@dataclass(frozen=True)
class Report:
    """What the laws said of a model; true where none failed.

    Attributes:
        results: One for each law, in order.
        seed: Seed with which `check` draws the same cases again.

    Example:
        >>> from scm import Root, SCM
        >>> report = check(SCM("A", A=Root.normal()), laws=["effectiveness", "back door"], trials=2)
        >>> bool(report), report.summary
        (True, '1 passed, 0 failed, 1 not applicable (seed 0)')
    """

    results: tuple[Result, ...]
    seed: int = 0

    @property
    def failed(self) -> tuple[Result, ...]:
        """Results of the laws that failed."""
        return tuple(r for r in self.results if r.outcome == "failed")

    @property
    def passed(self) -> tuple[Result, ...]:
        """Results of the laws that held in every case."""
        return tuple(r for r in self.results if r.outcome == "passed")

    @property
    def not_applicable(self) -> tuple[Result, ...]:
        """Results of the laws that say nothing about the model."""
        return tuple(r for r in self.results if r.outcome == "not applicable")

    @property
    def summary(self) -> str:
        """Counts in one line."""
        parts = [f"{len(self.passed)} passed", f"{len(self.failed)} failed"]
        parts.append(f"{len(self.not_applicable)} not applicable")
        return ", ".join(parts) + f" (seed {self.seed})"

    def __bool__(self) -> bool:
        return not self.failed

    def __rich__(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        table = Table(title="Laws of causality", caption=self.summary)
        table.add_column("law", no_wrap=True)
        table.add_column("", no_wrap=True)
        table.add_column("counterexample, or cases, or why not")
        for names, outcome, detail in self._rows():
            table.add_row(Text("\n".join(names)), Text(outcome, _STYLES[outcome]), Text(detail))
        return table

    def _repr_html_(self) -> str:
        rows = [(", ".join(names), outcome, detail) for names, outcome, detail in self._rows()]
        title = f"Laws of causality: {self.summary}"
        return html.table(title, ("law", "outcome", "counterexample, or cases, or why not"), rows)

    def _rows(self) -> Iterator[tuple[list[str], Outcome, str]]:
        """Laws, what came out, and why; those that do not apply for one reason are together."""
        for r in (*self.passed, *self.failed):
            yield [r.law.name], r.outcome, r.detail
        reasons: dict[str, list[str]] = {}
        for r in self.not_applicable:
            reasons.setdefault(r.reason, []).append(r.law.name)
        for reason, names in reasons.items():
            yield names, "not applicable", reason

    def __str__(self) -> str:
        from rich.console import Console

        text = io.StringIO()
        Console(file=text, width=110, no_color=True).print(self)
        return text.getvalue().rstrip()


def check(
    model: SCM,
    laws: Iterable[Law | str] | None = None,
    *,
    seed: int = 0,
    trials: int = 10,
    roles: Mapping[str, str] | None = None,
) -> Report:
    """Run the laws that every structural causal model obeys on a model.

    Cases are drawn at random from the seed, acts from values that the model itself takes.
    The first case that breaks a law is made as small as greedy steps can make it.

    Args:
        model: The model.
        laws: Which laws, themselves or by name; all by default.
        seed: Seed of everything drawn.
        trials: Number of cases of a law; laws about large samples take a share of it.
        roles: What nodes stand for: "image" and "target" for the laws of visual causes;
            "treatment", "outcome" and "randomised" where the graph should not say.

    Returns:
        A `Report`: print it, or use it as a condition.

    Raises:
        ScmError: If a law or a role is unknown, or the model cannot be sampled at all.

    Example:
        >>> import scm
        >>> model = scm.SCM("A -> B", A=scm.Root.normal(), B=scm.Linear({"A": 2.0}))
        >>> report = check(model, laws=["effectiveness", "back door"], trials=3)
        >>> bool(report), [r.outcome for r in report.results]
        (True, ['passed', 'not applicable'])
    """
    if not isinstance(model, SCM):
        raise ScmError(f"check({type(model).__name__}) was called; expected an scm.SCM")
    _check_roles(model, roles or {})
    subject = Subject(model, dict(roles or {}), seed)
    _ = subject.pilot
    return Report(tuple(_result(law, subject, seed, trials) for law in _chosen(laws)), seed)


def assert_lawful(
    model: SCM,
    laws: Iterable[Law | str] | None = None,
    *,
    seed: int = 0,
    trials: int = 10,
    roles: Mapping[str, str] | None = None,
) -> None:
    """Fail where a model breaks a law: a test of one's own model in two lines.

        def test_my_model():
            assert_lawful(model)

    Args:
        model: As in `check`, and so are the others.
        laws: Which laws.
        seed: Seed of everything drawn.
        trials: Number of cases of a law.
        roles: What nodes stand for.

    Raises:
        AssertionError: With each law that failed and its smallest counterexample.
        ScmError: As in `check`.

    Example:
        >>> from scm import Linear, Root, SCM
        >>> model = SCM("A -> B", A=Root.normal(), B=Linear({"A": 2.0}))
        >>> assert_lawful(model, laws=["effectiveness"], trials=2)
    """
    __tracebackhide__ = True
    report = check(model, laws, seed=seed, trials=trials, roles=roles)
    if not report:
        lines = [f"{r.law.name}: {r.detail}" for r in report.failed]
        raise AssertionError("\n".join(["the model breaks laws of causality", *lines]))


def _result(law: Law, subject: Subject, seed: int, trials: int) -> Result:
    began = time.perf_counter()
    reason = law.applies(subject)
    if reason is not None:
        return Result(law, "not applicable", reason=reason)
    found, cases = law.search(subject, seed, trials)
    seconds = time.perf_counter() - began
    if found is not None:
        return Result(law, "failed", cases, counterexample=found, seconds=seconds)
    if not cases:
        reason = "no nodes of this graph meet its premise in the draws made"
        return Result(law, "not applicable", reason=reason, seconds=seconds)
    return Result(law, "passed", cases, seconds=seconds)


def _chosen(laws: Iterable[Law | str] | None) -> tuple[Law, ...]:
    if laws is None:
        return LAWS
    named = {law.name: law for law in LAWS}
    chosen = []
    for law in [laws] if isinstance(laws, (str, Law)) else laws:
        if isinstance(law, str) and law not in named:
            raise ScmError(f"there is no law {law!r}; {nearest(law, named)}")
        chosen.append(named[law] if isinstance(law, str) else law)
    return tuple(chosen)


def _check_roles(model: SCM, roles: Mapping[str, str]) -> None:
    known = ("image", "target", "treatment", "outcome", "randomised")
    for role, node in roles.items():
        if role not in known:
            raise ScmError(f"there is no role {role!r}; {nearest(role, known)}")
        model.graph.require(node)
