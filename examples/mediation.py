"""Mediation: by which way does a treatment work?
==============================================

A drug X lowers the blood pressure M, and M the risk Y of a stroke; it also acts on Y by other
ways. Age W bears on everything. How much of the effect goes through M? That question compares two
worlds of one patient: treated, but with the pressure that no treatment would have left.
"""

import matplotlib.pyplot as plt
from torch.distributions import Normal

import scm
from scm.estimators import ate, natural_direct_effect, natural_indirect_effect

model = scm.SCM(
    "W -> X, M, Y; X -> M, Y; M -> Y",
    W=scm.Root.bernoulli(0.4),
    X=scm.Tabular([[0.7, 0.3], [0.3, 0.7]]),
    M=scm.Additive(lambda W, X: 140.0 + 10.0 * W - 12.0 * X, noise=Normal(0.0, 12.0)),
    Y=scm.Additive(lambda W, X, M: 0.1 * M + 3.0 * W - 0.5 * X, noise=Normal(0.0, 1.0)),
)

# %%
# By hand, for the patients of the model
# --------------------------------------
# The pressure of one world is passed into another: the same patients, unit by unit.

patients = model.sample(4_000, seed=0)
untreated = patients.do(X=0)
through = patients.do(X=0, M=patients.do(X=1)["M"])  # untreated, with the treated one's pressure
print(f"through M: {float((through['Y'] - untreated['Y']).mean()):.2f}")

# %%
# From data, with an error
# ------------------------
# A scientist has the patients' rows and the graph. Each estimate is doubly robust: it needs either
# the model of the outcome or that of the treatment to be right.

rows = {name: patients[name] for name in patients}
graph = model.graph
found = {
    "total": ate(rows, outcome="Y", treatment="X", graph=graph, seed=0),
    "direct": natural_direct_effect(rows, graph=graph, seed=0),
    "through M": natural_indirect_effect(rows, graph=graph, seed=0),
}
truth = {"total": -1.7, "direct": -0.5, "through M": -1.2}
for name, effect in found.items():
    print(f"{name}: {effect}, truly {truth[name]}")
treated = rows["Y"][rows["X"] == 1].mean() - rows["Y"][rows["X"] == 0].mean()
print(f"what is seen: {float(treated):.2f}")

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
graph.draw(ax=left)
for place, (name, effect) in enumerate(found.items()):
    right.errorbar(
        effect.value, place, xerr=1.96 * effect.stderr, fmt="o", color="black", capsize=4
    )
    right.plot(truth[name], place, "D", mfc="none", mec="#d1741c", ms=11, mew=2)
right.plot(float(treated), 3, "x", color="black", ms=9)
right.plot([], [], "D", mfc="none", mec="#d1741c", ms=9, mew=2, label="truth")
right.axvline(0, color="0.7")
right.set(yticks=range(4), yticklabels=[*found, "seen"], ylim=(3.6, -0.6), xlim=(-2.2, 1.2))
right.set(xlabel="change of Y, 95 % limits")
right.legend(loc="lower right")
plt.show()
