# The commands of this repository. They need make and a Python >= 3.11 with pip, nothing else, and
# install nothing outside this folder.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python

# The client lives apart: Kivy has no wheels for the newest Python, and a server needs no window.
CLIENT_VENV := .venv-client
CLIENT_PY := $(CLIENT_VENV)/bin/python

# Some tests are long: who is done early takes over from the other.
WORKERS ?= 2
PYTEST := $(PY) -m pytest --numprocesses=$(WORKERS) --dist=worksteal

# What another project left in the shell must not choose our settings or our packages.
unexport DJANGO_SETTINGS_MODULE PYTHONPATH PYTHONHOME
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help .venv .venv-client demo client client-test client-matrix client-shots client-dist test bench check postman soak nightly clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z.-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

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

.venv-client: $(CLIENT_VENV)/.test ## the Kivy client's own environment, in .venv-client

$(CLIENT_PY):
	@$(PYTHON) -c 'import sys; sys.exit("The client needs Python 3.11, 3.12 or 3.13 (Kivy has wheels for no other), $(PYTHON) is %d.%d: say make PYTHON=python3.12" % sys.version_info[:2] if not (3, 11) <= sys.version_info < (3, 14) else 0)'
	@$(PYTHON) -m venv $(CLIENT_VENV) || { rm -rf $(CLIENT_VENV); exit 1; }

$(CLIENT_VENV)/.%: client_app/pyproject.toml | $(CLIENT_PY)
	@echo "installing into $(CLIENT_VENV): $*" >&2
	@$(CLIENT_PY) -m pip install -qq --only-binary kivy --editable 'client_app[$*]'
	@touch $@

# --- the commands ---

# With a display the client's window opens, too. Whatever keeps it from opening, the rest of the demo goes on.
WINDOW := $(if $(filter-out 0,$(ONCE)),,$(DISPLAY)$(WAYLAND_DISPLAY))

demo: $(VENV)/.demo ## a player buys coins, all on this machine (ONCE=1: once, and leave; PORT=8000)
ifneq ($(WINDOW),)
	@$(MAKE) --no-print-directory $(CLIENT_VENV)/.keyring || echo "The demo goes on without the client's window." >&2
endif
	@$(PY) sample_project/demo.py $(if $(filter-out 0,$(ONCE)),--once) $(if $(PORT),--port $(PORT)) $(if $(WINDOW),--client $(CLIENT_PY))

client: $(CLIENT_VENV)/.keyring ## the Kivy client (FEEXPAY_SERVER=https://…; default: the demo that runs)
	@$(CLIENT_PY) tools/client.py run

# First what must hold on SQLite too, then everything on PostgreSQL, which tests/launcher.py starts.
test: $(VENV)/.test client-test ## every test that CI runs (WORKERS=2; 0: one after the other)
	DATABASE_URL=sqlite:///test.sqlite3 $(PYTEST) -q -m "django_db and not postgres_only" tests/payments tests/api tests/webhooks
	$(PYTEST) --cov --cov-report=term -p tests.coverage_gate

# The client's tests in a process of their own: Kivy and Django share no interpreter here.
client-test: $(VENV)/.demo $(CLIENT_VENV)/.test
ifeq ($(filter-out 0,$(SKIP_GUI)),)
	@$(CLIENT_PY) tools/client.py graphics
	cd client_app && ../$(CLIENT_PY) -m pytest -q --numprocesses=$(WORKERS) --dist=worksteal
else
	@echo "SKIP_GUI: the client's tests that need no window, and only those" >&2
	cd client_app && ../$(CLIENT_PY) -m pytest -q tests/core tests/e2e --numprocesses=$(WORKERS) --dist=worksteal -m "not window"
endif

client-matrix: $(VENV)/.demo $(CLIENT_VENV)/.test ## the client killed in every state and started again: charges and payments counted
	@cd client_app && ../$(CLIENT_PY) -m tests.e2e.matrix

client-shots: $(CLIENT_VENV)/.test ## draw the pictures of docs/client.md anew
	@cd client_app && ../$(CLIENT_PY) -m tests.shots

client-dist: $(CLIENT_VENV)/.keyring $(CLIENT_VENV)/.dist ## the client as a folder that runs without Python, in dist/feexpay_client
	@KIVY_LOG_MODE=PYTHON $(CLIENT_PY) -m PyInstaller --noconfirm --log-level ERROR client_app/feexpay_client.spec
	@$(CLIENT_PY) tools/client.py smoke

bench: $(VENV)/.test $(CLIENT_VENV)/.test ## benchmarks as ratios in one run (GATE=1: a missed goal fails)
	@$(PY) -m tools.bench $(if $(filter-out 0,$(GATE)),--gate)
ifeq ($(filter-out 0,$(SKIP_GUI)),)
	@cd client_app && ../$(CLIENT_PY) -m tests.bench $(if $(filter-out 0,$(GATE)),--gate)
endif

check: $(VENV)/.check $(CLIENT_VENV)/.test ## lint, types, import contracts, migrations, deploy check, dependency audit (AUDIT=--strict)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	cd client_app && ../$(CLIENT_PY) -m mypy
	$(VENV)/bin/lint-imports
	DATABASE_URL=sqlite://:memory: $(PY) sample_project/manage.py makemigrations --check --dry-run
	DATABASE_URL=sqlite://:memory: $(PY) sample_project/manage.py spectacular --validate --fail-on-warn --file /dev/null
	$(PY) tools/deploy_check.py
	$(PY) tools/audit.py $(AUDIT)

postman: $(VENV)/.demo ## the Postman collection of docs/reference, out of the API's own description
	@$(PY) tools/postman.py

# Processes and connections die at instants drawn from a seed; what was taken and what was credited is compared.
soak: $(VENV)/.test ## the chaos soak (N=200 purchases; SEED= repeats another one's plan)
	@$(PY) -m tests.soak --count $(or $(N),200) $(if $(SEED),--seed $(SEED))

# `make test` tries the same examples each time; this tries new ones, for half an hour. What it finds becomes a fixed example.
nightly: $(VENV)/.test $(CLIENT_VENV)/.test ## every property test with random seeds and the state machine at length (250 lives of 60 steps)
	$(PYTEST) -q -m hypothesis --hypothesis-profile=nightly
	cd client_app && ../$(CLIENT_PY) -m pytest -q tests/core --hypothesis-profile=nightly
	$(PY) -m pytest tests/payments/test_statemachine.py --hypothesis-profile=nightly

clean: ## remove everything the commands above made
	rm -rf $(VENV) $(CLIENT_VENV) .demo .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	rm -rf build dist htmlcov *.egg-info *.sqlite3 *.sqlite3-*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
