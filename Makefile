# Vlagwijzer: two commands for a newcomer are `make demo` and `make test`.
# Each sets up .venv by itself; nothing outside this folder is changed, except
# that browser tests run as root install Debian's chromium when it is missing.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
ARGS ?=
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: client help setup setup-dev demo test check bench lock clean browser openapi lint-node screens faults tamper fuzz mutants at-once verifier

help: ## Show what there is to do
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; this is " + sys.version.split()[0] + ". Choose one: make PYTHON=python3.11")'
	@$(PYTHON) -m venv $(VENV) || { echo "Making .venv failed. On Debian: apt-get install python3-venv"; exit 1; }

$(VENV)/.runtime: requirements/demo.txt requirements/build.txt pyproject.toml | $(BIN)/python
	@echo "Setting up .venv (once, about half a minute)"
	@$(PIP) install --require-hashes -r requirements/demo.txt -r requirements/build.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.runtime
	@echo "Adding what the tests need"
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@

setup: $(VENV)/.runtime ## Make .venv with the vlagwijzer command

$(VENV)/.campaigns: requirements/campaigns.txt $(VENV)/.dev
	@echo "Adding what the long campaigns need"
	@$(PIP) install --require-hashes -r requirements/campaigns.txt
	@touch $@

setup-dev: $(VENV)/.dev ## The same with all test and lint tools

demo: setup ## Start the whole federation on this machine and say where to click
	@$(BIN)/vlagwijzer demo $(ARGS)

browser: ## Chromium for the browser tests (installed only as root, only when missing)
	@if ! command -v chromium >/dev/null 2>&1; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then \
	    echo "Installing Debian's chromium for the browser tests"; \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null; \
	  else echo "No chromium: browser tests will be skipped. To run them: apt-get install chromium"; fi; fi

# On two cores a third worker fills the time in which tests wait for a server.
WORKERS ?= 3
test: setup-dev browser ## Run all tests
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

check: setup-dev lint-node ## Lint, types, import rules, spelling, API linter
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/codespell
	@$(BIN)/python -m tests.house.openapi_documents --check
	@.ci/lint-openapi

lint-node:
	@if command -v npm >/dev/null 2>&1; then \
	  [ -x .ci/openapi-lint/node_modules/.bin/spectral ] || npm --prefix .ci/openapi-lint ci --ignore-scripts --no-audit --no-fund --silent; \
	else echo "No npm: the API linter does not run here."; fi

openapi: setup-dev ## Write docs/api/*.json anew from the code
	@$(BIN)/python -m tests.house.openapi_documents

client: setup-dev ## Write docs/clients/vlagwijzer_node.py from the node's OpenAPI document
	@$(BIN)/python -m tests.house.python_client

bench: setup ## Measure; see docs/performance.md (ARGS="pseudonymise --json")
	@$(BIN)/vlagwijzer bench $(ARGS)

verifier: setup ## The offline verifier as one file, dist/vlagwijzer-verify.pyz
	@$(BIN)/python -m deploy.verifier_file dist/vlagwijzer-verify.pyz

MINUTES ?= 10
SEED ?= 20261122
tamper: setup-dev ## A thousand tamperings with a copy of the log (COUNT=1000)
	@VLAGWIJZER_TAMPERINGS=$(or $(COUNT),1000) $(BIN)/python -m pytest tests/witness/test_mirror.py -k tampering

faults: setup-dev ## The long fault campaign; see docs/reliability.md (MINUTES=10 SEED=1 ARGS="--only overload")
	@$(BIN)/python -m tests.faults.campaign --minutes $(MINUTES) --seed $(SEED) $(ARGS)

fuzz: $(VENV)/.campaigns ## Parsers under atheris, contracts and stories with more examples (MINUTES=10 SEED=1 ARGS="--only signed_note")
	@$(BIN)/python -m tests.fuzz.campaign --minutes $(MINUTES) --seed $(SEED) $(ARGS)

mutants: setup-dev ## Change the deciding code in hundreds of ways; each must make a test fail (ARGS="--seconds 600")
	@$(BIN)/python -m tests.policy.mutants $(ARGS)

PAIRS ?= 10000
at-once: setup-dev ## A change at one hub, asked about at two; 0 leaks of 10,000 pairs wanted (PAIRS=10000 SEED=1)
	@$(BIN)/python -m tests.faults.at_once --pairs $(PAIRS) --seed $(SEED)

screens: setup-dev browser ## Screenshots of the pages of a running demo into docs/screens/
	@$(BIN)/python -m tests.pages.screens

LOCK := $(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-header -q
lock: setup-dev ## Lock all dependencies anew, with hashes and without addresses
	@$(LOCK) --extra demo --group build --group dev -o requirements/dev.txt
	@$(BIN)/uv pip compile --group campaigns --universal --python-version 3.11 --generate-hashes --no-header -q -c requirements/dev.txt -o requirements/campaigns.txt
	@$(LOCK) --extra hub -c requirements/dev.txt -o requirements/hub.txt
	@$(LOCK) --extra node -c requirements/dev.txt -o requirements/node.txt
	@$(LOCK) --extra keyholder -c requirements/dev.txt -o requirements/keyholder.txt
	@$(LOCK) --extra demo -c requirements/dev.txt -o requirements/demo.txt
	@$(BIN)/uv pip compile --group build --universal --python-version 3.11 --generate-hashes --no-header -q -c requirements/dev.txt -o requirements/build.txt

clean: ## Remove .venv and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .ci/openapi-lint/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
