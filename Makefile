# `make demo` and `make test` do everything from a fresh clone: they create the environments they need.
# Set PYTHON to choose the interpreter the environments are made from (3.11 or later).

PYTHON ?= python3
# A file's tests stay in one process, so that what its fixtures export is exported once.
PYTEST_ARGUMENTS ?= -n 2 --dist loadfile --durations 15

DEV := .venv
DEV_PYTHON := $(DEV)/bin/python
CPU := .venv-cpu
SOURCES := $(shell find export runtime benchmarks -name '*.py' -o -name py.typed) README.md

.DELETE_ON_ERROR:
.PHONY: help demo serve-demo test lint types bench interop coverage clean

help:  ## Print these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(DEV)/.installed $(CPU)/.installed  ## Export real models and run them without PyTorch, beside PyTorch
	$(DEV_PYTHON) -m headway.benchmarks.demo --runtime-python $(CPU)/bin/python

serve-demo: $(DEV)/.installed  ## Serve the demo's models at http://localhost:8000/, exported first where they are not yet
	$(DEV_PYTHON) -m headway.benchmarks.serve_demo

test: lint types  ## Run the whole suite: ruff, mypy, pytest, the built wheel in a clean environment
	$(DEV_PYTHON) -m pytest $(PYTEST_ARGUMENTS)

lint: $(DEV)/.installed  ## Check style with ruff
	$(DEV_PYTHON) -m ruff check .
	$(DEV_PYTHON) -m ruff format --check .

# Type checkers do not follow the hook of an editable install, so they get a path where the packages lie as links.
types: $(DEV)/.installed  ## Check types with mypy, strictly for the runtime
	mkdir -p .typing/headway
	for package in export runtime benchmarks; do ln -sfn ../../$$package .typing/headway/$$package; done
	$(DEV_PYTHON) -m mypy --strict -p headway.runtime
	$(DEV_PYTHON) -m mypy -p headway.export -p headway.benchmarks

bench: $(DEV)/.installed  ## Measure beside every peer that installs; put tables into the README, plots into docs/
	$(DEV_PYTHON) -m headway.benchmarks
	$(DEV_PYTHON) -m headway.benchmarks.report
	$(DEV_PYTHON) -m headway.benchmarks.page

interop: $(DEV)/.installed  ## Run others' folders and docs/migrating.md here and there, and compare (an hour at first)
	$(DEV_PYTHON) -m headway.benchmarks.interop

coverage: $(DEV)/.installed  ## Export every model type and head that transformers knows; write docs/coverage.md (hours)
	$(DEV_PYTHON) -m headway.benchmarks.coverage --resume

clean:  ## Remove environments, caches and everything built; downloaded models stay
	rm -rf $(DEV) $(CPU) .typing build dist demo headway.egg-info
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find export runtime benchmarks tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(DEV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Headway needs Python 3.11 or later: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(DEV)
	$(DEV_PYTHON) -m pip install -c constraints.txt -e '.[cpu,export,dev]'
	touch $@

# Built through a source distribution: an old build/ folder in the tree would leak deleted modules into the wheel.
dist/.built: $(DEV)/.installed $(SOURCES)
	rm -rf dist
	$(DEV_PYTHON) -m build --outdir dist
	touch $@

# Only what a user of the runtime installs: the wheel and its [cpu] extra, neither torch nor transformers.
$(CPU)/.installed: dist/.built
	rm -rf $(CPU)
	$(PYTHON) -m venv $(CPU)
	$(CPU)/bin/python -m pip install -c constraints.txt "$$(ls dist/*.whl)[cpu]"
	touch $@
