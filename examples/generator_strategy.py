"""GenInt: steer a generator along its nuisances, and how far to go
=================================================================

After Mao et al. (2021). In the data colour goes with the class, and a generator that learnt from
them ties the two as well. But its latent has directions that move the colour: nuisances that can be
*set*, independently of the class. A classifier that learns from such images learns the digit. How
far to set them? The paper's rule is the strategy under which real images are likeliest.
"""

import warnings

import matplotlib.pyplot as plt
import torch

import scm
from scm import learning
from scm.interventions import PrincipalDirections, Strategy, SupportWarning, choose, steerable

warnings.simplefilter("ignore", SupportWarning)  # some strategies go far on purpose

digits = scm.datasets.digits("digits")
seen = scm.datasets.confounded(scm.datasets.coloured_mnist(digits=digits, size=16), seed=0)
labels = seen["label"]

# %%
# A generator of what was seen
# ----------------------------
# Its truth is to be known, so it is a simple one: a class has a mean shape and a mean colour; the
# first three of its latents move the colour a little, as it varies in the data, and the others the
# shape, along principal components.


class Generator(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        shapes, colours, moves = [], [], []
        for k in range(10):
            of_class = seen["digit"][labels == k].flatten(1)
            shapes.append(of_class.mean(0))
            colours.append(seen["foreground_hue"][labels == k].flatten(1).mean(0))
            _, size, rows = torch.linalg.svd(of_class - shapes[-1], full_matrices=False)
            moves.append(rows[:6] * size[:6, None] / len(of_class) ** 0.5)
        self.shapes, self.colours = torch.stack(shapes), torch.stack(colours)
        self.moves = torch.stack(moves)

    def forward(self, h: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        shape = self.shapes[y] + torch.einsum("nk,nkp->np", h[:, 3:], self.moves[y])
        colour = (self.colours[y] + 0.14 * h[:, :3]).clamp(0, 1)
        return shape.clamp(0, 1).view(-1, 1, 16, 16) * colour[..., None, None]


known = {"width": 9, "classes": 10}
model = steerable(Generator(), PrincipalDirections.axes(Generator(), **known), **known)
print(model.graph)

# %%
# Strategies
# ----------
# Z1 to Z3, the colour's, are set uniformly within so many standard deviations. A classifier learns
# from each strategy's images alone, and is tried on held-out digits whose colours are random.


def learnt(images: torch.Tensor, labels: torch.Tensor) -> torch.nn.Module:
    source, recipe = learning.LabelledImages(images, labels), learning.Recipe(steps=200)
    return learning.train(learning.SmallCNN(3, 10), source, recipe=recipe, progress=False).network


held_out = scm.datasets.coloured_mnist(digits=digits, part="test", size=16)
fair = scm.datasets.unbiased(held_out, seed=0)
scales = (0.0, 2.0, 4.0, 8.0, 16.0)
strategies = [Strategy(directions=3 if s else 0, scale=s or 1.0, together=3) for s in scales]
found = []
for scale, strategy in zip(scales, strategies, strict=True):
    units = strategy.sample(model, 3_000, seed=0)
    found.append(learning.accuracy(learnt(units["X"], units["Y"]), fair["X"], fair["label"]))
    print(f"within {scale:g} sd: {found[-1]}")

# %%
# What the rule would choose
# --------------------------
# P(x|z) is measured on real images, by the features of a classifier. Here it rewards to stay near
# the data, whether the images that it is asked about have the data's colours or random ones: it
# does not choose the strategy that teaches best. The theorem behind it claims too much, as
# :doc:`the paper's page </papers/genint>` says, which has the table of larger runs.

reader = learnt(seen["X"], labels)
queries = {"colours tied": seen["X"][:400], "colours at random": fair["X"][:400]}
likely = {}
for name, images in queries.items():
    choice = choose(
        strategies,
        model,
        images,
        features=lambda x: learning.features(reader, x),
        n=2_000,
        progress=False,
    )
    likely[name] = [choice.scores[strategy] for strategy in strategies]
    print(f"{name}: within {scales[strategies.index(choice.best)]:g} sd")

figure, (left, middle, right) = plt.subplots(
    1, 3, figsize=(10, 3.2), width_ratios=(5, 3, 3), layout="constrained"
)
board = [s.sample(model, 10, seed=1, labels=torch.arange(10))["X"] for s in strategies]
left.imshow(torch.stack(board).permute(0, 3, 1, 4, 2).reshape(80, 160, 3).numpy())
left.set(xticks=[], yticks=[8 + 16 * k for k in range(5)], yticklabels=[f"{s:g}" for s in scales])
left.set(ylabel="colour set within, sd")
places = range(len(scales))
limits = [1.96 * estimate.stderr for estimate in found]
middle.errorbar(places, [e.value for e in found], limits, fmt="o-", color="black", capsize=3)
middle.set(ylabel="accuracy on random colours", ylim=(0, 1))
for mark, (name, estimates) in zip("os", likely.items(), strict=True):
    fill = "white" if mark == "o" else "black"
    values = [estimate.value for estimate in estimates]
    right.plot(places, values, f"{mark}-", color="black", mfc=fill, label=f"asked: {name}")
right.set(ylabel="log P(x|z)")
right.legend(fontsize=8, loc="lower left", bbox_to_anchor=(-0.1, 1))
for ax in (middle, right):
    ax.set(xticks=places, xticklabels=[f"{s:g}" for s in scales], xlabel="colour set within, sd")
plt.show()
