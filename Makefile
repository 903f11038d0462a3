# Everything runs in a virtual environment of this folder; only Python >= 3.11 must be there already.
PYTHON ?= python3
BIN := .venv/bin
STACK ?= local
# Extras that Slipway's own image has: the router's, and those of the containers beside a model's.
IMAGE_EXTRAS := router storage
# What `make lint` judges: Slipway's own code, never the folders of your services.
CODE := __main__.py benchmarks components examples/diabetes examples/echo policies slipway tests
# Tests mostly wait: more of them at once than there are cores.
WORKERS ?= 4
# Programs import much, and Python would compile it anew at each start where it may not keep what it compiled.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help up down test test-cluster lint format install record lock schema wheel clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

up: install ## the local stack, running, and one scored request
	$(BIN)/slipway up -s $(STACK)
	$(BIN)/slipway score diabetes -s $(STACK) --data examples/diabetes/sample-request.json

down: ## stop everything that `make up` started
	@if [ -x $(BIN)/slipway ]; then $(BIN)/slipway down -s $(STACK); else echo "nothing is installed, so nothing runs"; fi

test: install ## unit, local and engine tests
	$(BIN)/pytest -n $(WORKERS) --dist loadfile

test-cluster: install ## tests on a real Kubernetes, registry and Blob storage; installs Debian packages as root
	$(BIN)/python -m tests.cluster.prepare
	$(BIN)/pytest tests/cluster

lint: install ## style, types, import arrows, dependencies
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/basedpyright
	$(BIN)/lint-imports
	$(BIN)/deptry .
	$(BIN)/vermin --target=3.9- --no-tips --violations --quiet slipway/__init__.py slipway/scoring slipway/collect

format: install ## put the code into the one format
	$(BIN)/ruff check --fix-only --quiet $(CODE)
	$(BIN)/ruff format $(CODE)

install: $(BIN)/.installed ## the virtual environment

$(BIN)/.installed: requirements.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Slipway needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	awk '/^uv==/ { found = 1 } found { print; if (!/\\$$/) exit }' requirements.txt > .venv/uv.txt
	$(BIN)/pip install --quiet --require-hashes -r .venv/uv.txt
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $@

record: install ## what the real engine makes of tests/engine/programs; needs `pulumi` on PATH
	$(BIN)/python -m tests.engine.record

lock: install ## requirements.txt from pyproject.toml, and of that what Slipway's own image needs
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --python-version 3.11 \
	  --all-extras --group program --group dev --custom-compile-command "make lock" -o requirements.txt pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --python-version 3.11 \
	  $(addprefix --extra ,$(IMAGE_EXTRAS)) --constraints requirements.txt --no-annotate \
	  --custom-compile-command "make lock" -o slipway/router/requirements.txt pyproject.toml

schema: install ## what a stack file may hold: stacks/schema.json for editors, docs/settings.md for people
	$(BIN)/python -c 'import json; from slipway.schema import schema; print(json.dumps(schema(), indent=2))' > stacks/schema.json
	$(BIN)/python -c 'from slipway.schema import reference; print(reference(), end="")' > docs/settings.md

wheel: install ## dist/*.whl
	$(BIN)/uv build --quiet --wheel --out-dir dist

clean: down ## forget the virtual environment and all local state
	rm -rf .venv .slipway dist
