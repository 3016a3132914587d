# Everything that a person or CI does with this repository. `make` prints what there is.

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && exit; done; echo python3)
VENV := .venv/bin
PYTEST := $(VENV)/python -m pytest
SUITES := tests/unit tests/contract tests/integration tests/e2e tests/resilience

.DEFAULT_GOAL := help
.PHONY: help run test setup lint types imports unit contract integration e2e resilience soak bench \
	explain backtest archive replay rules-check rules-plan rules-apply reset lock

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## everything: dependencies, PostgreSQL, Kafka, services, a demo shop; Ctrl-C stops, state is kept
	@$(PYTHON) -m deploy.local.bootstrap --run
	@$(VENV)/python -m deploy.local.supervisor

test: lint types imports ## everything that CI runs, on a real PostgreSQL and Kafka; two files at a time
	@$(PYTEST) $(SUITES) --numprocesses 2 --dist loadfile

setup: ## fetch what is needed into .venv and .local, and nothing else
	@$(PYTHON) -m deploy.local.bootstrap

lint: setup ## ruff: faults, style, layout
	@$(VENV)/ruff check .
	@$(VENV)/ruff format --check .

types: setup ## mypy --strict
	@$(VENV)/mypy

imports: setup ## the floors: who may import whom
	@$(VENV)/lint-imports

unit: setup ## pure logic, no server
	@$(PYTEST) tests/unit

contract: setup ## message shapes, HTTP shapes
	@$(PYTEST) tests/contract

integration: setup ## one service against real servers
	@$(PYTEST) tests/integration

e2e: setup ## the closed loop, all services
	@$(PYTEST) tests/e2e

resilience: setup ## kill -9, outages, take-overs, and a check that nothing was lost or done twice
	@$(PYTEST) tests/resilience

soak: setup ## the resilience tests for longer, the fuzzer along every border, the whole file of a shop: MINUTES=30
	@DANGOL_SOAK_MINUTES=$(or $(MINUTES),30) $(PYTEST) tests/unit/test_rules_oracle.py \
		tests/e2e/test_apis_under_fuzz.py tests/e2e/test_replay.py \
		tests/integration/test_rules_whole_histories.py tests/resilience --timeout=0

bench: setup ## speed and size beside their references; a table, and JSON under .local/bench
	@$(VENV)/python -m tests.load

explain: ## one customer's last event through all services, gate by gate: CUSTOMER=...
	@$(VENV)/python -m deploy.demo.explain "$(CUSTOMER)"

backtest: ## what a rule would have done: RULE=id, id@version or file.json FROM=2026-10-01 TO=... CAMPAIGN=id ARGS="--help"
	@$(VENV)/python -m deploy.demo.backtest "$(RULE)" $(if $(FROM),--from "$(FROM)") $(if $(TO),--to "$(TO)") \
		$(if $(CAMPAIGN),--campaign "$(CAMPAIGN)") $(ARGS)

archive: ## take the history of resolved events into Parquet files, for backtests beyond 400 days: TO=folder
	@$(VENV)/python -m services.rules.archive $(if $(TO),"$(TO)")

replay: ## send a table of purchases through the HTTP door: ARGS="--help"
	@$(VENV)/python -m deploy.replay $(ARGS)

rules-check: setup ## are the files of a folder rules, and do their tests hold? RULES=rules
	@$(VENV)/python -m deploy.rules check "$(or $(RULES),rules)"

rules-plan: ## what rules-apply would create, change, pause and retire: RULES=rules ARGS="--prune"
	@$(VENV)/python -m deploy.rules plan "$(or $(RULES),rules)" $(ARGS)

rules-apply: ## put the rules of a folder in force, through the public API: RULES=rules ARGS="--note ..."
	@$(VENV)/python -m deploy.rules apply "$(or $(RULES),rules)" $(ARGS)

reset: ## remove all data, keys and logs under .local
	@$(PYTHON) -m deploy.local.reset

lock: setup ## resolve requirements.lock anew from pyproject.toml
	@$(VENV)/uv pip compile pyproject.toml --group local --group dev --upgrade --quiet --universal \
		--python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
		--custom-compile-command "make lock" --output-file requirements.lock
