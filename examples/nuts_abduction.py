"""Abduction by NUTS: a hidden cause's posterior, against its closed form
=======================================================================

An ability U, which nobody sees, shows in two noisy tests: `A = U + N_A` and
`B = 2 U + 1 + N_B`. Given the marks of some people, what is each one's U? Everything is
linear and normal, so the posterior is known: with precisions 1, 1 / s_A^2 and 4 / s_B^2::

    E[U | a, b] = (a / s_A^2 + 2 (b - 1) / s_B^2) / (1 + 1 / s_A^2 + 4 / s_B^2).

Needs `pip install 'neural-scm[pyro]'`.
"""

import matplotlib.pyplot as plt
import pyro
import torch
from pyro.infer import MCMC, NUTS
from pyro.ops.stats import effective_sample_size
from torch.distributions import Normal

import scm
from scm import Linear, Root

PEOPLE, DRAWS = 5, 500
S_A, S_B = 1.0, 0.5

model = scm.SCM(
    "U -> A, B",
    latent=("U",),
    U=Root.normal(),
    A=Linear({"U": 1.0}, noise=Normal(0.0, S_A)),
    B=Linear({"U": 2.0}, bias=1.0, noise=Normal(0.0, S_B)),
)

people = model.sample(PEOPLE, seed=0)
marks = {"A": people["A"], "B": people["B"]}

precision = 1 + 1 / S_A**2 + 4 / S_B**2
mean = (marks["A"] / S_A**2 + 2 * (marks["B"] - 1) / S_B**2) / precision
sd = precision**-0.5

# %%
# The model as a Pyro program
# ---------------------------
# Its sites are the nodes, so that all of Pyro is there: here NUTS, given the marks.

conditioned = pyro.condition(model.to_pyro(), marks)
with torch.random.fork_rng(devices=[]):
    pyro.set_rng_seed(0)
    mcmc = MCMC(NUTS(conditioned), DRAWS, warmup_steps=100, disable_progbar=True)
    mcmc.run(PEOPLE)
draws = mcmc.get_samples()["U"]
stderr = draws.std(0) / effective_sample_size(draws[None]).sqrt()
# Var of the estimate of a standard deviation of a normal is s^2 / (2 n).
spread = effective_sample_size((draws - draws.mean(0)).square()[None])
stderr_sd = draws.std(0) / (2 * spread).sqrt()

print("person   U      E[U | A, B]                    sd[U | A, B]")
print("                exact   NUTS +- stderr  z      exact   NUTS +- stderr  z")
for i in range(PEOPLE):
    found, error = draws[:, i].mean().item(), stderr[i].item()
    width, error_sd = draws[:, i].std().item(), stderr_sd[i].item()
    print(
        f"{i:6d} {people['U'][i]:6.3f}  {mean[i]:6.3f}  {found:6.3f} +- {error:.3f} "
        f"{(found - mean[i].item()) / error:5.1f}    {sd:.3f}   {width:.3f} +- {error_sd:.3f} "
        f"{(width - sd) / error_sd:5.1f}"
    )

figure, ax = plt.subplots(figsize=(8, 3.6), layout="constrained")
parts = ax.violinplot(draws.numpy(), range(PEOPLE), showextrema=False)
for body in parts["bodies"]:
    body.set(facecolor="0.8", alpha=1)
ax.fill_between([], [], color="0.8", label="NUTS")
ax.errorbar(
    range(PEOPLE), mean, 1.96 * sd, fmt="_", color="black", capsize=4, label="closed form, 95 %"
)
ax.plot(range(PEOPLE), people["U"], "D", color="#d1741c", label="the person's U")
ax.set(xticks=range(PEOPLE), xlabel="person", ylabel="ability U", xlim=(-0.5, 6.2))
ax.legend(loc="center right")
plt.show()
