# The commands of this repository. They need make and Python >= 3.11 with pip, and install nothing outside this folder.

PYTHON ?= python3
# LOWEST=1 uses another environment, with the oldest versions that pyproject.toml allows.
VENV := $(if $(filter-out 0,$(LOWEST)),.venv-lowest,.venv)
PY := $(VENV)/bin/python

# The client has its own environment: Kivy has no wheels for the newest Python, and a server needs no window.
CLIENT_VENV := .venv-client
CLIENT_PY := $(CLIENT_VENV)/bin/python

# Some tests take long, so an idle process takes tests from a busy one.
WORKERS ?= 2
PYTEST := $(PY) -m pytest --numprocesses=$(WORKERS) --dist=worksteal

# Runs a command and keeps its result in .reports, for `make report`.
RECORD := $(PY) tools/report/record.py
# Not $(MAKE) in the recipe itself: `make -n` would run the line, and leave the record of a run that never was.
STEPS := $(MAKE) --no-print-directory

# Variables of another project in this shell must not choose our settings or our packages. Without bytecode files every
# process that the tests start would compile the package again, and every pytest would rewrite all tests again.
unexport DJANGO_SETTINGS_MODULE PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help .venv .venv-client demo client client-test client-matrix client-shots client-dist admin-shots test bench check check-steps matrix postman soak load simulate drill bare-server pgbouncer nightly mutants report clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z.-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# --- the environment: one stamp file per dependency group of pyproject.toml, so that each command installs only its own

# The groups that a group includes: its stamp stands for theirs, too.
INCLUDED_check := test demo
INCLUDED_test := demo
INCLUDED_mutants := test demo
CLIENT_INCLUDED_test := keyring

.venv: $(VENV)/.check ## everything a developer needs, in .venv (PYTHON=python3.12 chooses another Python)

$(PY):
	@command -v $(PYTHON) >/dev/null || { echo "There is no $(PYTHON) here: install Python 3.11 or newer, or run make PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, $(PYTHON) is %d.%d: run make PYTHON=python3.12, or another path" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	@# A half-made environment would look complete to the next make.
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/.%: pyproject.toml | $(PY)
	@echo "installing into $(VENV): $*" >&2
	@# Dependency groups need pip 25.1; Python 3.11 and 3.12 bring an older one.
	@$(PY) -m pip install -qq 'pip>=25.1'
ifeq ($(VENV),.venv-lowest)
	@$(PY) -m pip install -qq uv
	@$(PY) -m uv pip install -q --python $(PY) --resolution lowest-direct -r pyproject.toml --all-extras --group $* --editable .
else
	@$(PY) -m pip install -qq --editable . --group $*
endif
	@touch $@ $(INCLUDED_$*:%=$(VENV)/.%)

.venv-client: $(CLIENT_VENV)/.test ## the Kivy client's own environment, in .venv-client

$(CLIENT_PY):
	@$(PYTHON) -c 'import sys; sys.exit("The client needs Python 3.11, 3.12 or 3.13 (Kivy has wheels for no other), $(PYTHON) is %d.%d: run make PYTHON=python3.12" % sys.version_info[:2] if not (3, 11) <= sys.version_info < (3, 14) else 0)'
	@$(PYTHON) -m venv $(CLIENT_VENV) || { rm -rf $(CLIENT_VENV); exit 1; }

$(CLIENT_VENV)/.%: client_app/pyproject.toml | $(CLIENT_PY)
	@echo "installing into $(CLIENT_VENV): $*" >&2
	@$(CLIENT_PY) -m pip install -qq --only-binary kivy --editable 'client_app[$*]'
	@touch $@ $(CLIENT_INCLUDED_$*:%=$(CLIENT_VENV)/.%)

# --- the commands ---

# With a display the client's window opens too. If it cannot open, the demo goes on without it.
WINDOW := $(if $(filter-out 0,$(ONCE)),,$(DISPLAY)$(WAYLAND_DISPLAY))

demo: $(VENV)/.demo ## a player buys coins, all on this machine (ONCE=1: one purchase, then exit; DATA=1: with a year of made-up payments; PORT=8000)
ifneq ($(WINDOW),)
	@$(MAKE) --no-print-directory $(CLIENT_VENV)/.keyring || echo "The demo goes on without the client's window." >&2
endif
	@$(PY) sample_project/demo.py $(if $(filter-out 0,$(ONCE)),--once) $(if $(filter-out 0,$(DATA)),--data) $(if $(PORT),--port $(PORT)) $(if $(WINDOW),--client $(CLIENT_PY))

client: $(CLIENT_VENV)/.keyring ## the Kivy client (FEEXPAY_SERVER=https://…; default: the running demo; BRAND=path/to/brand.toml: under your own name)
	@$(if $(BRAND),FEEXPAY_BRAND=$(abspath $(BRAND)) )$(CLIENT_PY) tools/client.py run

# First the tests that must also pass on SQLite, then all tests on PostgreSQL, which tests/launcher.py starts.
test: $(VENV)/.test client-test ## every test that CI runs (WORKERS=2; 0: in one process; LOWEST=1: on the oldest dependencies)
	DATABASE_URL=sqlite:///test.sqlite3 $(RECORD) test-sqlite -- $(PYTEST) -q -m "django_db and not postgres_only" tests/payments tests/api tests/webhooks
	$(RECORD) test -- $(PYTEST) --cov --cov-report=term -p tests.coverage_gate

# The client's tests run separately, because Kivy and Django are not installed in one environment.
client-test: export FEEXPAY_SERVER_PYTHON := $(CURDIR)/$(PY)
client-test: $(VENV)/.demo $(CLIENT_VENV)/.test
ifeq ($(filter-out 0,$(SKIP_GUI)),)
	@$(CLIENT_PY) tools/client.py graphics
	cd client_app && ../$(CLIENT_PY) ../tools/report/record.py client-test -- ../$(CLIENT_PY) -m pytest -q --numprocesses=$(WORKERS) --dist=worksteal
else
	@echo "SKIP_GUI: runs only the client tests that need no window" >&2
	cd client_app && ../$(CLIENT_PY) ../tools/report/record.py client-test -- ../$(CLIENT_PY) -m pytest -q tests/core tests/e2e --numprocesses=$(WORKERS) --dist=worksteal -m "not window"
endif

client-matrix: $(VENV)/.demo $(CLIENT_VENV)/.test ## kill the client in every state, start it again, count charges and payments
	@cd client_app && ../$(CLIENT_PY) -m tests.e2e.matrix

client-shots: $(CLIENT_VENV)/.test ## redraw the pictures of docs/client.md
	@cd client_app && ../$(CLIENT_PY) -m tests.shots

admin-shots: $(VENV)/.test ## redraw the pictures of docs/how-to/admin.md in Chromium
	@$(PY) -m pytest -q tests/browser/test_questions.py --admin-pictures docs/images/admin

client-dist: $(CLIENT_VENV)/.keyring $(CLIENT_VENV)/.dist ## build the client as a folder that runs without Python and as a Debian package, in dist/ (BRAND=path/to/brand.toml: under your own name)
	@$(CLIENT_PY) client_app/tools/dist.py $(BRAND)

bench: $(VENV)/.test $(CLIENT_VENV)/.test ## benchmarks, as ratios to minimal code in the same run (QUICK=1: briefly; GATE=1: fail if a goal is missed)
	@$(RECORD) bench -- $(PY) -m tools.bench $(if $(filter-out 0,$(QUICK)),--quick) $(if $(filter-out 0,$(GATE)),--gate)
ifeq ($(filter-out 0,$(SKIP_GUI)),)
	@cd client_app && ../$(CLIENT_PY) -m tests.bench $(if $(filter-out 0,$(GATE)),--gate)
endif

check: $(VENV)/.check $(CLIENT_VENV)/.test ## lint, types, import contracts, own rules, migrations, deploy files, dependency audit (AUDIT=--strict)
	@$(RECORD) check -- $(STEPS) check-steps

check-steps:
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	cd client_app && ../$(CLIENT_PY) -m mypy
	cd client_app && PYTHONPATH=src ../$(VENV)/bin/lint-imports
	$(VENV)/bin/lint-imports
	$(PY) -m tools.code_rules
	DATABASE_URL=sqlite://:memory: $(PY) sample_project/manage.py makemigrations --check --dry-run
	DATABASE_URL=sqlite://:memory: $(PY) sample_project/manage.py spectacular --validate --fail-on-warn --file /dev/null
	$(PY) tools/deploy_check.py
	$(PY) -m tools.release
	$(PY) -m tools.monitoring_files --check
	$(PY) -m tools.deployment.check
	$(PY) tools/audit.py $(AUDIT)

postman: $(VENV)/.demo ## write the Postman collection of docs/reference from the API description
	@$(PY) tools/postman.py

# The soak kills processes and connections at random times, and then compares charges with credits.
soak: $(VENV)/.test ## the chaos soak (N=200 purchases; SEED= repeats an earlier run)
	@$(RECORD) soak -- $(PY) -m tests.soak --count $(or $(N),200) $(if $(SEED),--seed $(SEED))

# Everything runs on this machine, so give it to the load alone: other programs make every figure larger.
load: $(VENV)/.test ## cores per 1,000 payments/s: whole payments over HTTP, each credited once (SECONDS=20; PAYERS=8)
	@$(RECORD) load -- $(PY) -m tools.load --seconds $(or $(SECONDS),20) --payers $(or $(PAYERS),8)

# One seed decides the time, all randomness, FeexPay's answers and the order in which the actors run.
simulate: $(VENV)/.test ## deterministic simulation by seeds (SEEDS=200 of them; SEED=17 repeats one and prints its trace; POSTGRES=1)
	@$(RECORD) simulate -- $(PY) -m tests.simulation --processes $(WORKERS) --seeds $(or $(SEEDS),200) $(if $(SEED),--seed $(SEED)) $(if $(filter-out 0,$(POSTGRES)),--postgres)

# A database is killed with kill -9 and restored to the last archived moment; then a replica takes over.
drill: $(VENV)/.test ## the recovery drill: restore a backup, ask FeexPay for what it lost, promote a replica (N=20 payments)
	@$(RECORD) drill -- $(PY) -m tools.drill --count $(or $(N),20)

# It needs root, Debian and the packages of the page; everything happens in namespaces that are gone afterwards.
bare-server: $(VENV)/.test $(CLIENT_VENV)/.test ## follow docs/how-to/deploy.md on a server of its own: kills, a rolling restart, Prometheus, every alert (PART=measure or watch)
	@$(PY) -m tools.deployment.bare_server $(PART)

pgbouncer: $(VENV)/.test ## the tests that need locks, leases and notices, through pgbouncer in transaction mode
	@$(PY) -m tools.deployment.pgbouncer

# `make test` uses the same examples each time; this uses new ones for half an hour. Add each finding as a fixed example.
nightly: $(VENV)/.test $(CLIENT_VENV)/.test ## every property test with random seeds, and the state machine for 250 runs of 60 steps
	$(RECORD) nightly -- $(PYTEST) -q -m hypothesis --hypothesis-profile=nightly
	cd client_app && ../$(CLIENT_PY) -m pytest -q tests/core --hypothesis-profile=nightly
	$(PY) -m pytest tests/payments/test_statemachine.py --hypothesis-profile=nightly

# Interrupt it at any time: the next call goes on. MODULE=ledger runs one module, FRESH=1 forgets earlier results.
mutants: $(VENV)/.mutants ## change the core modules in small steps: at least 95 % of the changes must fail a test (MODULE=ledger; FRESH=1; SHOW=1)
	@nice -n 5 $(RECORD) mutants -- $(PY) -m tools.mutants $(if $(MODULE),--target $(MODULE)) $(if $(filter-out 0,$(FRESH)),--fresh) $(if $(filter-out 0,$(SHOW)),--show)

# An environment for each pair, in .venv-matrix. A Python that is not on this machine is named and left out.
matrix: $(PY) ## the tests on Python 3.11 to 3.13 with Django 5.2 to 6.1 (FULL=1: the whole suite; ONLY=3.12-6.1; TESTS=…)
	@$(RECORD) matrix -- $(PY) -m tools.matrix $(if $(filter-out 0,$(FULL)),--full) $(if $(ONLY),--only $(ONLY)) $(if $(TESTS),--tests $(TESTS))

report: $(VENV)/.demo ## the delivery report: what was run on this code, its results, and what was not run
	@$(PY) -m tools.report

clean: ## remove everything that the commands above created
	rm -rf .venv .venv-lowest .venv-matrix $(CLIENT_VENV) .demo .reports .mutants .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	rm -rf build dist htmlcov *.egg-info *.sqlite3 *.sqlite3-*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
