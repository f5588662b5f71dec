# Everything runs in .venv, which is made and filled on first use.
PYTHON := $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
export OMP_NUM_THREADS ?= 1

.PHONY: demo test lint type format bench build check clean

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	touch $@

demo: .venv/.installed
	$(BIN)/art-gym demo

test: .venv/.installed
	$(BIN)/python -m pytest -n 2 $(PYTEST)

lint: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

type: .venv/.installed
	$(BIN)/mypy art_gym agents

format: .venv/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/.installed
	$(BIN)/art-gym bench

build: .venv/.installed
	$(BIN)/python -m build --wheel

check: lint type test

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
