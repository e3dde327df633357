"""The models of outcome and treatment that adjustment fits, by scikit-learn."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scm.errors import ScmError
from scm.estimators.columns import Codes, Rows
from scm.estimators.means import Array

__all__ = ["Fit", "Mediated", "PositivityWarning", "Predictor", "splits"]

Arms = Sequence[tuple[int, int]]
"""Codes of the treatment that the outcome feels, and of the one that the mediators feel."""

Predictor = Callable[[Array], Array]
"""Features `(n, d)` to predictions `(n,)`."""

_LEAST = 0.01  # of an estimated chance of the treatment, before a weight is cut


class PositivityWarning(UserWarning):
    """Some units had almost no chance of a treatment, so that data hardly tell its effect.

    Example:
        >>> import warnings
        >>> from scm.estimators import ate
        >>> from scm.graph import CausalGraph
        >>> W = np.repeat([-6.0, 6.0], 100)
        >>> X = (W > 0).astype(int)
        >>> X[[0, 100]] = 1, 0  # one unit each has the other treatment
        >>> data = {"W": W, "X": X, "Y": W + X}
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     graph = CausalGraph("W -> X, Y; X -> Y")
        ...     effect = ate(data, outcome="Y", treatment="X", graph=graph)
        >>> {w.category.__name__ for w in caught}
        {'PositivityWarning'}
    """


@dataclass
class Fit:
    """The two models, fitted to some rows and asked about others."""

    rows: Rows
    outcome_model: Any
    treatment_model: Any

    def __post_init__(self) -> None:
        try:
            import sklearn.base
            import sklearn.linear_model as linear
        except ImportError as error:
            raise ScmError(
                "adjustment needs scikit-learn, which is not installed: pip install "
                "'neural-scm[demo]'"
            ) from error
        self._clone = sklearn.base.clone
        if self.outcome_model is None:
            binary = self.rows.event
            self.outcome_model = (
                linear.LogisticRegression(max_iter=1000) if binary else linear.LinearRegression()
            )
        if self.treatment_model is None:
            self.treatment_model = linear.LogisticRegression(max_iter=1000)
        if not hasattr(self.treatment_model, "predict_proba"):
            raise ScmError(
                f"treatment_model={self.treatment_model!r:.60} was given; expected a classifier "
                "with predict_proba, such as LogisticRegression()"
            )
        if not hasattr(self.outcome_model, "predict"):
            raise ScmError(
                f"outcome_model={self.outcome_model!r:.60} was given; expected a scikit-learn "
                "regressor, such as LinearRegression()"
            )

    def doubly_robust(self, folds: int, rng: np.random.Generator) -> Array:
        """Return the uncentred influence function of each mean, `(values, n)`."""
        rows = self.rows
        found = np.empty((len(rows.asked), rows.n))
        for train, test in splits(rows.treatment, folds, rng):
            mean = self._outcomes(train, test)
            chance = self._chances(train, test)
            here = rows.treatment[test] == rows.asked[:, None]
            found[:, test] = mean + here * (rows.outcome[test] - mean) / chance
        return found

    def regression(self, index: Codes) -> Array:
        """Return the mean prediction under each value, `(values,)`."""
        kept = index[self.rows.kept[index]]
        means: Array = self._outcomes(index, kept).mean(1)
        return means

    def weighting(self, index: Codes) -> Array:
        """Return the weighted mean of the units with each value, `(values,)`."""
        rows = self.rows
        kept = index[rows.kept[index]]
        weights = (rows.treatment[kept] == rows.asked[:, None]) / self._chances(index, kept)
        means: Array = (weights * rows.outcome[kept]).sum(1) / weights.sum(1)
        return means

    def _outcomes(self, train: Codes, test: Codes) -> Array:
        """Predict the outcome of the test rows under each value."""
        rows = self.rows
        return np.stack([self.outcome_under(c, train)(rows.features[test]) for c in rows.asked])

    def outcome_under(self, code: int, train: Codes) -> Predictor:
        """Return the outcome's model, of covariates, fitted to the rows with a treatment."""
        rows = self.rows
        arm = train[rows.treatment[train] == code]
        y = rows.outcome[arm]
        if not len(arm) or (rows.event and (y == y[0]).all()):  # a classifier needs two classes
            constant = float(y[0]) if len(arm) else np.nan
            return lambda features: np.full(len(features), constant)
        model = self._clone(self.outcome_model)
        if hasattr(model, "predict_proba"):
            if not self.rows.event:
                raise ScmError(
                    f"outcome_model={model!r:.60} is a classifier and the outcome a number; give "
                    "a regressor, or ask for a probability: outcome={'Y': level}"
                )
            model.fit(rows.features[arm], y.astype(np.int64))
            return lambda features: np.asarray(model.predict_proba(features)[:, 1], np.float64)
        model.fit(rows.features[arm], y)
        return lambda features: np.asarray(model.predict(features), dtype=np.float64)

    def _chances(self, train: Codes, test: Codes) -> Array:
        """Predict the chance of each value for the test rows, at least 0.01."""
        return self.cut(self.chances(train, test))

    def chances(self, train: Codes, test: Codes) -> Array:
        """Predict the chance of each value for the test rows, `(values, test)`."""
        rows = self.rows
        model = self._clone(self.treatment_model).fit(rows.features[train], rows.treatment[train])
        every = model.predict_proba(rows.features[test])
        place = {int(code): i for i, code in enumerate(model.classes_)}
        return np.stack(
            [every[:, place[c]] if c in place else np.zeros(len(test)) for c in rows.asked.tolist()]
        )

    def cut(self, found: Array) -> Array:
        """Return chances, none below 0.01; warn where one was."""
        rows = self.rows
        low = found < _LEAST
        if low.any():
            value = rows.values[int(np.flatnonzero(low.any(1))[0])]
            warnings.warn(
                f"{100 * low.any(0).mean():.2g}% of the units have an estimated chance of "
                f"{rows.name}={value!r} (or another value) below {_LEAST}, given "
                f"{', '.join(rows.covariates)}: positivity nearly fails, their weights are cut, "
                "and the estimate is biased for them. Leave them out of the population, or give a "
                "treatment_model that is better calibrated",
                PositivityWarning,
                stacklevel=7,
            )
        clipped: Array = np.maximum(found, _LEAST)
        return clipped


def splits(treatment: Codes, folds: int, rng: np.random.Generator) -> Iterator[tuple[Codes, Codes]]:
    """Yield the rows to fit to and the others, with each treatment spread over all folds."""
    n = len(treatment)
    fold = np.empty(n, dtype=np.int64)
    order = rng.permutation(n)
    order = order[np.argsort(treatment[order], kind="stable")]
    fold[order] = np.arange(n) % folds
    for k in range(folds):
        yield np.flatnonzero(fold != k), np.flatnonzero(fold == k)


@dataclass
class Mediated:
    r"""The models behind :math:`\theta(x, x') = E[Y_{x, M_{x'}}]`, for codes x and x'.

    Attributes:
        plain: Outcome and treatment given the covariates W.
        full: The same, given the mediators (the first features) and W.
        mediators: The mediators' features, `(n, d)`.
        cells: Which combination of mediator values each row has, where they are to be summed
            over; None where the fitted outcome is to be regressed on W.
        mediator_model: A classifier of the cells, or a regressor of the fitted outcome.
    """

    plain: Fit
    full: Fit
    mediators: Array
    cells: Codes | None
    mediator_model: Any

    def __post_init__(self) -> None:
        import sklearn.linear_model as linear

        if self.mediator_model is None:
            summed = self.cells is not None
            self.mediator_model = (
                linear.LogisticRegression(max_iter=1000) if summed else linear.LinearRegression()
            )
        needs = "predict" if self.cells is None else "predict_proba"
        if not hasattr(self.mediator_model, needs):
            what = "regressor, since the mediator is continuous"
            if self.cells is not None:
                what = "classifier with predict_proba, since the mediator has few values"
            raise ScmError(
                f"mediator_model={self.mediator_model!r:.60} was given; expected a {what}"
            )

    def nested(self, x: int, xm: int, train: Codes, test: Codes) -> tuple[Array, Array]:
        r"""Predict :math:`\mu = E[Y | x, m, w]` and :math:`\eta = E[\mu | x_m, w]`, two rows."""
        outcome = self.full.outcome_under(x, train)
        w, both = self.plain.rows.features, self.full.rows.features
        arm = train[self.plain.rows.treatment[train] == xm]
        if not len(arm):
            nothing = np.full(len(test), np.nan)
            return nothing, nothing
        mean = outcome(both[test])
        model = self.plain._clone(self.mediator_model)
        if self.cells is None:
            model.fit(w[arm], outcome(both[arm]))
            return mean, np.asarray(model.predict(w[test]), dtype=np.float64)
        present = np.unique(self.cells[arm])
        chances = np.ones((len(test), 1))
        if len(present) > 1:
            model.fit(w[arm], self.cells[arm])
            chances, present = model.predict_proba(w[test]), model.classes_
        total = np.zeros(len(test))
        for cell, chance in zip(present, chances.T, strict=True):
            m = self.mediators[np.flatnonzero(self.cells == cell)[0]]
            total += chance * outcome(np.hstack([np.tile(m, (len(test), 1)), w[test]]))
        return mean, total

    def weights(
        self, arms: Arms, train: Codes, test: Codes
    ) -> Iterator[tuple[int, int, Array, Array]]:
        r"""Yield weights by which units with x look mediated as under x', and those of x'.

        .. math:: \frac{1\{X = x\}}{P(x | w)} \frac{P(m | x', w)}{P(m | x, w)}
            = 1\{X = x\} \frac{P(x' | m, w)}{P(x | m, w) P(x' | w)}
        """
        rows = self.plain.rows
        codes = rows.asked.tolist()
        plain = self.plain.cut(self.plain.chances(train, test))
        after = self.full.chances(train, test)
        for x, xm in arms:
            own = plain[codes.index(xm)]
            here = rows.treatment[test] == x
            ratio = np.zeros(len(test))
            below = self.full.cut(after[codes.index(x)][None, here])[0]
            ratio[here] = after[codes.index(xm)][here] / below / own[here]
            yield x, xm, ratio, (rows.treatment[test] == xm) / own

    def regression(self, arms: Arms, index: Codes) -> Array:
        """Return the mean of eta, the mediation formula, for each arm."""
        return np.array([self.nested(x, xm, index, index)[1].mean() for x, xm in arms])

    def weighting(self, arms: Arms, index: Codes) -> Array:
        """Return the weighted mean of the outcome of units with x, for each arm."""
        y = self.plain.rows.outcome[index]
        found = [(w @ y) / w.sum() for _, _, w, _ in self.weights(arms, index, index)]
        return np.array(found)

    def influence(self, arms: Arms, train: Codes, test: Codes) -> Array:
        """Return the uncentred influence function of the test rows, `(arms, test)`."""
        y, found = self.plain.rows.outcome[test], []
        for x, xm, crossed, own in self.weights(arms, train, test):
            mean, nested = self.nested(x, xm, train, test)
            found.append(crossed * (y - mean) + own * (mean - nested) + nested)
        return np.stack(found)
