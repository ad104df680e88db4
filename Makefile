# The commands of this repository. They need make and a Python >= 3.11 with pip, nothing else, and
# install nothing outside this folder.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python

# Some tests are long: who is done early takes over from the other.
WORKERS ?= 2
PYTEST := $(PY) -m pytest --numprocesses=$(WORKERS) --dist=worksteal

# What another project left in the shell must not choose our settings or our packages.
unexport DJANGO_SETTINGS_MODULE PYTHONPATH PYTHONHOME
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help .venv demo test bench check soak clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z.-]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# --- the environment: one stamp per extra of pyproject.toml, so that each command installs only its own ---

.venv: $(VENV)/.check ## everything a developer needs, in .venv (PYTHON=python3.12 chooses another Python)

$(PY):
	@command -v $(PYTHON) >/dev/null || { echo "There is no $(PYTHON) here: install Python 3.11 or newer, or say make PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, $(PYTHON) is %d.%d: say make PYTHON=python3.12, or where yours is" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	@# A half-made environment would look like a whole one to the next make.
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/.%: pyproject.toml | $(PY)
	@echo "installing into $(VENV): $*" >&2
	@$(PY) -m pip install -qq --editable '.[$*]'
	@touch $@

# --- the commands ---

demo: $(VENV)/.demo ## a player buys coins, all on this machine (ONCE=1: once, and leave; PORT=8000)
	@$(PY) sample_project/demo.py $(if $(filter-out 0,$(ONCE)),--once) $(if $(PORT),--port $(PORT))

# First what must hold on SQLite too, then everything on PostgreSQL, which tests/launcher.py starts.
test: $(VENV)/.test ## every test that CI runs (WORKERS=2; 0: one after the other)
	DATABASE_URL=sqlite:///test.sqlite3 $(PYTEST) -q -m "django_db and not postgres_only" tests/payments tests/api tests/webhooks
	$(PYTEST) --cov --cov-report=term -p tests.coverage_gate

bench: $(VENV)/.test ## benchmarks as ratios in one run (GATE=1: a missed goal fails)
	@$(PY) -m tools.bench $(if $(filter-out 0,$(GATE)),--gate)

check: $(VENV)/.check ## lint, types, import contracts, migrations, deploy check, dependency audit (AUDIT=--strict)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports
	DATABASE_URL=sqlite://:memory: $(PY) sample_project/manage.py makemigrations --check --dry-run
	DATABASE_URL=sqlite://:memory: $(PY) sample_project/manage.py spectacular --validate --fail-on-warn --file /dev/null
	$(PY) tools/deploy_check.py
	$(PY) tools/audit.py $(AUDIT)

# Processes and connections die at instants drawn from a seed; what was taken and what was credited is compared.
soak: $(VENV)/.test ## the chaos soak (N=200 purchases; SEED= repeats another one's plan)
	@$(PY) -m tests.soak --count $(or $(N),200) $(if $(SEED),--seed $(SEED))

clean: ## remove everything the commands above made
	rm -rf $(VENV) .demo .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	rm -rf build dist htmlcov *.egg-info *.sqlite3 *.sqlite3-*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
