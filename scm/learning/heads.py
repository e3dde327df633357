"""One classifier with a head per factor: the ensemble of invariant classifiers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from scm.errors import ScmError, nearest
from scm.learning.layers import last_linear
from scm.mechanisms.seeding import seeded

__all__ = ["HeadEnsemble"]


class HeadEnsemble(nn.Module):
    """One linear head per factor on a shared backbone: `(1/K) sum_k log p_k(y | x)`.

    Trained on images with labels `(n, K)`, each head learns the label of its own factor alone;
    trained on images with labels `(n,)`, the average learns. `ensemble.head("shape")` is one
    head as a classifier.

    Args:
        network: Any classifier that ends in a linear layer (of torchvision, a `ConvNet`, or a
            `Sequential` with input layers before one). It becomes the backbone: its output
            layer is replaced, in place.
        names: Names of the heads.
        classes: Number of classes; that of the layer replaced by default.
        seed: Seed of the heads' initial weights.

    Raises:
        ScmError: If the network has no linear layer, or the names are not distinct.

    Source: CGN, section 4.3 ("we average the predicted log-probabilities of each head") and
    appendix C.4 (shared up to the last layer, three fully connected heads).

    Example:
        >>> from scm.learning import ConvNet
        >>> ensemble = HeadEnsemble(ConvNet())
        >>> ensemble.heads(torch.zeros(5, 3, 32, 32)).shape
        torch.Size([5, 3, 10])
        >>> ensemble.head("shape")(torch.zeros(5, 3, 32, 32)).shape
        torch.Size([5, 10])
    """

    def __init__(
        self,
        network: nn.Module,
        names: Sequence[str] = ("shape", "texture", "background"),
        classes: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not names or len(set(names)) != len(names):
            raise ScmError(f"heads named {list(names)} were asked for; expected distinct names")
        where, replaced = last_linear(network)
        self.names = tuple(names)
        self.width = replaced.in_features
        if where:
            parent, _, attribute = where.rpartition(".")
            setattr(network.get_submodule(parent), attribute, nn.Identity())
            self.backbone = network
        else:
            self.backbone = nn.Identity()
        with seeded(seed):
            self.outputs = nn.ModuleList(
                nn.Linear(self.width, classes or replaced.out_features) for _ in names
            )
        self.outputs.to(replaced.weight)

    def heads(self, images: Tensor) -> Tensor:
        """Log-probabilities `(n, K, classes)` of each head.

        Raises:
            ScmError: If the layer that was replaced was not the network's output.
        """
        features = self.backbone(images)
        if not isinstance(features, Tensor) or features.shape != (len(images), self.width):
            shape = tuple(features.shape) if isinstance(features, Tensor) else type(features)
            raise ScmError(
                f"the backbone returned {shape}; expected ({len(images)}, {self.width}): the last "
                "linear layer that was registered is not the network's output layer"
            )
        return torch.stack([head(features).log_softmax(-1) for head in self.outputs], 1)

    def forward(self, images: Tensor) -> Tensor:
        """Averaged log-probabilities `(n, classes)` of images `(n, channels, height, width)`."""
        return self.heads(images).mean(1)

    def head(self, name: str) -> nn.Module:
        """One head as a classifier; it shares its weights with the ensemble.

        Raises:
            ScmError: If there is no head of that name.
        """
        if name not in self.names:
            raise ScmError(f"there is no head {name!r}; {nearest(name, self.names)}")
        alone = nn.Sequential(self.backbone, self.outputs[self.names.index(name)])
        return alone.train(self.training)
