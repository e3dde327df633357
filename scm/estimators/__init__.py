"""Estimators: what models and data say about effects."""

from __future__ import annotations

from scm.estimators.partitions import Partition, causal_partition, observational_partition

__all__ = ["Partition", "causal_partition", "observational_partition"]
