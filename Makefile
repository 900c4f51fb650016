# make run   everything on this machine: the app, the local Stripe, a seeded database
# make test  the whole suite
# Both make .venv first if need be. `make` alone lists the rest.

PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
# Two workers, in a state folder of their own; `make test PYTEST_ARGS="-x billing"` runs something else.
PYTEST_ARGS ?= -n 2 --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help run test lint format check lock demo-api clean venv

help: ## this list
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/  make \1\t\2/p' Makefile | expand -t 20

run: ## start the app and the local Stripe (PORT, STRIPE_SANDBOX_PORT, STATE_DIR, DATABASE_URL, ...)
	@$(PYTHON) -I datilio/bootstrap.py requirements-prod.txt
	@exec $(PY) -I datilio/run.py

demo-api: ## walk the whole journey through the API of a running `make run`, printing each call
	@$(PY) -m datilio.demo_api

test: venv ## run the whole suite (PYTEST_ARGS="-x billing" for a part)
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && STATE_DIR=$$dir $(PY) -m pytest $(PYTEST_ARGS)

lint: venv ## ruff and mypy
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy

format: venv ## let ruff put the code in order
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

check: lint ## lint, missing migrations, Django's deployment checks, tests
	@.ci/check-django $(PY)
	@$(MAKE) --no-print-directory test

lock: venv ## write requirements*.txt anew from requirements*.in (UPGRADE=1: newest versions)
	@.ci/lock $(PY)

clean: ## remove .venv, caches and the state of `make run`
	rm -rf $(VENV) var .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

venv:
	@$(PYTHON) -I datilio/bootstrap.py requirements.txt
