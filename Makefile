# Two commands: `make demo` and `make test`. Both set up .venv on first use.
PYTHON ?= python3.11
BIN := .venv/bin

.PHONY: demo test check clean

demo: .venv/ready
	$(BIN)/python examples/demo.py demo-output

test: check
	$(BIN)/pytest

check: .venv/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/python tests/typecheck.py

.venv/ready: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e '.[dev]'
	touch $@

clean:
	rm -rf .venv demo-output
