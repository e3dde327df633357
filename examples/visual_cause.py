"""What in an image is a cause: rows are, columns only go with it
==============================================================

After Chalupka, Perona and Eberhardt (2015), *Visual Causal Feature Learning*. Of nine pixels, a
black row makes a behaviour T likelier. A black column does not, but a hidden cause of T draws
columns too: a predictor of T from images reads both. Two partitions of all 512 images tell them
apart: by P(T | I), what is seen, and by P(T | man(I)), what happens when the image is put there.
"""

import matplotlib.pyplot as plt
import torch

import scm

world = scm.datasets.bars(3)
images = scm.datasets.bar_images(3)
pixels = images.flatten(1)
found = scm.estimators.visual_causes(world, distance=torch.cdist(pixels, pixels, p=1))
print(f"{len(found.observational)} observational classes, {len(found.causal)} causal ones")
print(found.model.graph)

# %%
# Setting a feature of an image
# -----------------------------
# C is now a variable that can be set: `do(C=1)` puts in the nearest image with a row and the same
# columns, S. Its effect on T is that of the row, and S has none.

macro = found.macro_model().exact()
for act in ({"C": 0}, {"C": 1}, {"S": 0}, {"S": 1}):
    seen = float(macro.prob({"T": 1}, given=act))
    done = float(macro.prob({"T": 1}, do=act))
    print(f"{act}: P(T=1) is {seen:.2f} where it is seen, {done:.2f} where it is done")

units = found.model.sample(9, seed=1)
rows = {
    "as it was": units,
    "do(C=1)\na row": units.do(C=1),
    "do(C=0)\nno row": units.do(C=0),
    "do(S=1)\na column": units.do(S=1),
}
figure, axes = plt.subplots(4, 9, figsize=(9, 4.8), layout="constrained")
for (name, drawn), line in zip(rows.items(), axes, strict=True):
    line[0].set_ylabel(name)
    for k, ax in enumerate(line):
        ax.imshow((1 - images[int(drawn["I"][k]), 0]).numpy(), cmap="gray", vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[])
        ax.set_xlabel(f"C={int(drawn['C'][k])} S={int(drawn['S'][k])}", fontsize=8)
plt.show()
