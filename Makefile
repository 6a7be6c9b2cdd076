# Everything a newcomer needs: make run, make test. The work is in deploy/install.sh and the
# scalecast command; only relative paths here, so that a folder with a space in its name works.
#
# Variables: PYTHON names the interpreter (3.11 or 3.12). Where pip would fetch torch with several
# gigabytes of CUDA libraries, set PIP_EXTRA_INDEX_URL to PyTorch's index of CPU builds.

SHELL := /bin/sh
BIN := .venv/bin
WORKERS ?= 2
export PYTHON

.PHONY: run install install-dev up test test-faults lint lock clean

run: install
	@$(BIN)/scalecast up --with-sample

up: install
	@$(BIN)/scalecast up

install:
	@sh deploy/install.sh

install-dev:
	@sh deploy/install.sh dev

test: lint
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

# The faults that take longer: kill -9, full disks and cut connections, from file to promoted model.
test-faults: install-dev
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m slow_faults tests/faults

lint: install-dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/sqlfluff lint dbt_project/models

# The newest releases that pyproject.toml admits, resolved in an environment of their own.
lock:
	@rm -rf .venv-lock
	@$(or $(PYTHON),python3.11) -m venv .venv-lock
	@.venv-lock/bin/python -m pip install --quiet --upgrade setuptools packaging '.[dev]'
	@.venv-lock/bin/python deploy/lock.py
	@rm -rf .venv-lock build
	@git diff --stat -- '*.lock'

# Leaves .scalecast, the data and models, alone.
clean:
	@rm -rf .venv .venv-lock *.egg-info build dbt_project/target dbt_project/logs
	@rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
