"""A mechanism learnt from data: a flow, asked under interventions
================================================================

The graph is known, the mechanisms are not, and Y's law is no bell: it has two humps whose distance
grows with X. A conditional flow learns P(Y | X, W) from rows. Bound to the graph it answers what
the rows do not show: Y's law where X is *set*, and what each row would have been.
"""

import matplotlib.pyplot as plt
import torch
from torch.distributions import Normal

import scm

graph = scm.CausalGraph("W -> X, Y; X -> Y")
truth = scm.SCM(
    graph,
    W=scm.Root.normal(),
    X=scm.Linear({"W": 1.0}, noise=Normal(0.0, 0.7)),
    Y=scm.Structural(
        lambda W, X, noise: W + (1.0 + 0.5 * torch.tanh(X)) * noise.sign() + 0.4 * noise,
        noise=Normal(0.0, 1.0),
    ),
)
rows = truth.sample(4_000, seed=0)

# %%
# Learning
# --------
# Two nodes have closed forms; the flow is trained.

model = scm.SCM(
    graph, W=scm.Root.normal(), X=scm.Linear(), Y=scm.Flow(transforms=2, hidden=(32, 32))
)
model.fit({name: rows[name] for name in rows}, epochs=40, lr=3e-3, seed=0)
print(model)

# %%
# Set, not seen
# -------------
# Where X is seen to be 1.5, W is likely to be large, and moves Y along. Where X is set to 1.5, W is
# anybody's.

acts = {x: model.do(X=x).sample(20_000, seed=1)["Y"] for x in (-1.5, 1.5)}
true = {x: truth.do(X=x).sample(20_000, seed=2)["Y"] for x in (-1.5, 1.5)}
near = {x: rows["Y"][(rows["X"] - x).abs() < 0.3] for x in (-1.5, 1.5)}
for x in acts:
    print(
        f"X = {x:+}: mean of Y where it is set {float(acts[x].mean()):+.2f} "
        f"(truly {float(true[x].mean()):+.2f}), where it is seen {float(near[x].mean()):+.2f}"
    )

# %%
# What would have been
# --------------------
# A flow is invertible in its noise, so the abduction is exact for the learnt model, and each row
# has one counterfactual. The truth's is beside it: most agree, but the flow blurs the gap between
# the humps, and puts a few rows from there on the other side.

few = rows[:400]
learnt = model.abduct({name: few[name] for name in few}).do(X=1.5)["Y"]
real = few.do(X=1.5)["Y"]
distance = (learnt - real).abs()
print(
    f"distance: median {float(distance.median()):.2f}, above 1 in {int((distance > 1).sum())} rows"
)

figure, axes = plt.subplots(1, 3, figsize=(10, 3.4), layout="constrained")
for ax, x in zip(axes, acts, strict=False):
    bins = torch.linspace(-5, 5, 61)
    ax.hist(true[x], bins, density=True, color="0.85", label="set, truth")
    ax.hist(acts[x], bins, density=True, histtype="step", color="black", label="set, flow")
    ax.hist(near[x], bins, density=True, histtype="step", ls=":", color="#d1741c", label="seen")
    ax.set(title=f"X = {x}", xlabel="Y", yticks=[])
axes[0].legend(loc="upper right", fontsize=8)
axes[2].plot(real, learnt, ".", ms=4, color="black")
axes[2].plot([-5, 5], [-5, 5], color="0.7", zorder=0)
axes[2].set(title="400 rows, had X been 1.5", xlabel="truly", ylabel="by the flow", box_aspect=1)
plt.show()
