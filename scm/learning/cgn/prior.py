"""Make the shape's noise about standard normal in each class, so that its prior shows digits.

An autoencoder that reconstructs well uses parts of the noise's space that its prior hardly
visits: masks under drawn noise are then no shapes. Here noise is measured anew, for each label
about the mean and in units of the spread that real images of it have.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from scm.learning.cgn.model import CGN
from scm.mechanisms.cgn import Shape
from scm.mechanisms.cgn_encoder import ImageEncoder

__all__ = ["standardise"]


@torch.no_grad()
def standardise(cgn: CGN, images: Tensor, labels: Tensor) -> None:
    """Replace u_M by `L_y^-1 (u_M - m_y)` in the encoder, and undo that in the shape.

    m_y and `L_y L_y'` are mean and covariance of the encoder's posterior over the images of
    label y, `mean_i N(mu_i, diag s_i^2)`. A real image's shape stays what it is; a drawn one
    becomes typical, and the same u is the same place among the shapes of each label.

    Args:
        cgn: The model, with a `Shape` and an `ImageEncoder`; changed in place.
        images: Images `(n, 3, size, size)`.
        labels: Their classes `(n,)`.

    Source: Dai and Wipf (2019), "Diagnosing and Enhancing VAE Models", whose second stage
    models the aggregate posterior; here it is normal in each class.
    """
    encoder, shape = cgn.encoder, cgn.mechanisms["M"]
    assert encoder is not None
    net = encoder.net
    assert isinstance(net, ImageEncoder)
    assert isinstance(shape, Shape)
    for label in range(cgn.classes):
        rows = (labels == label).nonzero()[:, 0]
        if len(rows) < 2:
            continue
        parts = []
        for some in rows.split(1000):
            shown = F.one_hot(labels[some], cgn.classes).to(images)
            mean, log_scale = net(torch.cat([images[some].flatten(1), shown], 1)).chunk(2, 1)
            parts.append(torch.stack([mean, log_scale])[:, :, : shape.latent].double())
        mean, log_scale = torch.cat(parts, 1)
        centre = mean.mean(0)
        spread = torch.cov(mean.T, correction=0) + (2 * log_scale).exp().mean(0).diag()
        factor = torch.linalg.cholesky(spread)
        before = shape.spread[label].double()
        middle = shape.origin[label].double() + before @ centre
        after = before @ factor
        shape.origin[label], shape.spread[label] = middle.to(images), after.to(images)
        net.origin[label] = middle.to(images)
        net.scale[label] = torch.linalg.inv(after).to(images)
