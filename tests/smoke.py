"""Whether an installed distribution works: run by a Python that has it, away from the checkout.

python smoke.py neural_scm-0.1.0.tar.gz         # core alone: extras are refused by name
python smoke.py 'neural_scm-0.1.0.tar.gz[all]'  # every module can be imported
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import pkgutil
import subprocess
import sys
import tempfile
from pathlib import Path

EXTRAS = ("matplotlib", "pandas", "sklearn", "pyro", "pgmpy", "pyarrow", "ray", "torchvision")


def check_answers() -> None:
    """Declare, intervene, ask and save."""
    import torch

    import scm

    model = scm.SCM(
        "C -> X, Y; X -> Y",
        C=scm.Tabular([0.5, 0.5]),
        X=scm.Tabular([[0.9, 0.1], [0.2, 0.8]]),
        Y=scm.Tabular([[[0.8, 0.2], [0.5, 0.5]], [[0.4, 0.6], [0.1, 0.9]]]),
    )
    units = model.sample(1_000, seed=0)
    assert torch.equal(units.do(X=1)["C"], units["C"])
    assert abs(float(model.exact().prob({"Y": 1}, do={"X": 1})) - 0.7) < 1e-9
    assert str(model.graph.identify("Y", do="X").query) == "P(Y | do(X))"
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "model.scm")
        again = scm.load(Path(folder) / "model.scm")
    assert torch.equal(again.sample(1_000, seed=0)["Y"], units["Y"])
    assert bool(scm.testing.check(model, laws=["effectiveness", "consistency"], trials=2))


def check_files() -> None:
    """Files that are no modules came along, and the type marker."""
    import scm

    home = Path(scm.__file__).parent
    for name in ("py.typed", "discovery/report.css"):
        assert (home / name).is_file(), f"{name} was not installed"
    assert scm.__version__ == importlib.metadata.version("neural-scm")


def check_command() -> None:
    """The command stands beside the interpreter, and says its version."""
    import scm

    command = Path(sys.executable).with_name("scm")
    done = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"scm {scm.__version__}\n"


def check_core() -> None:
    """No extra is there, and what needs one says which."""
    import scm

    present = [name for name in EXTRAS if importlib.util.find_spec(name)]
    assert not present, f"the core dependencies brought in {', '.join(present)}"
    for needed in (scm.CausalGraph("A -> B").draw, lambda: scm.to_pgmpy(None)):
        said = ""
        try:
            needed()
        except scm.ScmError as error:
            said = str(error)
        assert "pip install 'neural-scm[" in said, said


def check_modules() -> None:
    """Every module can be imported, but for the one that needs Hypothesis."""
    import scm

    for module in pkgutil.walk_packages(scm.__path__, "scm."):
        if module.name != "scm.testing.strategies":
            importlib.import_module(module.name)


if __name__ == "__main__":
    check_files()
    check_answers()
    check_command()
    if not sys.argv[1].endswith("[all]"):
        check_core()
    check_modules()
    print(f"{sys.argv[1]} works")
