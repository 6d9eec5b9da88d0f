# `make demo` and `make test` work on a fresh machine with Python 3.11+ and make.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test test-slow check format bench clean

demo: .venv/demo-installed
	$(BIN)/elman train surnames --out models/surnames --force
	$(BIN)/elman predict models/surnames --steps Schmidt Kowalczyk Yamamoto Fernandez Ivanova

test: .venv/dev-installed
	$(BIN)/python -m pytest -n 2 -m "not slow"

test-slow: .venv/notebooks-installed
	$(BIN)/python -m pytest -m slow

check: .venv/dev-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/dev-installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/bench-installed
	$(BIN)/elman bench
	$(BIN)/python benchmarks/train_epoch.py
	$(BIN)/python benchmarks/encode.py

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/demo-installed: pyproject.toml constraints.txt | .venv/bin/python
	$(INSTALL) -e '.[data]'
	touch $@

.venv/dev-installed: pyproject.toml constraints.txt | .venv/bin/python
	$(INSTALL) -e '.[data,dev]'
	touch $@ .venv/demo-installed

.venv/notebooks-installed: pyproject.toml constraints.txt | .venv/bin/python
	$(INSTALL) -e '.[data,dev,notebooks]'
	touch $@ .venv/dev-installed .venv/demo-installed

.venv/bench-installed: pyproject.toml constraints.txt | .venv/bin/python
	$(INSTALL) -e '.[data,dev,bench]'
	touch $@ .venv/dev-installed .venv/demo-installed
