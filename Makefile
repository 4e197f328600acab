# The commands of this project; `make help` lists them. The same on a laptop and in CI.

SHELL := /bin/bash
MAKEFLAGS += --no-builtin-rules --no-print-directory
.DEFAULT_GOAL := help

# The interpreter to build the environment with; everything else runs in the environment.
PYTHON ?= python3
BIN := .venv/bin
RUN := $(BIN)/python

# Options for the command behind a target, as in: make test-fast ARGS="-k create"
ARGS ?=
HOST ?= host1
LAB ?= lab
export ONLY

CHECKS := check-format check-lint check-types check-imports check-generated check-lengths check-names

.PHONY: help
help: ## list these commands
	@sed -nE 's/^([a-z0-9-]+):[^#]*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | while IFS=$$'\t' read -r name text; do \
	  printf '  make %-12s %s\n' "$$name" "$$text"; done

.PHONY: setup
setup: ## the locked Python packages, as .venv
	@$(PYTHON) -m tools.make_venv

.PHONY: demo
demo: setup ## one volume's life on real LVM and iSCSI, step by step (ARGS=--keep leaves the hosts up)
	@$(RUN) -m tests.demo $(ARGS)

.PHONY: test
test: setup ## all tests; installs what they need
	@$(RUN) -m tools.run_tests unit driver contract kube lab sanity $(ARGS)

.PHONY: test-fast
test-fast: setup ## the tests that need no test hosts
	@$(RUN) -m tools.run_tests unit driver $(ARGS)

.PHONY: check $(CHECKS)
check: setup ## format, lint, types, layers, generated files, lengths; changes nothing
	@$(MAKE) --silent --keep-going --jobs=2 --output-sync=target $(CHECKS)

check-types:
	@$(BIN)/mypy

check-format:
	@$(BIN)/ruff format --check --quiet --output-format=concise || { echo "not formatted: run make fmt"; exit 1; }

check-lint:
	@$(BIN)/ruff check --quiet --output-format=concise

check-imports:
	@out=$$($(BIN)/lint-imports --no-logo 2>&1) || { echo "$$out"; exit 1; }

check-generated:
	@$(RUN) -m tools.generate --check
	@$(RUN) -m tools.parameters --check
	@$(RUN) -m tools.render --check

check-lengths:
	@$(RUN) -m tools.check_lengths

check-names:
	@$(RUN) -m tools.check_names

.PHONY: fmt
fmt: setup ## format the code and mend what the linter can mend
	@$(BIN)/ruff check --quiet --fix-only
	@$(BIN)/ruff format --quiet

.PHONY: generate
generate: setup ## code from proto/, class parameters from the code, deploy/ from the chart
	@$(RUN) -m tools.generate
	@$(RUN) -m tools.parameters
	@$(RUN) -m tools.render

.PHONY: lock
lock: setup ## requirements*.lock from pyproject.toml (ARGS=--upgrade takes the newest)
	@$(RUN) -m tools.lock $(ARGS)

.PHONY: image
image: setup ## the driver's image as an OCI archive in build/image
	@$(RUN) -m tests.cluster.image_build $(ARGS)

.PHONY: images-list
images-list: setup ## the images that an installation pulls (ARGS="--values values.yaml")
	@$(RUN) -m tools.images_list $(ARGS)

.PHONY: cluster
cluster: setup ## a real Kubernetes cluster on test hosts with the chart installed; the first time builds Kubernetes (20 minutes)
	@$(RUN) -m tests.cluster up $(ARGS)
	@$(RUN) -m tests.e2e.install

.PHONY: e2e
e2e: setup ## what a user does with a cluster that has Clinker, on a cluster of its own
	@$(RUN) -m tools.run_tests e2e $(ARGS)

.PHONY: cluster-down
cluster-down: setup ## end the cluster
	@$(RUN) -m tests.cluster down $(ARGS)

.PHONY: bench
bench: setup ## figures beside bare tools in the same run (ONLY=KEY,KEY runs some)
	@$(RUN) -m tests.bench $(ARGS)

.PHONY: lab
lab: setup ## start test hosts and leave them up
	@$(RUN) -m tests.lab up --name $(LAB) $(ARGS)

.PHONY: lab-down
lab-down: setup ## end the test hosts
	@$(RUN) -m tests.lab down $(LAB)

.PHONY: lab-shell
lab-shell: setup ## a shell in a test host (HOST=host1)
	@$(RUN) -m tests.lab shell $(HOST) $(LAB)

.PHONY: lab-run
lab-run: setup ## a command in a test host (HOST=host1 ARGS="lvs -a")
	@$(RUN) -m tests.lab run --name $(LAB) $(HOST) -- $(ARGS)

.PHONY: clean
clean: ## remove what was made in this checkout (not ~/.cache/clinker)
	@rm -rf .venv build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +
