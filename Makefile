# Everything happens in .venv, which is made from the locks when it is first needed.

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

# Modules are compiled when they are first imported, and kept: without that each command takes 3 s longer to start.
unexport PYTHONDONTWRITEBYTECODE

# Hashes are checked and nothing is resolved: the locks name every package.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input --no-compile
LOCKED := $(INSTALL) --no-deps --require-hashes

# Tests of one file run in one worker and in their order, for they share what is dear to start; long files come first.
WORKERS := -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help demo demo-kafka kafka test test-all check bench lock clean

help:  ## Show this list.
	@sed -n 's/^\([a-z-]*\):.*  ## /\1\t/p' Makefile | expand -t 12

demo: $(VENV)/run.installed  ## Watch the bills of a real supermarket become messages; options: ARGS="--bills 0".
	@$(BIN)/ringup demo $(ARGS)

demo-kafka: $(VENV)/run.installed  ## The same by way of a Kafka broker and Kafka Connect; needs Maven, which fetches them.
	@$(BIN)/ringup demo --kafka --project .ringup/demo-kafka $(ARGS)

kafka: $(VENV)/run.installed  ## Kafka, Kafka Connect, a schema registry, PostgreSQL and MariaDB, for development, until Ctrl-C; needs Maven.
	@$(BIN)/ringup kafka $(ARGS)

test: check  ## Check the code and run all tests but the slow ones.
	$(BIN)/pytest $(WORKERS)

test-all: check  ## Run every test.
	$(BIN)/pytest -m "" $(WORKERS)

check: $(VENV)/dev.installed  ## Lint, formatting, types, imports.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/run.installed  ## Measure; one JSON object a line.
	@for bench in bench/[a-z]*.py; do $(BIN)/python "$$bench" || exit 1; done

lock: $(VENV)/dev.installed  ## Pin the newest versions that pyproject.toml allows, with hashes, without addresses.
	$(call COMPILE,requirements.lock,--build-deps-for=editable)
	$(call COMPILE,requirements-dev.lock,--build-deps-for=editable --extra=dev --constraint=requirements.lock)

define COMPILE
	env -u PIP_FIND_LINKS CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --upgrade \
		--generate-hashes --no-emit-index-url --no-emit-find-links --strip-extras --allow-unsafe \
		$(2) --output-file=$(1) pyproject.toml
endef

clean:  ## Remove what was made here: .venv, caches, and what the demo and kafka keep.
	rm -rf $(VENV) .ringup .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist

$(VENV)/run.installed: requirements.lock pyproject.toml
ifeq ($(PYTHON),)
	@echo "ringup needs Python 3.11 or later, and none is on the PATH. Install one, or name it: make PYTHON=/path/to/python3" >&2
	@exit 1
endif
	@echo "Installing into $(VENV), which takes about a minute, once ..."
	@$(PYTHON) -m venv $(VENV)
	@$(LOCKED) --requirement requirements.lock
	@$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/dev.installed: requirements-dev.lock $(VENV)/run.installed
	@echo "Installing the tools for tests into $(VENV), once ..."
	@$(LOCKED) --requirement requirements-dev.lock
	@touch $@
