"""Laws: a simulator that looks right, and its smallest counterexample
====================================================================

Recovery from a dose takes long to compute, so the author keeps what was computed, and forgets that
two calls of one shape may differ. Nothing crashes, and the first numbers look right. The laws of
causality hold for *every* structural causal model, so they can be tried on any: here on one that
breaks some.
"""

import matplotlib.pyplot as plt
import torch
from torch.distributions import Normal

import scm
from scm.testing import check

kept: dict[torch.Size, torch.Tensor] = {}


def course(dose: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """Recovery from a dose; what was computed once for a shape is never computed again."""
    if dose.shape not in kept:
        kept[dose.shape] = torch.tanh(dose)
    return kept[dose.shape] + noise


def made(recovery) -> scm.SCM:
    return scm.SCM(
        "age -> dose; dose -> recovery",
        age=scm.Root.normal(),
        dose=scm.Linear({"age": 0.5}, noise=Normal(0.0, 0.5)),
        recovery=scm.Structural(recovery, noise=Normal(0.0, 0.1)),
    )


# %%
# The laws that apply, tried
# --------------------------

broken = made(course)
report = check(broken, trials=2)
for result in report.failed:
    print(f"{result.law.name}: {result.law.statement}")
    print(f"    {result.counterexample}")

mended = made(lambda dose, noise: torch.tanh(dose) + noise)
print("mended:", bool(check(mended, trials=2)))

# %%
# What it would have done to a study
# ----------------------------------
# One sweep over doses, and the loop that it should equal. The broken model answers with the doses
# that were asked about first, whatever is asked.

doses = torch.linspace(-2, 2, 9)
figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), sharey=True, layout="constrained")
for ax, (name, model) in zip(axes, {"broken": broken, "mended": mended}.items(), strict=True):
    kept.clear()
    patients = model.sample(200, seed=0)
    swept = patients.sweep(dose=doses)["recovery"].mean(1)
    loop = [patients.do(dose=float(dose))["recovery"].mean() for dose in doses]
    ax.plot(doses, swept, "o", mfc="none", ms=9, color="black", label="a sweep")
    ax.plot(doses, loop, "x", color="#d1741c", ms=7, mew=2, label="its loop")
    ax.set(title=name, xlabel="dose is set to")
axes[0].set(ylabel="mean recovery")
axes[0].legend(loc="upper left")
plt.show()
