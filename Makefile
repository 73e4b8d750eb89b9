# `make help` lists what there is to do. Everything runs in .venv, made from the locks in requirements/.

# The Python that .venv is made with: 3.11 or newer; `make PYTHON=/path/to/python demo` names another.
PYTHON ?= $(shell command -v python3.11 || command -v python3 || echo python3)
BIN := .venv/bin
PIP := $(BIN)/pip --disable-pip-version-check --quiet
REAL_PIP := .venv-real/bin/pip --disable-pip-version-check --quiet
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --custom-compile-command "make lock"
LOCK := $(COMPILE) pyproject.toml --group build
SOURCES := broker workers migrations tests benchmarks examples deploy hatch_build.py

.DEFAULT_GOAL := help
.PHONY: help demo test check tests test-real format bench lock clean

help:  ## show this
	@grep -hE '^[a-z-]+:.*  ## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*  ## (.*)/  make \1\t\2/' | expand -t 18

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

test-real: .venv/dev .venv-real/ready  ## drain batches against real inference servers; builds them first, which takes minutes
	$(BIN)/pytest tests/real

format: .venv/dev  ## format, and mend what lint can mend
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

bench: .venv/dev  ## measure the figures of the README (takes a while)
	@$(BIN)/python benchmarks

lock: .venv/dev  ## resolve the dependencies of pyproject.toml anew, with hashes
	$(LOCK) --upgrade --output-file requirements/runtime.txt
	$(LOCK) --upgrade --constraint requirements/runtime.txt --group dev --output-file requirements/dev.txt
	$(COMPILE) --upgrade --group real-build --output-file requirements/real-build.txt
	$(COMPILE) --upgrade --group real --output-file requirements/real.txt

clean:  ## remove what the other targets made
	rm -rf .venv .venv-real demo build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

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

# The servers of `make test-real`, from the sources in llama-cpp-python: its own, and llama.cpp's. They are built with the
# locked tools, fetch nothing while building, and are no wheel of an earlier build with other options (hence no cache).
.venv-real/ready: requirements/real-build.txt requirements/real.txt
	@echo "building two inference servers in .venv-real, once; this takes some minutes"
	rm -rf .venv-real && $(BIN)/python -m venv .venv-real
	$(REAL_PIP) install --require-hashes -r requirements/real-build.txt
	CMAKE_ARGS="-DLLAMA_BUILD_TOOLS=ON -DLLAMA_BUILD_SERVER=ON -DLLAMA_TOOLS_INSTALL=ON -DLLAVA_BUILD=OFF \
		-DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_OPENSSL=OFF" \
		$(REAL_PIP) install --no-cache-dir --no-build-isolation --require-hashes -r requirements/real.txt
	@touch $@
