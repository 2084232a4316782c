# `make` alone lists the targets. PYTHON chooses the interpreter that .venv is made from.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
SAMPLE_MEMBERS = $(wildcard configs/sample/deepser.yaml configs/sample/members/*.yaml)

.DEFAULT_GOAL := help
.PHONY: help venv sample test lint format lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-8s %s\n", $$1, $$2}' Makefile

venv: $(INSTALLED) ## make .venv with everything that runs and checks the code

# The lock holds no NVIDIA libraries: the second pip adds them where the first one took a CUDA build of torch.
$(INSTALLED): requirements.lock requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: needs Python 3.11 or newer; make PYTHON=python3.11 …")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	$(BIN)/pip install --disable-pip-version-check -r requirements.txt
	$(BIN)/pip install --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

sample: $(INSTALLED) ## run the four stages on samples/, about a minute after the installation
	rm -rf runs/sample
	set -e; for member in $(SAMPLE_MEMBERS); do $(BIN)/python train_deepser.py $$member; $(BIN)/python eval_deepser.py $$member; done
	$(BIN)/python train_metacls.py configs/sample/metacls.yaml
	$(BIN)/python eval_metacls.py configs/sample/metacls.yaml
	@echo "Done. Members and their posteriors are in runs/sample/members, the ensemble and its scores in runs/sample/ensembles."

test: $(INSTALLED) ## run the tests
	$(BIN)/pytest

lint: $(INSTALLED) ## check style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(INSTALLED) ## mend style and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# One lock for Python 3.11 and newer on Linux, macOS and Windows. Two things are done to the resolver's output:
# what only a CUDA build of torch needs is left out, and the CPU build of torch is let in beside the ordinary wheels.
TORCH_CPU := 6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b# torch 2.13.0+cpu, cp311, Linux x86-64
lock: ## renew requirements.lock from requirements.txt and requirements-dev.txt
	$(PYTHON) -m venv build/lock
	build/lock/bin/pip install --quiet --disable-pip-version-check uv==0.13.9
	build/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		requirements.txt requirements-dev.txt --output-file requirements.lock > /dev/null
	{ echo '# Made by `make lock`: requirements.txt, requirements-dev.txt and what they need, with hashes.'; \
	  awk '/^[a-z]/ { keep = !/^(nvidia-|cuda-|triton=)/ } keep' requirements.lock \
	  | sed 's/^torch==.*/&\n    --hash=sha256:$(TORCH_CPU) \\/'; } > build/requirements.lock
	mv build/requirements.lock requirements.lock

clean: ## remove .venv, caches and runs/sample; other runs, data and models stay
	rm -rf $(VENV) build runs/sample .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
