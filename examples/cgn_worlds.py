"""CGN: the shape of one digit, the colours of others
===================================================

After Sauer and Geiger (2021), *Counterfactual Generative Networks*. In the data every digit class
has its own colour and its own background: shape, object and ground cannot be told apart by a
classifier. A CGN is a structural causal model with a mechanism for each, so the three labels can
be set apart. This one learns from scikit-learn's small digits, for seconds: a look, in which shapes
are blobs still, not a result.
"""

import matplotlib.pyplot as plt
import torch

import scm

digits = scm.datasets.digits("digits")
painted = scm.datasets.coloured_mnist("double", digits=digits)
seen = scm.datasets.confounded(painted, seed=0)
print(painted.graph)

# %%
# Training
# --------
# `watch_from=1` leaves the masks unwatched: a run this short may not have found good ones.

cgn = scm.learning.cgn.train_cgn(
    seen["X"], seen["label"], "double", steps=150, watch_from=1, progress=False
)
print(cgn.graph)

# %%
# A thousand worlds from thirty passes
# ------------------------------------
# Ten units, one of each class, are abducted: their own noise is found. Then shape, object and
# ground take every label, `(10, 10, 10, units)` images, and each network runs ten times.

first = [int((seen["label"] == k).nonzero()[0]) for k in range(10)]
units = cgn.abduct({"X": seen["X"][first], "Y": seen["label"][first]}, seed=0)
worlds = units.sweep(Y1=range(10)).sweep(Y2=range(10)).sweep(Y3=range(10))
print(tuple(worlds["X"].shape), {node: how for node, how in worlds.status.items() if node != "X"})

rows = [("observed", seen["X"][first])]
rows += [
    (f"object of {k},\nground of {j}", units.do(Y2=k, Y3=j)["X"])
    for k, j in ((1, 2), (4, 0), (6, 6), (8, 3))
]
figure, axes = plt.subplots(len(rows), 10, figsize=(9, 4.9), layout="constrained")
for (name, images), line in zip(rows, axes, strict=True):
    line[0].set_ylabel(name, fontsize=8, rotation=0, ha="right", va="center")
    for image, ax in zip(torch.as_tensor(images).clamp(0, 1), line, strict=True):
        ax.imshow(image.permute(1, 2, 0).numpy())
        ax.set(xticks=[], yticks=[])
plt.show()
