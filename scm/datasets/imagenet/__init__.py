"""ImageNet and the sets that test what its classifiers have learnt, with one interface.

Each loader returns an `ImageSet`, a torch data set of `(image, label)` with `classes`, `labels`,
`metadata` and `correct(logits, labels, k)`, the rule by which the set's authors judge a
classifier. Nothing is downloaded: a missing folder is an error that says what to get, and where
to put it.
"""

from scm.datasets.imagenet.classes import (
    cue_conflict_indices,
    imagenet9_indices,
    imagenet_ids,
    imagenet_names,
    to_cue_conflict,
    to_imagenet9,
)
from scm.datasets.imagenet.folder import ImageSet, imagenet_transform
from scm.datasets.imagenet.sets import (
    CORRUPTIONS,
    cue_conflict,
    image_folder_set,
    imagenet,
    imagenet9,
    imagenet_a,
    imagenet_c,
    imagenet_mini,
    imagenet_sketch,
    imagenet_stylized,
    imagenet_v2,
    objectnet,
)

__all__ = [
    "CORRUPTIONS",
    "ImageSet",
    "cue_conflict",
    "cue_conflict_indices",
    "image_folder_set",
    "imagenet",
    "imagenet9",
    "imagenet9_indices",
    "imagenet_a",
    "imagenet_c",
    "imagenet_ids",
    "imagenet_mini",
    "imagenet_names",
    "imagenet_sketch",
    "imagenet_stylized",
    "imagenet_transform",
    "imagenet_v2",
    "objectnet",
    "to_cue_conflict",
    "to_imagenet9",
]
