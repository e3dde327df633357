"""Front door: an effect behind a hidden common cause
==================================================

A hidden cause raises both smoking X and cancer Y, so their association is no effect. But smoking
acts through tar M alone, and nothing hidden touches M. Then the effect can be computed from what
is seen; the graph says how, and the data give the number with its error.
"""

import matplotlib.pyplot as plt

import scm

graph = scm.CausalGraph("X -> M -> Y; X <-> Y")
estimand = graph.identify("Y", do="X")
print(estimand)

# %%
# The truth, which only this script knows: the hidden cause has a name in it.

truth = scm.SCM(
    "U -> X, Y; X -> M -> Y",
    latent=["U"],
    U=scm.Root.bernoulli(0.5),
    X=scm.Tabular([[0.85, 0.15], [0.2, 0.8]]),
    M=scm.Tabular([[0.9, 0.1], [0.2, 0.8]]),
    Y=scm.Tabular([[[0.9, 0.1], [0.7, 0.3]], [[0.5, 0.5], [0.25, 0.75]]]),
)
exact = truth.exact()
effects = [float(exact.prob({"Y": 1}, do={"X": x})) for x in (0, 1)]
seen = [float(exact.prob({"Y": 1}, given={"X": x})) for x in (0, 1)]

# %%
# A scientist sees X, M and Y of 5,000 people. The bootstrap gives the standard error.

people = truth.sample(5_000, seed=0)
data = {name: people[name] for name in ("X", "M", "Y")}
table = estimand.evaluate(data, bootstrap=200, seed=0)
found = [float(table.prob({"Y": 1}, do={"X": x})) for x in (0, 1)]
errors = [table.stderr_of({"Y": 1}, do={"X": x}) for x in (0, 1)]
for x in (0, 1):
    print(f"P(Y=1 | do(X={x})): {found[x]:.3f} +- {errors[x]:.3f}, truly {effects[x]:.3f}")

# %%
# Without M there is no formula, and the library says so rather than give a number.

try:
    scm.CausalGraph("X -> Y; X <-> Y").identify("Y", do="X")
except scm.NotIdentifiedError as error:
    print(error)

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
graph.draw(ax=left)
place = [0, 1]
right.bar([p - 0.2 for p in place], seen, 0.38, color="0.8", edgecolor="black", label="seen")
right.errorbar(
    [p + 0.2 for p in place],
    found,
    [2 * e for e in errors],
    fmt="o",
    color="black",
    capsize=4,
    label="front door, 2 se",
)
for p, effect in zip(place, effects, strict=True):
    right.hlines(effect, p, p + 0.4, color="#d1741c", lw=2, label="truth" if p == 0 else None)
right.set(xticks=place, xticklabels=["X = 0", "X = 1"], ylabel="P(Y = 1)", ylim=(0, 0.8))
right.legend(loc="upper left")
plt.show()
