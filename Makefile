# The whole gate for people and CI alike is `make check`; a stranger needs `make demo` and `make test` only.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup build demo test check lint clean

setup:
	@scripts/setup.sh

build:
	@$(BIN)/python setup.py -q build_ext --inplace

demo: setup
	@$(BIN)/netlab demo

test:
	@scripts/setup.sh tests
	@scripts/test.sh

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

check: lint test

clean:
	rm -rf build out .pytest_cache .mypy_cache .ruff_cache
	find ebbrt drivers stack apps -name '*.so' -delete
	rm -f ebbrt/_built.json
