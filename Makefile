# `make help` lists what there is to do. Everything runs in .venv, made from the locks in requirements/.

# The Python that .venv is made with: 3.11 or newer; `make PYTHON=/path/to/python demo` names another.
PYTHON ?= $(shell command -v python3.11 || command -v python3 || echo python3)
BIN := .venv/bin
PIP := $(BIN)/pip --disable-pip-version-check --quiet
LOCK := $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --custom-compile-command "make lock" --group build
SOURCES := broker workers migrations tests benchmarks examples deploy hatch_build.py

.DEFAULT_GOAL := help
.PHONY: help demo test check tests format bench lock clean

help:  ## show this
	@grep -hE '^[a-z]+:.*  ## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*  ## (.*)/  make \1\t\2/' | expand -t 16

demo: .venv/runtime  ## drain the example batch against a simulated provider, and show what came out
	@$(BIN)/python examples/demo.py

test: check tests  ## everything: what `make check` does, then all tests

check: .venv/dev  ## formatting, lint, types, import contracts
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy broker workers
	$(BIN)/mypy tests examples deploy hatch_build.py
	$(BIN)/lint-imports

tests: .venv/dev  ## all tests, without `make check`
	$(BIN)/pytest -n 2 --dist loadgroup

format: .venv/dev  ## format, and mend what lint can mend
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

bench: .venv/dev  ## measure the figures of the README (takes a while)
	@$(BIN)/python benchmarks

lock: .venv/dev  ## resolve the dependencies of pyproject.toml anew, with hashes
	$(LOCK) --upgrade --output-file requirements/runtime.txt
	$(LOCK) --upgrade --constraint requirements/runtime.txt --group dev --output-file requirements/dev.txt

clean:  ## remove what the other targets made
	rm -rf .venv demo build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

# Stamps: newer than the locks and the project file, or the environment is brought up to date.
# `make demo` needs no more than the runtime lock.

.venv/runtime: requirements/runtime.txt pyproject.toml
	@test -x $(BIN)/python || { $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is no Python 3.11 or newer; install one, or name it: make PYTHON=/path/to/python …"; exit 1; }; \
		echo "making .venv"; $(PYTHON) -m venv .venv; }
	$(PIP) install --require-hashes -r requirements/runtime.txt
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

.venv/dev: requirements/dev.txt pyproject.toml .venv/runtime
	$(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@
