"""Learning from observed and from interventional data."""

from scm.learning.classifier import SmallCNN, accuracy, train_classifier

__all__ = ["SmallCNN", "accuracy", "train_classifier"]
