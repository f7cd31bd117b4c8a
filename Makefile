# Fleetwire. `make` alone prints what there is.
MAKEFLAGS += --no-print-directory
BIN := .venv/bin
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help run test soak check bench bench-relay bench-rules lint lock clean

help: ## Print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: .venv/.run ## Start Fleetwire, its data in data/ (ARGS="--demo --bind 0.0.0.0" for options)
	@exec $(BIN)/fleetwire serve --data-dir data $(ARGS)

test: .venv/.dev ## Install what the tests need, then run lint, types and the tests
	@scripts/prepare-tests.sh
	@$(MAKE) lint
	@scripts/run-tests.sh $(ARGS)

soak: .venv/.dev ## The proofs that take minutes each
	@scripts/prepare-tests.sh
	@$(BIN)/python -m pytest -m soak $(ARGS)

check: .venv/.dev lint ## The everyday suite: lint, types and the tests that are quick
	@$(BIN)/python -m pytest -n auto --dist loadfile -m "not slow and not soak" $(ARGS)

lint: .venv/.dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: .venv/.dev ## Measure durable ingest on one core (ARGS="--quick", "--profile", "--json")
	@$(BIN)/python -m bench.ingest $(ARGS)

bench-relay: .venv/.dev ## Measure messages from client to client beside Mosquitto (ARGS="--quick", "--json")
	@$(BIN)/python -m bench.relay $(ARGS)

bench-rules: .venv/.dev ## Measure what rule chains cost ingest (ARGS="--quick", "--json")
	@$(BIN)/python -m bench.rules $(ARGS)

lock: ## Write requirements/*.txt anew from pyproject.toml (ARGS=--upgrade for newest versions)
	@scripts/lock.sh $(ARGS)

clean: ## Remove everything that was made, except data/
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	rm -rf tests/node/node_modules bench/mqload/mqload
	find src tests bench -name __pycache__ -type d -prune -exec rm -rf {} +

# The development set holds the other one: where it was installed last, nothing is missing to run.
.venv/.run: pyproject.toml requirements/run.txt
	@scripts/environment.sh run

.venv/.dev: pyproject.toml requirements/dev.txt
	@scripts/environment.sh dev
	@touch .venv/.run
