"""What no experiment tells: would this patient have got well anyway?
===================================================================

In a trial half are treated. Of the treated 70 % get well, of the others 40 %. One patient was
treated and is well: thanks to the treatment? A trial shows one world of each patient, and the
question is about two. So models that agree on every experiment may differ here, and an honest
answer is an interval.
"""

import matplotlib.pyplot as plt

import scm
from scm.estimators import counterfactual_bounds, probability_of_necessity

TYPES = {"never well": (0, 0), "helped": (0, 1), "harmed": (1, 0), "always well": (1, 1)}


def trial(harmed: float) -> scm.SCM:
    """Patients of four types, with 70 % well if treated and 40 % if not, whoever is harmed."""
    always = 0.4 - harmed
    helped = 0.7 - always
    shares = [1 - helped - harmed - always, helped, harmed, always]
    return scm.SCM(
        "type, X -> Y",
        latent=["type"],
        type=scm.Tabular(shares, levels=list(TYPES)),
        X=scm.Root.bernoulli(0.5),
        Y=scm.Tabular([[[1 - well[x], well[x]] for x in (0, 1)] for well in TYPES.values()]),
    )


# %%
# The same experiments, other answers
# -----------------------------------

answers = {}
for harmed in (0.0, 0.15, 0.3):
    model = trial(harmed)
    exact = model.exact()
    well = [float(exact.prob({"Y": 1}, do={"X": x})) for x in (0, 1)]
    answers[harmed] = probability_of_necessity(model)
    print(
        f"harmed {harmed:.0%}: well {well[0]:.0%} untreated, {well[1]:.0%} treated; "
        f"owed to the treatment: {answers[harmed]}"
    )

# %%
# All answers that there are
# --------------------------
# The interval is sharp: for each end there is a model with these data that attains it. If nobody
# is harmed, and only then, the answer is a number, the lower end, and can be had from data.

chance = scm.SCM("X -> Y", X=scm.Root.bernoulli(0.5), Y=scm.Tabular([[0.6, 0.4], [0.3, 0.7]]))
query = {"outcome": {"Y": 0}, "do": {"X": 0}, "given": {"X": 1, "Y": 1}}
bounds = counterfactual_bounds(chance.exact(), **query)
print(bounds)

patients = chance.sample(1_000, seed=0)
data = {name: patients[name] for name in "XY"}
graph = scm.CausalGraph("X -> Y")
estimated = probability_of_necessity(data, graph=graph, monotone=True, seed=0)
print(f"from 1,000 patients, if nobody is harmed: {estimated}")

# %%
# Another trial would say more
# ----------------------------
# Where few of the untreated get well, the interval is short.

rates = [k / 20 for k in range(15)]
found = []
for rate in rates:
    table = scm.Tabular([[1 - rate, rate], [0.3, 0.7]])
    other = scm.SCM("X -> Y", X=scm.Root.bernoulli(0.5), Y=table)
    found.append(counterfactual_bounds(other.exact(), **query))

figure, ax = plt.subplots(figsize=(7, 3.8), layout="constrained")
low, high = [b.lower for b in found], [b.upper for b in found]
ax.fill_between(rates, low, high, color="0.88", label="all that is possible")
for mark, (harmed, estimate) in zip("os^", answers.items(), strict=True):
    ax.plot(0.4, estimate.value, mark, color="black", ms=8, label=f"{harmed:.0%} are harmed")
ax.errorbar(
    0.42,
    estimated.value,
    1.96 * estimated.stderr,
    fmt="_",
    color="#d1741c",
    capsize=4,
    label="1,000 patients, nobody harmed",
)
ax.set(xlabel="share of the untreated who get well", ylabel="owed to the treatment", ylim=(0, 1.05))
ax.legend(loc="lower left")
plt.show()
