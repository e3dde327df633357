"""Data sets: real images, and models that make images of known causes."""

from scm.datasets.celeba import celeba
from scm.datasets.coloured import (
    coloured_mnist,
    confounded,
    environments,
    randomised,
    unbiased,
)
from scm.datasets.digits import Digits, digits
from scm.datasets.exemplars import Exemplars
from scm.datasets.generated import Generated, GeneratedStream
from scm.datasets.grating import (
    bar_codes,
    bar_images,
    bars,
    gratings,
    has_column,
    has_row,
)
from scm.datasets.imagenet import ImageSet, image_folder_set
from scm.datasets.textures import Textures, textures

__all__ = [
    "Digits",
    "Exemplars",
    "Generated",
    "GeneratedStream",
    "ImageSet",
    "Textures",
    "bar_codes",
    "bar_images",
    "bars",
    "celeba",
    "coloured_mnist",
    "confounded",
    "digits",
    "environments",
    "gratings",
    "has_column",
    "has_row",
    "image_folder_set",
    "randomised",
    "textures",
    "unbiased",
]
