# Two commands do all on a machine that has only Python 3.11 or newer: make demo, make test.

PYTHON ?= $(shell command -v python3.12 >/dev/null 2>&1 && python3.12 -c '' 2>/dev/null && echo python3.12 || { command -v python3.11 >/dev/null 2>&1 && python3.11 -c '' 2>/dev/null && echo python3.11 || echo python3; })
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
BROWSER := $(VENV)/.browser
export PLAYWRIGHT_BROWSERS_PATH := $(CURDIR)/$(VENV)/browsers

.PHONY: demo test test-all lint types unit browser docs lock bench clean

demo: $(STAMP)
	$(BIN)/dft demo demo --overwrite

test: lint types unit

test-all: lint types $(BROWSER)
	$(BIN)/pytest

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# mypy takes a module's name from its folders; the link gives the repository root the name of the package.
types: $(STAMP)
	mkdir -p $(VENV)/src && ln -sfn "$(CURDIR)" $(VENV)/src/dft
	cd $(VENV)/src && ../bin/mypy --config-file dft/pyproject.toml --cache-dir "$(CURDIR)/.mypy_cache" -p dft

unit: $(STAMP) $(BROWSER)
	$(BIN)/pytest -m "not slow"

browser: $(BROWSER)

# The tests of the review page take the Chromium of the system, or one that Playwright fetches (170 MB).
$(BROWSER): $(STAMP)
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || \
	  $(BIN)/playwright install --only-shell chromium || \
	  echo "No browser could be had: the tests of the review page will be skipped. Install one (Debian: apt install chromium), then: make browser"
	@touch $(BROWSER)

docs: $(STAMP)
	$(BIN)/dft settings > docs/settings.md

bench: $(STAMP)
	@test -n "$(VIDEO)" || { echo "make bench VIDEO=in.mp4"; exit 2; }
	$(BIN)/dft bench "$(VIDEO)"

# Everything installs by the lock file; the project itself stays editable.
$(STAMP): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "dft needs Python 3.11 or newer; got: $$($(PYTHON) --version 2>&1). Install it, or name it: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "$(PYTHON) cannot make virtual environments; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $(STAMP)

# The lock holds versions that work together on Python 3.11 and 3.12.
lock:
	$(PYTHON) -m venv build/lock
	build/lock/bin/pip install --quiet --upgrade --editable '.[cpu,plot,demo,review,cluster,dev]'
	{ echo "# Versions that were tested together; made by make lock."; \
	  build/lock/bin/pip freeze --all --exclude-editable --exclude pip; } > requirements.lock
	rm -rf build/lock

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis demo
