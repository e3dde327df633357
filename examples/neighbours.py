"""Neighbours and files: one model in pgmpy, dowhy, networkx, and on disk
=======================================================================

A discrete network comes from pgmpy, is asked what pgmpy does not answer, and goes back. Its graph
goes to dowhy, which writes hidden causes as nodes, and comes home. The model is kept in a file of
safetensors and JSON, and is the same bit for bit when it is loaded.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
from pgmpy.factors.discrete import TabularCPD
from pgmpy.models import DiscreteBayesianNetwork

import scm
from scm.neighbours import graphs

# G is a gene, S smoking, T tar in the lungs, C cancer.
network = DiscreteBayesianNetwork([("S", "T"), ("T", "C"), ("G", "C")])
network.add_edge("G", "S")
network.add_cpds(
    TabularCPD("G", 2, [[0.7], [0.3]]),
    TabularCPD("S", 2, [[0.8, 0.3], [0.2, 0.7]], ["G"], [2]),
    TabularCPD("T", 2, [[0.9, 0.15], [0.1, 0.85]], ["S"], [2]),
    TabularCPD("C", 2, [[0.95, 0.8, 0.7, 0.4], [0.05, 0.2, 0.3, 0.6]], ["T", "G"], [2, 2]),
)

# %%
# In, asked, and out
# ------------------

model = scm.from_pgmpy(network)
print(model)
joint = model.exact()
found = {
    word: [float(joint.prob({"C": 1}, **{how: {"S": s}})) for s in (0, 1)]
    for word, how in (("seen", "given"), ("done", "do"))
}
for word, (without, smoking) in found.items():
    print(f"smoking {word}: cancer {smoking:.3f}, and {without:.3f} without")
back = scm.to_pgmpy(model)
print("the same tables:", all(back.get_cpds(n) == network.get_cpds(n) for n in network.nodes))

# %%
# Nobody measures the gene
# ------------------------
# The graph that a scientist has leaves it out. As dowhy wants it, the hidden cause is a node again.

measured = scm.CausalGraph(model.graph, latent=["G"]).latent_projection()
print(measured)
print(measured.identify("C", do="S"))
there = graphs.to_dowhy(measured)
print("for dowhy:", sorted(there.edges))
print("and home:", graphs.from_dowhy(there))

# %%
# A file
# ------

path = Path(tempfile.mkdtemp()) / "network.scm"
model.save(path)
again = scm.load(path)
one, other = (m.sample(1_000, seed=0) for m in (model, again))
print(f"{path.stat().st_size} bytes; the same units:", all((one[n] == other[n]).all() for n in one))

figure, axes = plt.subplots(1, 3, figsize=(10, 3), layout="constrained")
model.graph.draw(ax=axes[0])
axes[0].set_title("from pgmpy")
measured.draw(ax=axes[1])
axes[1].set_title("the gene is not measured")
for mark, (word, chances) in zip("os", found.items(), strict=True):
    axes[2].plot([0, 1], chances, f"{mark}:", color="black", ms=7, label=word)
axes[2].set(xticks=[0, 1], xticklabels=["no smoking", "smoking"], xlim=(-0.4, 1.4), ylim=(0, 0.5))
axes[2].set(ylabel="P(cancer)")
axes[2].legend(loc="upper left")
plt.show()
