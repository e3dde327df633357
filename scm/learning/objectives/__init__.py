"""What a classifier's training minimises; each objective is one class with its formula.

An objective is one part of a recipe; the images (`scm.learning.sources`) and the network with
its input layers (`scm.learning.networks`, `heads`) are the others. The rows of the papers'
tables are combinations:

| row | sources, one an environment | objective | network |
|---|---|---|---|
| original | the images | `ERM()` | `ConvNet()` |
| IRM, 2 or 5 environments | one a correlation | `IRM(Ramp(weight))` | |
| LNTL | the images | `LNTL()` | |
| group DRO | images with groups, or environments | `GroupDRO()` | |
| VREx | one a correlation | `VREx(weight)` | |
| mixup | the images | `Mixup()` | |
| AutoAugment | `Augmented(images, AutoAugment())` | `ERM()` | |
| stylised (SIN), IN + SIN | the stylised images, or `Mixed` | `ERM()` | |
| original + GAN | `Mixed([images, Stream(GeneratedImages(gan))])` | `ERM()` | |
| CGN | `Stream(counterfactuals, factor=0)` | `ERM()` | |
| original + CGN | `Mixed([images, Stream(counterfactuals, 0)])` | `ERM()` | |
| GenInt | original, intervened and transferred images | `Weighted(1.0, 0.05, 1.0)` | |
| ensemble | real, labels `(n,)`; counterfactual, `(n, 3)` | `ERM()` | `HeadEnsemble` |
| greyscale, IN | any | any | `Grey()`, `Standardise()` before |
"""

from scm.learning.objectives.group_dro import GroupDRO
from scm.learning.objectives.irm import IRM
from scm.learning.objectives.lntl import LNTL, colour_bins
from scm.learning.objectives.mixup import Mixup
from scm.learning.objectives.objective import ERM, Moment, Objective, cross_entropy, scores
from scm.learning.objectives.schedules import Jump, Ramp
from scm.learning.objectives.vrex import VREx
from scm.learning.objectives.weighted import Weighted

__all__ = [
    "ERM",
    "IRM",
    "LNTL",
    "GroupDRO",
    "Jump",
    "Mixup",
    "Moment",
    "Objective",
    "Ramp",
    "VREx",
    "Weighted",
    "colour_bins",
    "cross_entropy",
    "scores",
]
