# Everything a developer or a fresh machine needs. `make help` lists the targets.
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed-from-lock
# Where packages come from is the machine's business (mirror, proxy, certificates); which ones is settled by the
# hashes, and where they go by us: a personal pip configuration may not send them elsewhere.
PIP := env -u PIP_TARGET -u PIP_PREFIX -u PIP_ROOT PIP_USER=0 PIP_REQUIRE_VIRTUALENV=0 PIP_NO_DEPS=0 PIP_DRY_RUN=0 \
  $(PYTHON) -m pip --python $(BIN)/python --disable-pip-version-check --no-input

# Tests start processes by the hundred: none of them should compile everything anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install lock demo test test-whole run-tests check fast-tests fix servers lint style types imports faults \
  bench bench-uniqueness bench-silence bench-workers bench-flood kills soak hosts fuzz fuzz-guided coverage \
  simulation schemas reference deb clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

install: $(STAMP) ## make the virtual environment from the locked, hashed dependencies

# Debian's python3 has no ensurepip until python3-venv is installed; the pip of the system fills the venv instead.
$(STAMP): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "mailflow needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V). Set PYTHON=…"; exit 1; }
	@$(PYTHON) -m pip --version >/dev/null 2>&1 \
	  || { echo "$(PYTHON) has no pip. On Debian: apt-get install python3-pip"; exit 1; }
	$(PYTHON) -m venv --without-pip $(VENV)
	@echo "$(PYTHON) -m pip install -r requirements/dev.txt"
	@$(PIP) install --quiet --require-hashes -r requirements/dev.txt
	@$(PIP) install --quiet --no-deps --no-build-isolation --no-index -e .
	@touch $@

demo: $(STAMP) ## the whole service against an embedded mail server: no set-up, no root
	$(BIN)/python -m mailflow.demo

check: $(STAMP) ## what must be clean before each commit: style, types, imports, fast tests (within a minute)
	@$(MAKE) --no-print-directory --jobs --output-sync=target lint fast-tests

fast-tests: $(STAMP)
	$(BIN)/pytest -q -n auto --hypothesis-profile brief -m "not slow and not long" tests/unit tests/simulation tests/test_tidy.py tests/test_docs.py

# Databases, mail and keys of tests lie in memory where there is enough: what they wait for there is not their matter.
IN_MEMORY := $(shell [ "$$(df --output=avail -m /dev/shm 2>/dev/null | tail -1)" -gt 6000 ] 2>/dev/null && echo TMPDIR=/dev/shm)
# On real servers a test waits for half of its time: two for each core leave none idle.
AT_ONCE := $(shell echo $$((2 * $$(nproc))))
# What fails beside others is run once more alone (tests/support/twice.py): a busy machine fails nothing, but it is told.
TESTS = $(IN_MEMORY) $(BIN)/python -m tests.support.twice -n $(AT_ONCE) --dist worksteal
# What the tests need is fetched side by side; the types, which take one core half a minute, are looked at beside them.
BEFORE = $(MAKE) --no-print-directory --jobs --output-sync=target install style imports servers
BESIDE = $(MAKE) --no-print-directory --jobs types run-tests
test: ## all but the longest, on real servers; installs them when it may, says what it leaves out otherwise
	@$(BEFORE)
	@$(BESIDE) WHICH='-m "not long"'

test-whole: ## that, the longest, and the other database where it has one of both (before a release)
	@$(BEFORE)
	@$(BESIDE)

run-tests: $(STAMP)
	$(TESTS) $(WHICH)

# Goes on where it was stopped. Some rows, the others kept as they were: make faults ARGUMENTS="--kind imap --report bench"
faults: $(STAMP) servers ## break the worker at every point, on real servers; a report in build/faults (eight hours on two cores)
	$(IN_MEMORY) $(BIN)/python -m tests.faults $(ARGUMENTS)

servers: ## what the tests need beside Python, if it may be installed
	tests/servers/install

lint: style types imports ## style, types and imports only

style: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

imports: $(STAMP)
	$(BIN)/lint-imports

fix: $(STAMP) ## mend what a machine can mend: style, the sample settings, the tables in the documents
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .
	$(BIN)/python -m tests.support.documents

bench: $(STAMP) ## measure end to end; prints a table and JSON
	$(BIN)/python -m bench

bench-uniqueness: $(STAMP) ## measure uniqueness in registers of up to five million requests (20 GB of disk for a time)
	$(BIN)/python -m bench.uniqueness

bench-silence: $(STAMP) ## how long a mail that is answered by silence lies in the inbox, for each reason why
	$(BIN)/python -m bench.silence

bench-workers: $(STAMP) ## messages a second by one, two and four workers, and the share of the database
	$(BIN)/python -m bench.workers

bench-flood: $(STAMP) ## how long a single mail waits that lies behind 20,000 of another desk
	$(BIN)/python -m bench.flood

# How long: ten thousand take an hour or two of two cores. On a machine that does other work: make kills KILLS=1000
KILLS ?= 10000
kills: $(STAMP) ## two to four workers, killed at random under a load, on real servers
	$(BIN)/python -m tests.hosts.kills --kills $(KILLS) --report build/kills.txt

# Ends at the rate of the machine: two cores need half an hour. What it found is build/soak.md, with a plot beside it.
MAILS ?= 100000
soak: $(STAMP) ## that many mails, some hostile or repeated, while servers are restarted at random; memory must not grow
	$(BIN)/python -m tests.hosts.soak --mails $(MAILS) --report build/soak.md

hosts: $(STAMP) ## hosts cut off, and PostgreSQL failing over, under a load (half an hour; needs root)
	$(BIN)/python -m tests.hosts.partitions --report build/partitions.md
	$(BIN)/python -m tests.hosts.failovers --report build/failovers.md

# Goes on where it was stopped; what it has played is in tests/simulation/SEEDS.md: make simulation SEEDS=0:100000
SEEDS ?= 0:1000
simulation: $(STAMP) ## play many seeds of the simulated service in bad weather (100,000 take a day on one core)
	$(BIN)/python -m tests.simulation play $(SEEDS)

fuzz: $(STAMP) ## a million mutated mails beside OpenSSL and asn1crypto (minutes)
	$(BIN)/python -m tests.fuzz.differential

# Which parsers there are: tests/fuzz/targets.py. What the fuzzer found worth keeping stays in build/fuzz.
TARGET ?= mail
SECONDS ?= 60
fuzz-guided: $(STAMP) ## one parser, coverage leading: make fuzz-guided TARGET=request-file SECONDS=600
	@$(PIP) install --quiet --require-hashes -r requirements/fuzz.txt
	$(BIN)/python -m tests.fuzz.guided $(TARGET) build/fuzz/$(TARGET) -max_total_time=$(SECONDS)

# The tests that are about what decides who may register (which modules: pyproject.toml, [tool.coverage.run]).
DECIDING := tests/unit $(wildcard tests/integration/test_registrar*.py tests/integration/test_revocation*.py) \
  $(addprefix tests/integration/test_,case.py jobs_lifetimes.py numbers_stopped.py openssl_cms.py person_rights.py) -k "not postgresql"
coverage: $(STAMP) ## every branch of what decides who may register is tried by a test (minutes)
	mkdir -p build
	$(BIN)/coverage run -m pytest -q $(DECIDING)
	$(BIN)/coverage report

# What came of it is docs/mutation.md. A part of it: make mutation MODULES=mailflow/mail/trust PARTS=1
MODULES ?= $(addprefix mailflow/mail/,cms fields.py judge.py mime.py trust) mailflow/registrar
PARTS ?= 3
mutation: $(STAMP) ## plant one small change after another in the same modules: a test sees it (hours)
	$(BIN)/python -m tests.mutation --modules $(MODULES) --parts $(PARTS) -- $(DECIDING)

schemas: $(STAMP) ## write what we publish anew from the models
	$(BIN)/python -m mailflow.wire.publish schemas

# By the ordinary npm client; what it unpacks is only read. Another year: make reference LIST=@etalab/…@VERSION
LIST ?= @etalab/decoupage-administratif
reference: $(STAMP) ## fetch the official list of municipalities anew (needs npm) and publish it
	folder=$$(mktemp -d) && npm pack --silent --pack-destination "$$folder" $(LIST) >/dev/null \
	  && tar -xzf "$$folder"/*.tgz -C "$$folder" && $(BIN)/python -m tests.support.reference "$$folder/package"; \
	  done=$$?; rm -rf "$$folder"; exit $$done
	$(BIN)/python -m mailflow.wire.publish schemas

# Built from a copy of the files under version control; what pip has fetched once is not fetched again.
deb: ## build the Debian package into dist/ (needs debhelper and python3-pip)
	rm -rf build/deb && mkdir -p build/deb/mailflow dist
	git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t build/deb/mailflow
	cd build/deb/mailflow && PIP_CACHE_DIR="$$($(PYTHON) -m pip cache dir)" dpkg-buildpackage --build=binary --no-sign
	cp build/deb/*.deb dist/

lock: ## resolve the dependencies anew (needs uv on the PATH)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --upgrade -o requirements/run.txt pyproject.toml
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --upgrade --extra hsm -o requirements/hsm.txt pyproject.toml
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --upgrade --extra dev -o requirements/dev.txt pyproject.toml
	echo "atheris==3.0.0" | uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --upgrade -o requirements/fuzz.txt -

clean: ## remove what can be made again (the virtual environment stays)
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .cache build dist demo-output *.egg-info
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +
