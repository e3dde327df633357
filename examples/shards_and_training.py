"""A data set in shards: made once under interventions, then learnt from
======================================================================

In the digits seen here colour gives the class away, so a classifier that learns from them knows
nothing of shape. The graph of the data says what to do: set the colours at random. `generate`
writes such a data set in shards, whose bytes do not depend on how many workers make them; a
classifier that reads them has to look at the digit.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import torch

import scm
from scm import learning

digits = scm.datasets.digits("digits")
painted = scm.datasets.coloured_mnist("double", digits=digits, size=16)

# %%
# Making it
# ---------
# The colours of object and ground are drawn anew for each unit: the act of this `do` is a
# distribution. It is written as text, which the manifest keeps.

folder = Path(tempfile.mkdtemp()) / "colours-at-random"
law = f"Categorical({', '.join(['0.1'] * 10)})"


def make() -> scm.generation.Manifest:
    return scm.generate(
        painted,
        folder,
        units=6_000,
        do={"foreground": law, "background": law},
        nodes=["X", "label"],
        seed=0,
        shards=3,
        workers=1,
        progress=False,
    )


made = make()
print(f"{made.rows} rows in", *sorted(path.name for path in folder.iterdir()))

# %%
# A shard that is lost is made again, by the same call and to the same bytes.

lost = folder / "shard-000001.tar"
before = lost.read_bytes()
lost.unlink()
make()
print("made again, byte for byte:", lost.read_bytes() == before)

# %%
# Learning from it
# ----------------
# Rows come back as a torch data set. The same network learns from what was observed. Both are tried
# on held-out digits, with colours as in the data and with colours that mean nothing. (In a tenth
# of the latter object and ground have one colour, and nobody could tell the digit.)

rows = [*scm.datasets.Generated(folder)]
images = torch.stack([row["X"] for row in rows])
labels = torch.stack([torch.as_tensor(row["label"]) for row in rows])
seen = scm.datasets.confounded(painted, seed=0)
held_out = scm.datasets.coloured_mnist("double", digits=digits, part="test", size=16)
fair, tied = scm.datasets.unbiased(held_out, seed=0), scm.datasets.confounded(held_out, seed=0)

sources = {
    "observed": learning.LabelledImages(seen["X"], seen["label"]),
    "generated": learning.LabelledImages(images, labels),
}
found = {}
for name, source in sources.items():
    recipe = learning.Recipe(steps=400)
    trained = learning.train(learning.SmallCNN(3, 10), source, recipe=recipe, progress=False)
    found[name] = [
        learning.accuracy(trained.network, part["X"], part["label"]) for part in (tied, fair)
    ]
    print(f"{name}: colours tied {found[name][0]}, colours at random {found[name][1]}")

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
board = torch.cat([part[:30].reshape(3, 10, 3, 16, 16) for part in (seen["X"], images)])
left.imshow(board.permute(0, 3, 1, 4, 2).reshape(96, 160, 3).clamp(0, 1).numpy())
left.set(yticks=[24, 72], yticklabels=["observed", "generated"], xticks=[])
for k, label in enumerate(("colours tied", "colours at random")):
    places = [place + 0.2 * k - 0.1 for place in range(2)]
    values = [estimates[k].value for estimates in found.values()]
    limits = [1.96 * estimates[k].stderr for estimates in found.values()]
    look = {"color": "black", "capsize": 4, "ms": 8, "mfc": ("white", "black")[k]}
    right.errorbar(places, values, limits, fmt="os"[k], label=label, **look)
right.axhline(0.1, color="0.7", ls=":")
right.set(xticks=[0, 1], xticklabels=list(found), xlim=(-0.5, 1.5), ylim=(0, 1.05))
right.set(xlabel="learnt from", ylabel="accuracy on held-out digits")
right.legend(loc="center left")
plt.show()
