# Everything runs from .venv, which the first target to need it makes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# Compiled modules are kept, whatever the environment says: every process of the tests would compile them again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test bench lint fix torture clean

help: ## list these targets
	@sed -n 's/^\([a-z]*\):.*## /\1|/p' Makefile | while IFS='|' read -r name what; do printf '%-10s%s\n' "$$name" "$$what"; done

demo: $(VENV)/.runs ## the whole story on this machine, without hardware or configuration
	$(BIN)/fluxctl demo

test: lint ## everything that has to pass; installs the programs it tests against
	$(BIN)/python -m tests.peers
	$(BIN)/pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

bench: $(VENV)/.tests ## throughput beside Orthanc and DCMTK
	$(BIN)/python -m tests.peers
	$(BIN)/python -m tests.bench

torture: $(VENV)/.tortures ## kill, cut, corrupt and fuzz for longer than make test does
	$(BIN)/python -m tests.peers
	$(BIN)/python -m tests.torture

lint: $(VENV)/.tests ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fix: $(VENV)/.tests ## repair what a program can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove everything that the other targets made
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or newer is needed, and $(PYTHON) is not. If there is another: make PYTHON=python3.12" >&2; \
		exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) has no venv module. On Debian and Ubuntu: sudo apt-get install python3-venv" >&2; \
		exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.runs: pyproject.toml $(VENV)/.python
	$(PIP) --editable .
	@touch $@

$(VENV)/.tests: pyproject.toml $(VENV)/.python
	$(PIP) --editable '.[test]'
	@touch $@ $(VENV)/.runs

$(VENV)/.tortures: $(VENV)/.tests
	$(PIP) --editable '.[torture]'
	@touch $@
