# The workshop. Each target works as the first command in a fresh clone: it checks what this
# host lacks (tools/preflight.sh), makes the environment (tools/environment.sh), then does its work.
#
#   ARGS     passed on to the command:  make test ARGS="tests/unit -k digests"
#   PYTHON   the interpreter to use, 3.11 or 3.12; otherwise one is looked for
#   VENV     where the environment lies

SHELL := /bin/bash
.DEFAULT_GOAL := help

VENV ?= .venv
BIN := $(VENV)/bin
export VENV PYTHON

# Each has a module charm, so that no one run of a tool can see both.
CHARMS := region rack

# $(call prepare,TARGET,PACKAGES): a host with what TARGET needs, an environment with PACKAGES.
define prepare
@python=$$(tools/preflight.sh $(1)) && tools/environment.sh "$$python" $(2)
endef

.PHONY: help demo charms test test-long bench bench-migrate lint charmlint format clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## a signed source, a region, a rack and 20 machines on this host; options in ARGS
	$(call prepare,demo,product)
	@$(BIN)/boot-resources demo $(ARGS)

charms: ## both charms, packed into dist/ for `juju deploy ./bundle.yaml`
	@python=$$(tools/preflight.sh charms) && tools/pack_charms.sh "$$python"

test: ## every test tier that this host and user can run; pytest's options in ARGS
	$(call prepare,test,workshop)
	@$(BIN)/pytest $(ARGS)

# The counts are environment variables that the tests read; CONTRIBUTING.md lists them.
test-long: export BOOT_RESOURCES_KILLS ?= 500
test-long: export BOOT_RESOURCES_STATES ?= 100000
test-long: export BOOT_RESOURCES_HISTORIES ?= 500
test-long: export BOOT_RESOURCES_SEED ?= drawn
test-long: test ## the same tests with the full counts of kills, power cuts and histories

bench: ## measure the speed of the engine beside the field's programs; options in ARGS
	$(call prepare,test,workshop)
	@$(BIN)/python -m benchmarks $(ARGS)

bench-migrate: ## measure the migration's readers beside psql and MAAS's own way; options in ARGS
	$(call prepare,bench-migrate,workshop)
	@$(BIN)/python -m benchmarks.migration $(ARGS)

lint: ## style, format, types and import contracts; changes nothing
	$(call prepare,lint,workshop)
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@for charm in $(CHARMS); do $(BIN)/mypy charms/$$charm/src || exit 1; done
	@PYTHONPATH=charms/region/src:charms/rack/src $(BIN)/lint-imports --no-logo

charmlint: ## the charms against the rules of their field; needs Python 3.12
	@python=$$(tools/preflight.sh charmlint) && tools/charmlint.sh "$$python"

format: ## bring the code to the house's format
	$(call prepare,lint,workshop)
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

clean: ## remove all that make has made here, the environment included
	@rm -rf .venv .venv-* .tox .cache build dist
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage*
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
