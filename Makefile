# Everything needs only Python 3.11 or later and make; `make` alone prints what there is.

PYTHON ?= python3
BIN := .venv/bin

# Unpacks a package of Debian under var/ for the tests that need its programs; they skip where it cannot be had, and in CI.
GET = sh deploy/local/get-package.sh

.DEFAULT_GOAL := help
.PHONY: help up dev password demo test test-all check format conformance bench soak screenshots requirements clean

help: ## print this help
	@echo "queueops: make TARGET"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1|\2/p' Makefile | while IFS='|' read -r name text; do printf '%-14s %s\n' "$$name" "$$text"; done

# The stamps are newer than the requirements they were made from; the second environment contains the first.
.venv/.run: requirements.txt deploy/local/environment.py
	@$(PYTHON) deploy/local/environment.py requirements.txt
	@touch $@

.venv/.dev: requirements-dev.txt deploy/local/environment.py
	@$(PYTHON) deploy/local/environment.py requirements-dev.txt
	@touch $@ .venv/.run

up: .venv/.run ## run everything on this machine: broker, web, workers, beat, Flower
	@exec $(BIN)/python -m deploy.local.stack up

dev: .venv/.run ## run web with reload and one worker for all queues in this terminal
	@exec $(BIN)/python -m deploy.local.stack dev

password: .venv/.run ## set a new password for the admin user and print it
	@$(BIN)/python -m deploy.local.prepare password

demo: .venv/.run ## deliver real webhooks, break an endpoint, replay its dead letters; ends by itself
	@$(BIN)/python manage.py webhooks_demo

# Most tests wait for workers, so a few files at a time share a machine well.
test: .venv/.dev ## run the tests, except the long ones
	@$(BIN)/python -m pytest -n 3 --dist loadfile $(ARGS)

# The long ones one after the other: they fill the machine, or tell what it can do. About 75 minutes on two cores.
test-all: test ## run the tests, then the long ones
	@$(GET) prometheus || true
	@sh deploy/local/get-chromium.sh || true
	@$(BIN)/python -m pytest -m "conformance or browser or sentinel or soak or slow" $(ARGS)

check: .venv/.dev ## check format, lint, types and the layers of imports
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: .venv/.dev ## format the code and mend what ruff can mend
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

conformance: .venv/.dev ## run kombu's and Celery's own integration suites on queueops and on stock Redis
	@$(BIN)/python -m tests.conformance $(ARGS)

bench: .venv/.dev ## run all benchmarks, or one: make bench ARGS="run"
	@$(BIN)/python -m bench $(ARGS)

soak: .venv/.dev ## run a storm of faults for 10 minutes, or ARGS="--minutes 30"
	@$(BIN)/python -m tests.soak $(ARGS)

screenshots: .venv/.dev ## take the pictures of the documentation again; needs chromium with its driver
	@$(BIN)/python -m tests.browser.screenshots docs/img

requirements: .venv/.dev ## pin the requirements again from pyproject.toml
	@$(BIN)/uv pip compile -q pyproject.toml --extra demo --universal --python-version 3.11 --no-annotate \
		--custom-compile-command "make requirements" -o requirements.txt
	@$(BIN)/uv pip compile -q pyproject.toml --extra dev --universal --python-version 3.11 --no-annotate \
		--custom-compile-command "make requirements" -o requirements-dev.txt

clean: ## remove the environment and the caches; data under var/ stays
	@rm -rf .venv build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
