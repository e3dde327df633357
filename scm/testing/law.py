"""What a law is: a statement, when it applies, and the search for a counterexample."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from scm.errors import ScmError
from scm.exact import Joint
from scm.graph import CausalGraph
from scm.model import SCM
from scm.testing.case import Case, shrink
from scm.worlds.samples import Samples

__all__ = ["Counterexample", "Law", "Subject", "difference"]

_PILOT = 64


@dataclass(frozen=True)
class Counterexample:
    """Where a model breaks a law.

    Attributes:
        law: Name of the law.
        case: The smallest case found.
        what: What was found there.

    Example:
        >>> from scm import Root, SCM, Structural
        >>> from scm.testing import check
        >>> drift = {"step": 0.0, "total": 0.0}
        >>> def f(A):
        ...     drift["total"] += drift["step"]
        ...     return A + drift["total"]
        >>> model = SCM("A -> B", A=Root.normal(), B=Structural(f))
        >>> drift["step"] = 1.0  # from here on f depends on how often it was called
        >>> (result,) = check(model, laws=["units do not depend on n"], trials=1).results
        >>> result.counterexample.law
        'units do not depend on n'
    """

    law: str
    case: Case
    what: str

    def __str__(self) -> str:
        return f"{self.case}: {self.what}"


@dataclass(eq=False)
class Subject:
    """A model under test, with what several laws need of it, computed once.

    Attributes:
        model: The model.
        roles: What nodes stand for, where a law asks ("image", "target").
        seed: Seed from which everything is drawn.

    Example:
        >>> from scm import Linear, Root, SCM
        >>> subject = Subject(SCM("A -> B", A=Root.normal(), B=Linear({"A": 2.0})))
        >>> subject.inexact is None, len(subject.pilot["B"]) > 0
        (False, True)
    """

    model: SCM
    roles: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0

    @property
    def graph(self) -> CausalGraph:
        """The model's graph."""
        return self.model.graph

    @cached_property
    def pilot(self) -> Samples:
        """A few units from which values of acts are drawn."""
        return self.model.sample(_PILOT, self.seed)

    @cached_property
    def _exact(self) -> Joint | str:
        try:
            return self.model.exact()
        except ScmError as error:
            return str(error)

    @property
    def joint(self) -> Joint:
        """The exact joint; see `inexact` first."""
        assert isinstance(self._exact, Joint)
        return self._exact

    @property
    def inexact(self) -> str | None:
        """Why there is no exact joint, None where there is one."""
        return self._exact if isinstance(self._exact, str) else None

    def close(self, found: Tensor, wanted: Tensor, loose: float = 1.0) -> Tensor:
        """Which entries `[*batch]` agree up to the rounding of the model's dtype."""
        if not found.is_floating_point():
            return found == wanted
        relative = loose * (1e-8 if found.dtype == torch.float64 else 1e-4)
        a, b = found.double(), wanted.double()
        finite = b[torch.isfinite(b)].abs()
        size = float(finite.max()) if finite.numel() else 0.0
        return torch.isclose(a, b, rtol=relative, atol=relative * size, equal_nan=True)


class Law(ABC):
    """A statement that holds in every structural causal model.

    A subclass draws cases and says what is wrong in one; `check` draws several and makes
    the first that fails as small as it can.

    Attributes:
        name: Name of the law.
        statement: One sentence with the formula.
        source: Where it is proved.
        false_alarm: Largest chance that a model which obeys the law is reported, a case.
        trials: Share of the trials asked for that this law needs.

    Example:
        >>> from scm import Linear, Root, SCM
        >>> from scm.testing.laws import LAWS
        >>> law = next(law for law in LAWS if law.name == "effectiveness")
        >>> print(law.check(SCM("A -> B", A=Root.normal(), B=Linear({"A": 2.0})), trials=2))
        None
    """

    name: str
    statement: str
    source: str
    false_alarm: float = 0.0
    trials: float = 1.0

    def applies(self, subject: SCM | Subject) -> str | None:
        """Why the law says nothing about the model, None where it does."""
        return self._applies(_subject(subject))

    def check(
        self, subject: SCM | Subject, seed: int = 0, trials: int = 10
    ) -> Counterexample | None:
        """Search for a counterexample.

        Args:
            subject: The model.
            seed: Seed of the search.
            trials: Number of cases to draw.

        Returns:
            The smallest counterexample found, or None.
        """
        return self.search(_subject(subject), seed, trials)[0]

    def search(self, subject: Subject, seed: int, trials: int) -> tuple[Counterexample | None, int]:
        """A counterexample or None, and the number of cases that were tried."""

        def fails(case: Case) -> str | None:
            try:
                return self._violation(subject, case)
            except ScmError as error:
                return f"raised {type(error).__name__}: {error}"

        tried = 0
        for trial in range(max(1, round(trials * self.trials))):
            rng = random.Random(f"{seed}/{self.name}/{trial}")
            case = self._draw(subject, rng)
            if case is None:
                continue
            tried += 1
            message = fails(case)
            if message is not None:
                return Counterexample(self.name, *shrink(case, message, fails)), tried
        return None, tried

    def _applies(self, subject: Subject) -> str | None:
        return None

    @abstractmethod
    def _draw(self, subject: Subject, rng: random.Random) -> Case | None:
        """A case to try, or None where this draw found none."""

    @abstractmethod
    def _violation(self, subject: Subject, case: Case) -> str | None:
        """What is wrong in the case, or None: also where the case is not one of the law's."""

    def __repr__(self) -> str:
        return f"<law: {self.name}>"


def _subject(given: SCM | Subject) -> Subject:
    return given if isinstance(given, Subject) else Subject(given)


def difference(node: str, good: Tensor, found: Tensor, wanted: Tensor, how: str) -> str:
    """Say at which unit two values of a node differ; ``good`` is where they agree."""
    where = tuple((~good).nonzero()[0].tolist())
    a, b = found[where].item(), wanted[where].item()
    place = f" (entry {list(where)})" if len(where) > 1 else f" of unit {where[0]}"
    shown = (f"{a:.6g}", f"{b:.6g}") if isinstance(a, float) else (str(a), str(b))
    if shown[0] == shown[1]:
        shown = (repr(a), repr(b))
    return f"{node}{place} is {shown[0]}, not {shown[1]}: {how}"
