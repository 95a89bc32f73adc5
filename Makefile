# Everything is set up by itself: a virtual environment in .venv, the Node parts in tests/node/node_modules.
# Needs Python 3.11 or later and make; `make test` also npm.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOWEST := .venv-lowest
LOWEST_TESTS := $(addprefix tests/,auth client components http protocol resources robustness schemas security server state transports utilities)
NODE_MODULES := tests/node/node_modules

# What another project put into the environment must not reach ours.
unexport PYTHONPATH PYTHONHOME PYTHONSTARTUP VIRTUAL_ENV CONDA_PREFIX NODE_PATH NODE_OPTIONS

# Python compiles what is imported; most of what the tests bring never is.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile

.PHONY: run test soak lowest check format conformance compare bench clean help

help:
	@echo 'make run          serve examples/quickstart.py on http://127.0.0.1:8000/mcp'
	@echo 'make test         all tests, the official conformance suite among them'
	@echo 'make soak         1,000 rounds of what make test does 100 of (about an hour)'
	@echo 'make lowest       most tests, with the lowest versions that pyproject.toml allows'
	@echo 'make check        format, lint, strict types, architecture'
	@echo 'make format       mend format and lint where a tool can'
	@echo 'make conformance  only the conformance suite, as a table'
	@echo 'make compare      FastMCP'"'"'s documentation, run there and here (ARGS=path of a clone)'
	@echo 'make bench        every case against every contender (ARGS=--quick: some minutes)'
	@echo 'make clean        remove what the other targets made'

run: $(VENV)/.run
	$(BIN)/python examples/quickstart.py

test: $(VENV)/.dev $(NODE_MODULES)/.stamp
	$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

soak: $(VENV)/.dev
	HEADRACE_SOAK=1 $(BIN)/python -m pytest tests/soak --session-timeout=5400 $(ARGS)

# FastMCP and others that only the other tests need want newer versions.
lowest:
	$(PYTHON) -m venv --clear $(LOWEST)
	$(PYTHON) scripts/lowest.py > $(LOWEST)/constraints.txt
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check --constraint $(LOWEST)/constraints.txt \
		--editable '.[anthropic,auth,openai,reload,skills]' fastapi hypothesis mcp mcp-types pytest pytest-timeout pytest-xdist
	$(LOWEST)/bin/python -m pytest -n 2 --dist loadfile $(if $(ARGS),$(ARGS),$(LOWEST_TESTS))

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright
	$(BIN)/python -m pytest -q tests/test_architecture.py

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

conformance: $(VENV)/.dev $(NODE_MODULES)/.stamp
	$(BIN)/python scripts/conformance.py $(ARGS)

compare: $(VENV)/.dev
	$(BIN)/python scripts/fastmcp_docs $(ARGS)

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks $(ARGS)

clean:
	rm -rf $(VENV) $(LOWEST) $(NODE_MODULES) dist build .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps are touched last, so that an interrupted set-up is done again.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("Headrace needs Python 3.11 or later; name one: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: pyproject.toml | $(BIN)/python
	$(PIP) --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	$(PIP) --editable '.[dev]'
	@touch $@ $(VENV)/.run

# The programs are run by Node 24 from the virtual environment; npm only fetches them, whatever Node it runs on.
$(NODE_MODULES)/.stamp: tests/node/package.json tests/node/package-lock.json
	npm ci --prefix tests/node --no-audit --no-fund --loglevel=error
	@touch $@
