"""CAGE: a score of direction that follows the heads, and a verdict that does not
==============================================================================

CAGE asks a generator for causal direction by moving its latent along the normal of a linear head:
delta-tau > 0 is read as "c causes e". With linear heads and a normal prior that score is a
function of five numbers of the two heads: how steep each is, each bias, and their angle. Noisier
labels make a head flatter. So noise in the *labels* turns the arrow.
"""

import matplotlib.pyplot as plt
import torch

from scm.discovery import Attribute, Steepness, direction
from scm.mechanisms import LatentGenerator, Real


def made(z: torch.Tensor) -> torch.Tensor:
    """Two numbers, c and e := c + c^3 / 2 + noise: c is the cause."""
    c = z[:, 0]
    return torch.stack([c, c + 0.5 * c**3 + z[:, 1]], 1)


generator = LatentGenerator(made, 2, Real((2,)))
z = generator.draw(4_000, seed=0)
x = generator.generate(z)
source = torch.Generator().manual_seed(1)


def head(name: str, column: int, flipped: float) -> Attribute:
    """A linear head of the latent, of labels of which a share is wrong."""
    labels = x[:, column] > 0
    wrong = torch.rand(len(labels), generator=source) < flipped
    return Attribute.from_labels(name, generator, labels ^ wrong, latents=z)


# %%
# One generator, two sets of labels
# ---------------------------------

alphas = torch.linspace(0.1, 4, 40)
curves = {}
for name, noise in (("labels of the effect are noisy", (0, 0.2)), ("of the cause", (0.2, 0))):
    c, e = head("c", 0, noise[0]), head("e", 1, noise[1])
    heads = Steepness.of(c, e)
    curves[name] = [heads.delta_tau(float(alpha)) for alpha in alphas]
    print(f"{name}: {heads}; delta-tau at 1 is {heads.delta_tau(1.0):+.3f}")

# %%
# What the library says by default
# --------------------------------
# The audit reads attributes off the data and earns an arrow from p(c, e) alone, under a declared
# assumption: additive noise, and no hidden common cause.

measured = [Attribute.from_measure(n, lambda x, k=k: x[:, k]) for k, n in enumerate("ce")]
found = direction(
    generator,
    *measured,
    moved=100,
    gauges=0,
    diagnosis=False,
    progress=False,
)
print(found)

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
left.plot(x[:1000, 0], x[:1000, 1], ".", ms=3, color="0.4")
left.set(xlabel="c", ylabel="e", xlim=(-3, 3), ylim=(-10, 10), title=f"verdict: {found.words}")
for (name, curve), style in zip(curves.items(), ("-", "--"), strict=True):
    right.plot(alphas, curve, style, color="black", label=name)
right.axhline(0, color="0.7")
right.set(xlabel="alpha", ylabel="delta-tau", title="c causes e in both", ylim=(-0.5, 0.6))
right.legend(loc="upper left")
plt.show()
