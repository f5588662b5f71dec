# Everything runs in .venv, which is made and filled on first use.
PYTHON := $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
export OMP_NUM_THREADS ?= 1

.PHONY: demo test fuzz lint type format docs bench build dist check clean

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	touch $@

demo: .venv/.installed
	$(BIN)/art-gym demo

test: .venv/.installed
	$(BIN)/python -m pytest -n 2 $(PYTEST)

# Thousands of broken inputs for each way in; docs/reliability.md has the figures.
fuzz: .venv/.installed
	FUZZ=$(or $(EXAMPLES),2000) $(BIN)/python -m pytest --timeout 7200 tests/strangers/test_fuzz.py

lint: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell art_gym agents benchmarks docs envs_configs examples integrations tests *.md

type: .venv/.installed
	$(BIN)/mypy art_gym agents integrations

format: .venv/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Fails for a warning: a link that leads nowhere, a name without a docstring.
docs: .venv/.installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --site-dir build/site

bench: .venv/.installed
	$(BIN)/art-gym bench

build: .venv/.installed
	$(BIN)/python -m build --wheel

# What is released; both are checked.
dist: .venv/.installed
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*

check: lint type docs test

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
