# Each target sets up what it needs in .venv, from the lock with hashes, and does so once.
# `make run ARGS="--name alice"` hands options on; `make test ARGS="tests/wire -x"` runs a part.

VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
PYTHONS := $(PYTHON) python3.13 python3.12 python3.11 python3 python3.14

# The first interpreter that can carry us: "ok NAME", "venv NAME" (no ensurepip), or nothing (too old or none).
find_python = $(shell for p in $(PYTHONS); do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || continue; \
	"$$p" -c 'import ensurepip, venv' >/dev/null 2>&1 && { echo "ok $$p"; exit; }; \
	[ -n "$$half" ] || half=$$p; done; [ -z "$$half" ] || echo "venv $$half")
need_python = gossamer needs Python 3.11 or newer with venv: apt install python3 python3-venv \
	(Debian 12, Ubuntu 24.04 or newer), dnf install python3.12 (Fedora), brew install python@3.13 (macOS)
need_venv = gossamer needs the venv module of $(1): apt install $(1)-venv

.PHONY: help setup setup-dev run demo test check coverage gate bench torture schema lock clean

help:
	@echo "make run      start your node and say what to do next"
	@echo "make demo     three nodes and an echo bot on this machine"
	@echo "make test     the whole test suite (under ten minutes on two cores)"
	@echo "make check    lint, format, types, architecture, documentation (under two minutes)"
	@echo "make gate     the longer tests: real clients, long columns"
	@echo "make bench    speed, beside the bare parts it is made of"
	@echo "make torture  kills and chaos for as long as you allow: make torture ARGS='--minutes 60' or '--frames 5000000'"
	@echo "make schema   write the bridge's schema, types and reference anew, from the code"
	@echo "make setup    only install, into $(VENV)"

$(BIN)/python:
	@$(eval FOUND := $(find_python))
	@$(if $(filter ok,$(word 1,$(FOUND))),,$(if $(FOUND),$(error $(call need_venv,$(word 2,$(FOUND)))),$(error $(need_python))))
	@rm -rf $(VENV)
	@$(word 2,$(FOUND)) -m venv $(VENV)

# A lock is installed whole, by hash, and then the project itself without asking an index for anything.
define install
@echo "installing into $(VENV) (once) ..." >&2
@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(1)
@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
@touch $@
endef

$(VENV)/.run: requirements.lock pyproject.toml | $(BIN)/python
	$(call install,requirements.lock)

$(VENV)/.dev: requirements-dev.lock pyproject.toml | $(BIN)/python
	$(call install,requirements-dev.lock)
	@touch $(VENV)/.run

setup: $(VENV)/.run

setup-dev: $(VENV)/.dev

run: setup
	@exec $(BIN)/gossamer run $(ARGS)

demo: setup
	@exec $(BIN)/gossamer demo $(ARGS)

# The nodes that tests start find their modules compiled, also where PYTHONDONTWRITEBYTECODE is set.
test: setup-dev
	@$(BIN)/python -m compileall -q cli.py node
	$(BIN)/python -m pytest -m "not gate and not hours" -n auto --dist worksteal $(ARGS)

coverage: setup-dev
	$(BIN)/python -m coverage run -m pytest -m "not gate and not hours" $(ARGS)
	$(BIN)/python -m coverage report --skip-covered

check: setup-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_architecture.py tests/test_docs.py

gate: setup-dev
	$(BIN)/python -m pytest -m gate --timeout 1200 $(ARGS)

bench: setup-dev
	$(BIN)/python -m bench $(ARGS)

torture: setup-dev
	$(BIN)/python -m bench.torture $(ARGS)

schema: setup-dev
	$(BIN)/gossamer schema --write .

# pip-tools lives in a venv of its own; nothing of this machine's package settings reaches the lock.
COMPILE = PIP_CONFIG_FILE=/dev/null PIP_FIND_LINKS= $(VENV)/lock/bin/pip-compile --quiet --upgrade --generate-hashes \
	--allow-unsafe --strip-extras --build-deps-for editable --no-emit-index-url --no-emit-find-links \
	--no-emit-trusted-host --no-header

lock: | $(BIN)/python
	@$(BIN)/python -m venv $(VENV)/lock
	@$(VENV)/lock/bin/python -m pip install --quiet --disable-pip-version-check pip-tools
	@$(COMPILE) --output-file requirements.lock pyproject.toml
	@$(COMPILE) --extra dev --constraint requirements.lock --output-file requirements-dev.lock pyproject.toml
	@rm -rf $(VENV)/lock
	@for f in requirements.lock requirements-dev.lock; do \
		{ echo "# Exact versions, with the hashes of every file published for them. Written by \`make lock\`; do not edit."; \
		grep -v 'considered to be unsafe' $$f; } > $$f.new && mv $$f.new $$f; done

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
