# Two commands: `make demo` runs the main job, `make test` runs the tests. Both install what they need into .venv
# and can be repeated or interrupted at any time.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo test check lint format install clean

demo: $(VENV)/.installed
	@PATH="$(CURDIR)/$(BIN):$$PATH" sh flows/demo.sh

test: $(VENV)/.installed-dev
	@$(BIN)/pf model pull smollm2-135m || echo "tests that need the small model will be skipped"
	$(BIN)/python -m pytest

check: lint test

lint: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

install: $(VENV)/.installed

# The stamp is written last, so an interrupted install is taken up again; pip keeps what it has downloaded.
$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "promptflow_lite needs Python 3.11 or newer; say make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PIP) --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@echo "installing promptflow_lite into $(VENV) (a minute or two the first time)"
	@$(PIP) install --quiet --upgrade 'pip>=25.1'
	@$(PIP) install --quiet --editable '.[local,pdf]'
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "installing what the tests need"
	@$(PIP) install --quiet --editable '.[local,pdf,docx,ja,entra,otel,ray]' --group dev
	@touch $@

clean:
	rm -rf $(VENV) .demo .mypy_cache .ruff_cache
