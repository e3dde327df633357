# After a clone, `make demo` and `make test` do all the set-up: each makes .venv once and
# installs again only when pyproject.toml or constraints.txt changes.

VENV := .venv
BIN  := $(VENV)/bin
ARGS :=

# Which Python makes .venv: `make test PYTHON=/path/to/python3.12`, or the first that suits.
CANDIDATES = $(or $(PYTHON),python3.11 python3.12 python3.13 python3 python)
SUITS = import sys, ensurepip, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench docs wheel wheel-check clean

help:  ## show this list
	@awk -F ':.*## *' '/^[a-z-]+:.*##/ { printf "  make %-11s  %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.demo  ## run the demonstration, `scm demo` (ARGS="..." are passed on)
	$(BIN)/scm demo $(ARGS)

test: $(VENV)/.test  ## run the tests (ARGS="-k graph" are passed on to pytest)
	$(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/.test  ## check style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.bench  ## measure the speed against other libraries
	@set -e; for script in $(wildcard benchmarks/speed/[a-z]*.py); do \
		echo "== $$script"; $(BIN)/python $$script $(ARGS); \
	done

docs: $(VENV)/.docs  ## build the site into docs/_build, warnings as errors
	$(BIN)/python -m sphinx -b html -W --keep-going docs docs/_build $(ARGS)

wheel: $(VENV)/.wheel  ## build the sdist, and the wheel from it, into dist/
	rm -rf dist
	$(BIN)/python -m build

wheel-check: wheel  ## install each into a fresh environment, core then [all], and try it
	@set -e; for file in dist/*.whl dist/*.tar.gz; do \
		rm -rf build/check; $(BIN)/python -m venv build/check; \
		for extra in "" "[all]"; do \
			build/check/bin/python -m pip install -q -c constraints.txt "$$file$$extra"; \
			(cd build && check/bin/python ../tests/smoke.py "$$file$$extra"); \
		done; \
	done

clean:  ## remove .venv, builds and caches
	rm -rf $(VENV) build dist *.egg-info .hypothesis .*_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.made:
	@for python in $(CANDIDATES); do \
		if "$$python" -c '$(SUITS)' 2>/dev/null; then \
			echo "making $(VENV) with $$python"; \
			"$$python" -m venv $(VENV) && touch $@; exit; \
		fi; \
	done; \
	echo "scm needs Python 3.11, 3.12 or 3.13 with its venv module; none of these is one:" \
		"$(CANDIDATES). Install one, or name it: make PYTHON=/path/to/python3.11" >&2; \
	exit 1

# One stamp for each extra: .venv/.test is `pip install -e '.[test]'`.
$(VENV)/.demo $(VENV)/.test $(VENV)/.bench $(VENV)/.docs $(VENV)/.wheel: $(VENV)/.%: pyproject.toml constraints.txt | $(VENV)/.made
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[$*]'
	@touch $@
