"""Bounds: a trial in which not everybody does as told
====================================================

Z is what a coin told a patient to take, X what the patient took, Y whether the patient got well.
Who disobeys has reasons, which may bear on Y: the effect of X is not identified. Still it is not
unknown. Each assumption that the graph holds makes the interval narrower.
"""

import matplotlib.pyplot as plt

import scm
from scm.estimators import natural_bounds, sharp_bounds

told = scm.SCM(
    "Z -> X; U -> X, Y; X -> Y",
    latent=["U"],
    Z=scm.Root.bernoulli(0.5),
    U=scm.Root.bernoulli(0.4),
    X=scm.Tabular([[[0.95, 0.05], [0.7, 0.3]], [[0.1, 0.9], [0.3, 0.7]]]),
    Y=scm.Tabular([[[0.7, 0.3], [0.2, 0.8]], [[0.5, 0.5], [0.1, 0.9]]]),
)
print(told)

# %%
# What each assumption buys
# -------------------------

exact = told.exact()
truth = float(exact.prob({"Y": 1}, do={"X": 1}))
seen = exact.observed()
trial = scm.CausalGraph("Z -> X -> Y; X <-> Y")

found = {
    "nothing known": natural_bounds(seen, {"Y": 1}, do={"X": 1}),
    "Z is randomised,\nacts through X alone": sharp_bounds(trial, seen, {"Y": 1}, do={"X": 1}),
}
for name, interval in found.items():
    print(name.replace("\n", " "), interval)

# %%
# From data
# ---------
# With 1,000 patients the ends are estimates, and the interval has confidence limits.

patients = told.sample(1_000, seed=0)
data = {name: patients[name] for name in ("Z", "X", "Y")}
name = "the same,\n1,000 patients"
found[name] = sharp_bounds(trial, data, {"Y": 1}, do={"X": 1}, bootstrap=50, seed=0)
print(found[name])

figure, ax = plt.subplots(figsize=(8, 3), layout="constrained")
for row, interval in enumerate(found.values()):
    if interval.lower_limit is not None:
        ax.plot([interval.lower_limit, interval.upper_limit], [row, row], color="0.6", lw=2, ls=":")
    ax.plot([interval.lower, interval.upper], [row, row], "|-", color="black", lw=3, ms=14)
ax.axvline(truth, color="#d1741c", label=f"truth {truth:.2f}")
ax.set(yticks=range(len(found)), yticklabels=list(found), xlim=(0, 1), ylim=(-0.6, 2.6))
ax.set(xlabel="P(Y = 1 | do(X = 1))")
ax.invert_yaxis()
ax.legend(loc="upper left")
plt.show()
