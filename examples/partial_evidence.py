"""Abduction: what a person's past says of what would have been
=============================================================

A hidden talent H helps in training X and in wages Y, and training pays more for the talented. Ada
trained little and earns well: what would she have earned with more training? Her talent is not
seen, but her past is evidence for it. So the answer is a distribution: narrower than anybody's,
and in another place.
"""

import matplotlib.pyplot as plt
import torch
from torch.distributions import Normal

import scm

model = scm.SCM(
    "H -> X, Y; X -> Y",
    latent=["H"],
    H=scm.Root.normal(),
    X=scm.Additive(lambda H: H, noise=Normal(0.0, 1.0)),
    Y=scm.Additive(lambda H, X: (2.0 + X) * H + X, noise=Normal(0.0, 0.5)),
)

# %%
# Two questions
# -------------
# Anybody's wages at X = 1 are an intervention. Ada's own are a counterfactual: talents are drawn
# and weighed by her past, and in each draw her luck is what makes her wages what they are.

ada = {"X": torch.tensor([-1.0]), "Y": torch.tensor([1.5])}
draws = model.abduct(ada, method="importance", draws=50_000, seed=0)
weights = draws.log_weights.exp()[:, 0]
then = draws.do(X=1.0)
hers = then["Y"][:, 0]
anybodys = model.do(X=1.0).sample(50_000, seed=0)["Y"]
print(then.status)

mean = float((weights * hers).sum())
sd = float((weights * (hers - mean) ** 2).sum()) ** 0.5
print(f"Ada's wages, had X been 1: {mean:.2f}, sd {sd:.2f}")
print(f"anybody's under do(X=1): {float(anybodys.mean()):.2f}, sd {float(anybodys.std()):.2f}")

# %%
# The same in closed form
# -----------------------
# All is linear in H, so the posterior is normal. Precisions: 1 of the prior, 1 of X, and 4 of Y,
# since Y - X = H + N(0, 0.5^2) at X = -1. Her luck is 2.5 - H, so Y = 3 H + 1 + 2.5 - H.

talent = Normal((1 * -1.0 + 4 * 2.5) / 6, 6**-0.5)
wages = Normal(2 * talent.mean + 3.5, 2 * talent.stddev)
print(f"closed form: {float(wages.mean):.2f}, sd {float(wages.stddev):.2f}")

figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
panels = (
    (draws["H"][:, 0], talent, Normal(0.0, 1.0), (-3, 4), "talent H"),
    (hers, wages, Normal(1.0, 9.25**0.5), (-8, 12), "wages Y, had X been 1"),
)
for ax, (values, hers_exactly, anybody, ends, label) in zip(axes, panels, strict=True):
    grid = torch.linspace(*ends, 300)
    ax.hist(
        values, 80, range=ends, weights=weights, density=True, color="0.8", label="Ada, weighed"
    )
    ax.plot(grid, hers_exactly.log_prob(grid).exp(), color="black", label="Ada, closed form")
    ax.plot(grid, anybody.log_prob(grid).exp(), "--", color="black", label="anybody")
    ax.set(xlabel=label, yticks=[])
axes[0].legend(loc="upper left")
plt.show()
