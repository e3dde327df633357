"""GenInt: bounds under a randomised nuisance, and what does not follow
====================================================================

After Mao, Cha, Gupta, Wang, Yang and Vondrick (2021), *Generative Interventions for Causal
Learning*. In an image X a nuisance Z (viewpoint, background) goes with the class Y through a
hidden cause C. Where Z is set at random, the effect of X on Y has bounds of width 1 - P(x|z): an
intervention that makes x likely tells much. The paper says more: that a larger P(x|z) gives an
interval *inside* the other one. X is a collider, so that is no law. Here is how often it fails.
"""

import matplotlib.pyplot as plt
import torch

import scm
from scm.estimators import compare_strategies, intervention_bounds

GRAPH = scm.CausalGraph("C -> U, Y; Z, U -> X; X -> Y", latent=["C", "U"])
source = torch.Generator().manual_seed(0)


def drawn() -> scm.SCM:
    """A random binary model of figure 4c, with Z randomised."""

    def table(*parents: int) -> scm.Tabular:
        one = torch.rand(parents, generator=source, dtype=torch.float64)
        return scm.Tabular(torch.stack([1 - one, one], -1))

    return scm.SCM(GRAPH, C=table(), U=table(2), Z=table(), X=table(2, 2), Y=table(2, 2))


# %%
# Two interventions, z = 0 and z = 1, in 300 random models
# --------------------------------------------------------

outcome, act = {"Y": 1}, {"X": 1}
compared, effects = [], []
for _ in range(300):
    joint = drawn().exact()
    each = [intervention_bounds(joint, outcome, do=act, z={"Z": z}) for z in (0, 1)]
    narrow, wide = sorted(each, key=lambda interval: interval.width)
    compared.append((narrow, wide))
    effects.append(float(joint.prob(outcome, do=act)))

held = sum(e in narrow and e in wide for e, (narrow, wide) in zip(effects, compared, strict=True))
inside = [wide.lower <= n.lower and n.upper <= wide.upper for n, wide in compared]
print(f"the effect lies in both intervals in {held} of 300 models")
print(f"the narrower interval lies inside the wider one in {sum(inside)} of 300")

# %%
# The library's comparison says which of the two a pair is.

first = next(pair for pair, within in zip(compared, inside, strict=True) if not within)
print(compare_strategies(*first))

figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharex=True, layout="constrained")
for ax, wanted, title in zip(axes, (True, False), ("nested", "not nested"), strict=True):
    chosen = [k for k, within in enumerate(inside) if within is wanted][:12]
    for row, k in enumerate(chosen):
        narrow, wide = compared[k]
        ax.plot([wide.lower, wide.upper], [row] * 2, color="0.75", lw=6, solid_capstyle="butt")
        ax.plot([narrow.lower, narrow.upper], [row] * 2, color="black", lw=2)
        ax.plot(effects[k], row, "D", color="#d1741c", ms=5)
    ax.set(title=f"{title}: {inside.count(wanted)} of 300", xlabel="P(Y = 1 | do(X = 1))")
    ax.set(yticks=[], xlim=(0, 1))
axes[0].plot([], [], color="0.75", lw=6, label="smaller P(x|z)")
axes[0].plot([], [], color="black", lw=2, label="larger P(x|z)")
axes[0].plot([], [], "D", color="#d1741c", ms=5, label="the effect")
figure.legend(loc="outside lower center", ncols=3)
plt.show()
