# What there is to type. Needs Python 3.11 or newer, make and git; everything else goes into .venv.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
NOVA_BIN := .venv-nova/bin

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-slow test-nova validation lint bench docs clean

help:  ## show these lines
	@sed -n 's/^\([a-z-]*\):.*## /make \1\t/p' Makefile | expand -t 18

# --- what it is for ---------------------------------------------------------------------------------------------------

demo: .venv/core  ## rank nine variants of a realtime flavor: table, out/realtime4.html, out/realtime4-ccdf.png
	@mkdir -p out
	$(BIN)/rtsim compare data/scenarios/realtime4.yaml \
	  --json out/realtime4.json --report out/realtime4.html --plot out/realtime4-ccdf.png
	@echo 'Written: out/realtime4.html (the report), out/realtime4-ccdf.png, out/realtime4.json'

# --- checks -----------------------------------------------------------------------------------------------------------

# The engine is compiled before the tests, so that parallel workers do not compile it each. Tests that call single
# handlers run interpreted: compiled, each of them would be compiled by itself.
INTERPRETED := tests/sched tests/workload
test: .venv/test  ## all quick tests
	$(BIN)/python -c 'from rtsim.cli.progress import engine_ready; engine_ready()'
	NUMBA_DISABLE_JIT=1 $(BIN)/python -m pytest -n 2 -m 'not slow' $(INTERPRETED) $(PYTEST)
	$(BIN)/python -m pytest -n 2 -m 'not slow and not nova' $(INTERPRETED:%=--ignore=%) $(PYTEST)

test-slow: .venv/test  ## the long statistical suites
	$(BIN)/python -c 'from rtsim.cli.progress import engine_ready; engine_ready()'
	$(BIN)/python -m pytest -n 2 -m 'slow and not nova' $(PYTEST)

test-nova: .venv/test .venv-nova/installed  ## placement against the real Nova, which gets an environment of its own
	RTSIM_NOVA_PYTHON=$(abspath $(NOVA_BIN))/python $(BIN)/python -m pytest -m nova $(PYTEST)

validation: .venv/core  ## the scheduler beside recorded kernels, into docs/validation.md
	$(BIN)/python tools/validation.py

lint: .venv/lint  ## ruff, mypy, import rules
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

bench: .venv/test  ## the speed of the engine
	$(BIN)/python -c 'from rtsim.cli.progress import engine_ready; engine_ready()'
	$(BIN)/python -m pytest benchmarks --benchmark-enable --benchmark-only $(PYTEST)

docs: .venv/docs  ## the manual, into docs/_build/html
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

clean:  ## remove what was made, the environments too
	rm -rf .venv .venv-nova out docs/_build build dist
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .benchmarks
	find rtsim tests benchmarks notebooks -name __pycache__ -o -name .ipynb_checkpoints | xargs rm -rf

# --- environments -----------------------------------------------------------------------------------------------------
# The install is editable: an edit takes effect at once, and only pyproject.toml makes these run again. (The package
# keeps its data beside its code, so both forms hold the same files; .ci/run builds the wheel and looks.)

.venv/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'Python 3.11 or newer is needed'; exit 1; }
	$(PYTHON) -m venv .venv
	@touch $@

.venv/core: pyproject.toml | .venv/made
	$(PIP) --editable .
	@touch $@

.venv/test .venv/lint .venv/docs: .venv/%: pyproject.toml | .venv/made
	$(PIP) --editable '.[$*]'
	@touch .venv/core $@

# Only Nova and what it needs: its own requirements may contradict ours.
.venv-nova/installed: pyproject.toml
	$(PYTHON) -m venv .venv-nova
	$(NOVA_BIN)/python -c 'import tomllib; \
	  print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["test-nova"], sep="\n")' \
	  > .venv-nova/requirements.txt
	$(NOVA_BIN)/python -m pip --disable-pip-version-check install --quiet --requirement .venv-nova/requirements.txt
	@touch $@
