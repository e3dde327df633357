"""The models of outcome and treatment that adjustment fits, by scikit-learn."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from scm.errors import ScmError
from scm.estimators.columns import Codes, Rows
from scm.estimators.means import Array

__all__ = ["Fit", "PositivityWarning"]

_LEAST = 0.01  # of an estimated chance of the treatment, before a weight is cut


class PositivityWarning(UserWarning):
    """Some units had almost no chance of a treatment, so that data hardly tell its effect."""


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
        fold = np.empty(rows.n, dtype=np.int64)
        order = rng.permutation(rows.n)
        order = order[np.argsort(rows.treatment[order], kind="stable")]
        fold[order] = np.arange(rows.n) % folds
        found = np.empty((len(rows.asked), rows.n))
        for k in range(folds):
            train, test = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
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
        rows, columns = self.rows, []
        for code in rows.asked:
            arm = train[rows.treatment[train] == code]
            y = rows.outcome[arm]
            if not len(arm):
                columns.append(np.full(len(test), np.nan))
            elif rows.event and (y == y[0]).all():  # a classifier needs two classes
                columns.append(np.full(len(test), y[0]))
            else:
                columns.append(self._predict(arm, y, test))
        return np.stack(columns)

    def _predict(self, arm: Codes, y: Array, test: Codes) -> Array:
        model = self._clone(self.outcome_model)
        x = self.rows.features
        if hasattr(model, "predict_proba"):
            if not self.rows.event:
                raise ScmError(
                    f"outcome_model={model!r:.60} is a classifier and the outcome a number; give "
                    "a regressor, or ask for a probability: outcome={'Y': level}"
                )
            chances: Array = model.fit(x[arm], y.astype(np.int64)).predict_proba(x[test])[:, 1]
            return chances
        return np.asarray(model.fit(x[arm], y).predict(x[test]), dtype=np.float64)

    def _chances(self, train: Codes, test: Codes) -> Array:
        """Predict the chance of each value for the test rows, at least 0.01."""
        rows = self.rows
        model = self._clone(self.treatment_model).fit(rows.features[train], rows.treatment[train])
        every = model.predict_proba(rows.features[test])
        place = {int(code): i for i, code in enumerate(model.classes_)}
        found = np.stack(
            [every[:, place[c]] if c in place else np.zeros(len(test)) for c in rows.asked.tolist()]
        )
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
                stacklevel=6,
            )
        clipped: Array = np.maximum(found, _LEAST)
        return clipped
