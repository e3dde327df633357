"""A manipulator: change as little of an image as changes its effect
==================================================================

A neuron T fires where an image has a black row. Nobody told the learner: it has images, what was
observed, and a few experiments. It learns the *visual cause*, which images cause what, and then
a manipulator, the nearest image with another effect. Bound to the graph that is a writer, so
`do(C=c)` acts on pixels.
"""

import matplotlib.pyplot as plt

import scm
from scm.interventions import Manipulator
from scm.learning import Simulator, learn_causes

world = scm.datasets.gratings()
seen = world.sample(5_000, seed=0)
print(world.graph)

# %%
# From what is seen to what is a cause
# ------------------------------------
# Images with a row and those with a column both go with T. One experiment for each class of what
# was observed tells them apart: `man(I=i)`, and look at T.

asked = Simulator(world, trials=30)
causes = learn_causes(seen["I"], seen["T"], asked, progress=False)
fresh = world.sample(2_000, seed=1)["I"]
cells = causes.values[:, 1]  # P(T = 1 | man(I)) of each class
right = causes.cause(fresh) == scm.datasets.has_row(fresh).long()
print(f"{len(cells)} classes, P(T=1 | man(I)) = {[round(float(p), 2) for p in cells]}")
print(f"class of {float(right.double().mean()):.1%} of new images right")

# %%
# The nearest image with another effect
# -------------------------------------
# Networks that read images are fooled by noise that no eye sees, so the manipulator asks about what
# it made and learns from the answers, in rounds. `keep` asks it to leave columns alone: they go
# with T, and are no cause.

writer = Manipulator.fit(
    seen["I"],
    causes.classes,
    asked,
    classes=cells.tolist(),
    values="binary",
    keep=scm.datasets.has_column,
    rounds=3,
    queries=60,
    progress=False,
)
for number, each in enumerate(writer.history, 1):
    print(f"round {number}: error {each.error}")

# %%
# A writer makes the feature a variable
# -------------------------------------
# Whether the writing worked is read back, image by image, by a reader of pixels that was not
# trained.

model = world.replace(C=writer.macro(keeps=("S",)))
units = model.sample(400, seed=2)
acts = {"as it was": units, "do(C=1)": units.do(C=1), "do(C=0)": units.do(C=0)}
for name, drawn in acts.items():
    row = float(scm.datasets.has_row(drawn["I"]).double().mean())
    print(f"{name}: a row in {row:.0%} of images, T = 1 in {float(drawn['T'].double().mean()):.0%}")

figure, axes = plt.subplots(3, 9, figsize=(9, 3.5), layout="constrained")
for (name, drawn), line in zip(acts.items(), axes, strict=True):
    line[0].set_ylabel(name)
    for k, ax in enumerate(line):
        before, after = units["I"][k, 0], drawn["I"][k, 0]
        ax.imshow((1 - after).numpy(), cmap="gray", vmin=0, vmax=1)
        for y, x in (before != after).nonzero().tolist():
            ax.plot(x, y, "o", ms=4, color="#d1741c")
        ax.set(xticks=[], yticks=[])
figure.supxlabel("dots: pixels that the manipulator changed", fontsize=9)
plt.show()
