"""What a classifier looks at: GradCAM, its overlap with the object, t-SNE of its features."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scm.errors import ScmError
from scm.estimate import Estimate
from scm.learning.evaluation import predict, probabilities
from scm.learning.layers import last_convolution, last_linear, watching

__all__ = ["features", "grad_cam", "mask_iou", "tsne"]


def grad_cam(
    network: nn.Module,
    images: Tensor,
    classes: Tensor | None = None,
    layer: nn.Module | None = None,
    batch: int = 256,
) -> Tensor:
    """GradCAM heat maps: `relu(sum_k w_k A_k)`, with w_k the mean gradient of a class's logit.

    A_k are the channels of a convolution. The map is resized to the image's size (bilinear) and
    divided by its maximum; it is all 0 where no channel speaks for the class.

    Args:
        network: The classifier; its mode is restored.
        images: `(n, channels, height, width)`.
        classes: Class `(n,)` to explain for each; the predicted ones by default.
        layer: A convolution; the last one by default.
        batch: Images at a time.

    Returns:
        `(n, height, width)` in [0, 1].

    Raises:
        ScmError: If captum is missing, the network has no convolution, or there are no images, or
            not a class of the network's for each.

    Source: Selvaraju et al. (2017), "Grad-CAM", equations 1 and 2; CGN's reproduction, sections
    3.3 and 4.2.2.

    Example:
        >>> from scm.learning import SmallCNN
        >>> grad_cam(SmallCNN(3), torch.rand(4, 3, 8, 8)).shape
        torch.Size([4, 8, 8])
    """
    try:
        from captum.attr import LayerAttribution, LayerGradCam
    except ImportError as error:
        raise ScmError(
            f"captum could not be imported ({error}); install it: pip install 'neural-scm[vision]'"
        ) from error
    if not len(images):
        raise ScmError("no images were given; expected (n, channels, height, width) with n > 0")
    target = predict(network, images, batch) if classes is None else classes.to(images.device)
    known = probabilities(network, images[:1]).shape[-1]
    if target.shape != images.shape[:1] or not 0 <= int(target.min()) <= int(target.max()) < known:
        raise ScmError(
            f"classes {tuple(target.shape)} from {int(target.min())} to {int(target.max())} were "
            f"given for {len(images)} images; expected ({len(images)},) from 0 to {known - 1}"
        )
    explain = LayerGradCam(network, layer or last_convolution(network))
    was_training = network.training
    network.eval()
    maps = []
    with torch.enable_grad():
        for part, wanted in zip(images.split(batch), target.split(batch), strict=True):
            heat = explain.attribute(part, wanted, relu_attributions=True)
            size = tuple(images.shape[2:])
            maps.append(LayerAttribution.interpolate(heat, size, "bilinear")[:, 0].detach())
    network.train(was_training)
    found = torch.cat(maps)
    peak = found.amax((1, 2), keepdim=True)
    return torch.where(peak > 0, found / peak.clamp(min=torch.finfo(found.dtype).tiny), 0.0)


def mask_iou(heat: Tensor, masks: Tensor, threshold: float = 0.5) -> Estimate:
    """Mean over images of `|H and M| / |H or M|`, H where the heat is above a threshold.

    The reproduction does not state its threshold.

    Args:
        heat: Heat maps `(n, height, width)` in [0, 1], of `grad_cam`.
        masks: Where the object is, `(n, height, width)`: truth values, or numbers of which those
            above 0.5 count. They must be of the same images.
        threshold: Heat above which a pixel counts.

    Raises:
        ScmError: If the shapes differ, heat is out of its range, or a mask is empty.

    Source: CGN's reproduction, section 4.2.2 (binary Jaccard index with the binarised digit).

    Example:
        >>> heat, mask = torch.zeros(1, 4, 4), torch.zeros(1, 4, 4)
        >>> heat[0, :2], mask[0, 1:] = 1.0, 1.0
        >>> mask_iou(heat, mask).value
        0.25
    """
    if heat.shape != masks.shape or heat.ndim != 3:
        raise ScmError(
            f"heat of shape {tuple(heat.shape)} and masks of shape {tuple(masks.shape)} were "
            "given; expected (n, height, width) for both"
        )
    if not (float(heat.min()) >= 0 and float(heat.max()) <= 1):
        raise ScmError(
            f"heat from {float(heat.min()):.3g} to {float(heat.max()):.3g} was given; expected "
            "[0, 1]: divide each map by its maximum, as grad_cam does"
        )
    hot, object_ = heat > threshold, masks > 0.5
    empty = ~object_.flatten(1).any(1)
    if empty.any():
        raise ScmError(
            f"{int(empty.sum())} of {len(masks)} masks are empty (the first: image "
            f"{int(empty.nonzero()[0])}); give masks in [0, 1] with an object each"
        )
    both, either = (hot & object_).sum((1, 2)), (hot | object_).sum((1, 2))
    return Estimate.mean(both / either)


def features(network: nn.Module, images: Tensor, batch: int = 1024) -> Tensor:
    """What enters the last linear layer, `(n, width)`.

    Raises:
        ScmError: If the network has no linear layer.

    Example:
        >>> network = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
        >>> features(network, torch.zeros(5, 1, 2, 2)).shape
        torch.Size([5, 3])
    """
    with watching(last_linear(network)[1], inputs=True) as seen:
        predict(network, images, batch)
    return torch.cat(seen)


def tsne(network: nn.Module, images: Tensor, perplexity: float = 30.0, seed: int = 0) -> Tensor:
    """Plane `(n, 2)` in which images with similar features are neighbours.

    Args:
        network: The classifier, whose last linear layer's inputs are the features.
        images: `(n, channels, height, width)`, n above the perplexity.
        perplexity: Number of neighbours, roughly.
        seed: Seed of the optimisation.

    Raises:
        ScmError: If scikit-learn is missing, or there are too few images.

    Source: van der Maaten and Hinton (2008); CGN's reproduction, section 4.2.2, figure 3.

    Example:
        >>> network = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
        >>> images = torch.rand(12, 1, 2, 2, generator=torch.Generator().manual_seed(0))
        >>> tsne(network, images, perplexity=3.0).shape
        torch.Size([12, 2])
    """
    try:
        from sklearn.manifold import TSNE
    except ImportError as error:
        raise ScmError(
            f"scikit-learn could not be imported ({error}); install it: "
            "pip install 'neural-scm[vision]'"
        ) from error
    if len(images) <= perplexity:
        raise ScmError(
            f"{len(images)} images and perplexity={perplexity:g} were given; expected more images "
            "than the perplexity"
        )
    values = features(network, images).cpu().double().numpy()
    plane = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(values)
    return torch.as_tensor(plane)
