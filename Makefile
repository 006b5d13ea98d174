# The commands of this project. `make demo` and `make test` work from a bare checkout.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
# Development takes one torch everywhere; which build that is (CPU, CUDA) is the machine's affair, so it has no hash.
TORCH := torch==2.13.0

.PHONY: demo test faults lint format bench up down docs lock clean rabbitmq bubblewrap

demo: .venv/ready rabbitmq  ## Start everything, run real jobs end to end: embed, search, profile, train, predict
	$(BIN)/millrace up --detach
	$(BIN)/millrace demo

# Many tests wait more than they compute, so more processes than cores pay. Each has servers of its own. A file stays
# in one process with what its tests share (xdist 3.8 overlooks groups under pytest 9.2), and files keep their order: it
# puts the unit tests, which are short, at the end, where they fill what the long ones leave.
WORKERS ?= 3

test: .venv/ready rabbitmq bubblewrap  ## What CI runs: every test, on real parts
	$(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

SEEDS ?= 50

faults: .venv/ready rabbitmq  ## The whole fault suite, with its table at the end: make faults SEEDS=50 ARGS=--publish
	$(BIN)/pytest tests/faults --seeds $(SEEDS) --each-fault $(ARGS)

lint: .venv/ready  ## Style, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/ready rabbitmq  ## make bench NAME=pipeline|latency|accept|replay|ingest|profiling|training|resume|predict|subscribers|sandbox|encoder
	$(BIN)/python -m benchmarks.$(NAME) $(ARGS)

up: .venv/ready rabbitmq  ## Start the local stack and stay with it; Ctrl-C stops it
	$(BIN)/millrace up

down: .venv/ready
	$(BIN)/millrace down

docs: .venv/ready  ## Regenerate what is made from the code: OpenAPI, AsyncAPI, JSON Schemas
	$(BIN)/python -m docs.generate

.venv/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.11 ..."; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check $(TORCH)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# The broker is the one part that pip cannot bring. RUNLEVEL=1 keeps Debian from starting a node of its own.
rabbitmq:
	@[ -n "$$RABBITMQ_URL" ] || [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || command -v rabbitmq-server >/dev/null \
	|| { if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	       echo "installing rabbitmq-server"; apt-get update -qq \
	       && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends rabbitmq-server >/dev/null; \
	     elif command -v brew >/dev/null; then echo "rabbitmq-server is missing: brew install rabbitmq"; exit 1; \
	     elif command -v dnf >/dev/null; then echo "rabbitmq-server is missing: sudo dnf install rabbitmq-server"; exit 1; \
	     else echo "rabbitmq-server is missing: sudo apt-get install --no-install-recommends rabbitmq-server"; exit 1; fi; }

# Only the tests of the sandbox's cold tier need it, and they are left out where it cannot be had.
bubblewrap:
	@command -v bwrap >/dev/null || [ "$$(uname)" != Linux ] \
	|| { if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	       apt-get update -qq && apt-get install -y -qq --no-install-recommends bubblewrap >/dev/null; \
	     else echo "bubblewrap is missing, its tests are left out: sudo apt-get install bubblewrap"; fi; }

# See requirements.overrides for what stays out. `uv` is only needed here.
lock:
	uv pip compile pyproject.toml --all-extras --overrides requirements.overrides --generate-hashes \
	  --prerelease=if-necessary-or-explicit --no-emit-index-url --no-header --no-annotate \
	  --python-version 3.11 --universal --quiet -o requirements.lock
	for image in gateway "worker --extra ml --extra data --extra tabular"; do set -- $$image; name=$$1; shift; \
	  uv pip compile pyproject.toml $$@ -c requirements.lock --overrides requirements.overrides --generate-hashes \
	    --prerelease=if-necessary-or-explicit --no-emit-index-url --no-header --no-annotate \
	    --python-version 3.11 --universal --quiet -o deploy/requirements.$$name.lock; done
	echo 'hatchling>=1.27' | uv pip compile - -c requirements.lock --generate-hashes --no-emit-index-url --no-header \
	  --no-annotate --python-version 3.11 --universal --quiet -o deploy/requirements.build.lock

clean:
	rm -rf .venv .venv-bench .mypy_cache .ruff_cache .import_linter_cache
