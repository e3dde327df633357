"""A first model: what was seen, what is done, what would have been
================================================================

A hidden talent C raises both training X and wages Y. Those who train more earn more, and part of
that is talent. The model knows which part: it can be asked what is *seen*, what happens when
training is *set*, and what each person *would have* earned.
"""

import matplotlib.pyplot as plt
import torch
from torch.distributions import Normal

import scm

model = scm.SCM(
    "C -> X, Y; X -> Y",
    latent=["C"],
    C=scm.Root.normal(),
    X=scm.Additive(lambda C: 1.2 * C, noise=Normal(0.0, 0.7)),
    Y=scm.Additive(lambda C, X: 1.5 * C + 0.5 * X, noise=Normal(0.0, 0.5)),
)
print(model)

# %%
# Seen and done
# -------------
# The slope of what is seen mixes two things. The sweep sets X to nine values, in nine worlds of
# the same 2,000 people, and shows the effect alone.

people = model.sample(2_000, seed=0)
levels = torch.linspace(-3, 3, 9)
worlds = people.sweep(X=levels)["Y"]  # (9, 2000)

x, y = people["X"], people["Y"]
seen = ((x - x.mean()) * (y - y.mean())).mean() / x.var(correction=0)
done = (worlds[-1] - worlds[0]).mean() / (levels[-1] - levels[0])
print(f"slope of what is seen {seen:.2f}, of what is done {done:.2f} (true: 0.50)")

# %%
# Would have been
# ---------------
# An arrow is one person: from what was, to what would have been had X been 2. The person's talent
# and luck are kept, so those who were lucky stay lucky.

few = people[:12]
then = few.do(X=2.0)

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), sharey=True, layout="constrained")
left.plot(x, y, ".", ms=2, color="0.6")
left.plot(levels, seen * levels, "--", color="black", label=f"seen: {seen:.2f}")
left.plot(levels, worlds.mean(1), "o-", color="#1f5f8b", label=f"done: {done:.2f}")
left.set(xlabel="X", ylabel="Y", title="2,000 people")
left.legend(loc="upper left")
for a, b, c in zip(few["X"], few["Y"], then["Y"], strict=True):
    right.annotate("", (2.0, c), (a, b), arrowprops={"arrowstyle": "->", "color": "0.6"})
right.plot(few["X"], few["Y"], "o", color="black", label="as it was")
right.plot(then["X"], then["Y"], "s", color="#d1741c", label="had X been 2")
right.set(xlabel="X", title="twelve of them")
right.legend(loc="upper left")
plt.show()
