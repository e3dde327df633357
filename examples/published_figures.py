"""The CGN tables: a paper, its reproduction, and this library
============================================================

*[Re] Counterfactual Generative Networks* ran the paper's code again. This picture sets its figures
beside the paper's and those of the last full run here, `scm reproduce cgn-mnist`, as they stand in
`benchmarks/papers/cgn-mnist/results.json`.
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt

import scm

folder = Path(scm.__file__).parents[1] / "benchmarks" / "papers" / "cgn-mnist"
results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
rows = {r["row"]: r for r in results["rows"] if r["metric"] == "unbiased t10k accuracy, %"}
ROWS = {
    "original": "the confounded images",
    "original + GAN, 1:1": "... and a GAN's",
    "counterfactuals only, noise from the prior": "counterfactuals, noise drawn",
    "counterfactuals only, noise abducted": "counterfactuals, noise abducted",
    "ceiling: own do(colour) images": "ceiling: the data's own do(colour)",
}

# %%
# A dot where there is no bar: a figure that was not published, or not run.

kinds = ("coloured", "double-coloured", "Wildlife")
figure, axes = plt.subplots(1, 3, figsize=(9.5, 3.7), sharey=True, layout="constrained")
for ax, kind in zip(axes, kinds, strict=True):
    for place, name in enumerate(ROWS):
        row = rows.get(f"{kind}: {name}", {})
        for key, mark, label in (
            ("paper", "o", "paper"),
            ("reproduced", "s", "its reproduction"),
            ("mean", "D", "here"),
        ):
            if row.get(key) is not None:
                fill = "black" if key == "mean" else "none"
                ax.plot(
                    row[key],
                    place,
                    mark,
                    color="black",
                    mfc=fill,
                    ms=7,
                    label=label if name == "original" else None,
                )
    ax.axvline(10, color="0.7", ls=":")
    ax.set(title=kind, xlabel="accuracy, %", xlim=(0, 100))
axes[0].set(yticks=range(len(ROWS)), yticklabels=list(ROWS.values()))
axes[0].invert_yaxis()
figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
print(f"{results['command']}: seeds {sorted({s for r in rows.values() for s in r['seeds']})}")
plt.show()
