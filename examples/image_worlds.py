"""Worlds of images: one digit in every colour, on every ground
=============================================================

A data set whose colours go with its classes is a causal graph: a hidden cause ties label, object
and ground. Its unbiased test set is the *same* graph under `do(colour)`, and its counterfactuals
are the same digits. A sweep makes all of them at once, and computes nothing twice.
"""

import matplotlib.pyplot as plt
import torch

import scm

digits = scm.datasets.digits("digits")  # scikit-learn's, 8 by 8
painted = scm.datasets.coloured_mnist("double", digits=digits)
print(painted.graph)

# %%
# What was seen, and what is set
# ------------------------------
# `seen` are all digits of the training set as the graph paints them. The colours of other classes
# are set by `do`; the digit, which no colour causes, is the same bit for bit.

seen = scm.datasets.confounded(painted, seed=0)
other = seen.do(foreground=3)
print("colour and label go together:", bool((seen["foreground"] == seen["label"]).all()))
print("the digits are the same:", bool((other["digit"] == seen["digit"]).all()))

# %%
# A sweep adds a dimension
# ------------------------
# Ten colours of the object, then ten of the ground: 100 worlds of five units. What does not depend
# on a sweep is kept once, which `compact` shows.

units = seen[:250:50]
worlds = units.sweep(foreground=range(10)).sweep(background=range(10))
print("images", tuple(worlds["X"].shape))
for node in ("digit", "foreground_hue", "background_hue", "X"):
    print(f"{node}: {tuple(worlds.compact[node].shape[:3])} of (10, 10, 5) are distinct")

figure, axes = plt.subplots(1, 2, figsize=(9, 4.6), layout="constrained")
board = worlds["X"][:, :, 0].permute(0, 3, 1, 4, 2).reshape(320, 320, 3)
axes[0].imshow(board.clamp(0, 1).numpy())
axes[0].set(title="one unit in 100 worlds", xlabel="ground of class", ylabel="object of class")
ticks = [16 + 32 * k for k in range(10)]
axes[0].set(xticks=ticks, yticks=ticks, xticklabels=range(10), yticklabels=range(10))

shown = [units] + [units.do(foreground=f, background=b) for f, b in ((1, 2), (4, 0), (7, 4))]
strips = [drawn["X"].permute(2, 0, 3, 1).reshape(32, 160, 3) for drawn in shown]
axes[1].imshow(torch.cat(strips).clamp(0, 1).numpy())
names = ["seen", "do(1, 2)", "do(4, 0)", "do(7, 4)"]
axes[1].set(title="five units in four worlds", xticks=[], yticks=ticks[:4], yticklabels=names)
plt.show()
