# Fluvial's commands; `make help` lists them. Each does its own set-up: Debian packages, a virtual
# environment, the build. Variables:
#
#   PORT=8000          where `make run` listens
#   TESTS="PATH ..."   what the test verbs run, with any options of pytest's
#   JOBS=...           how many tests run at once, two more than there are cores; 0 for one process, as
#                      a debugger needs
#   EXTRAS=test        without the frameworks that tests/asgi/apps starts, PostgreSQL and the browser
#   BENCH="..."        options of bench/http.py or bench/loop.py
#   RECORD=1           `make coverage` writes the new floor
#   DURATION=600       how many seconds `make soak` takes
#   FUZZ_SECONDS=60    how long each fuzzer of `make fuzz` runs
#   MUTANTS="ws/* ..." which breakages `make mutants` tries, by name; all without it
#   WHEELS="..."       options of scripts/wheels.py: --python 3.13 --target manylinux_2_28_x86_64
#   CONFORMANCE="..."  options of tests/conformance/loop/run.py, .../libs/run.py, .../fastapi/run.py, .../ws/run.py or
#                      .../h2/run.py
#   PYTHON=...         another interpreter than the first CPython >= 3.11 found; it gets .venv-X.Y
#   PYTHONS="... ..."  `make test` with each of these in turn
#   SYSTEM=forky       `make test` in a minimal Debian of that suite, made under build/ (root only), with
#                      its own Python or PYTHON=python3.15

PORT ?= 8000
TESTS ?=
# Many tests wait for processes that start, or for something to time out.
JOBS ?= $(shell expr $$(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN) + 2)
EXTRAS ?= test,test-apps
BENCH ?=
MUTANTS ?=
WHEELS ?=
FUZZ_SECONDS ?= 60
DURATION ?= 600
RECORD ?=
CONFORMANCE ?=
# Slow tests come last in some files: workers that run dry take over tests of others.
SPREAD = -n $(JOBS) --dist worksteal
# The C++ library, too: greenlet throws, and the sanitizer must have seen who catches.
ASAN_LIBRARIES = $(shell cc -print-file-name=libasan.so) $(shell cc -print-file-name=libstdc++.so.6)
COMMA = ,
VERSION_OF = -c 'import sys; print("%d.%d" % sys.version_info[:2])'

ifdef SYSTEM
export PYTHON
VENV := .venv
else ifdef PYTHON
VENV := .venv-$(shell $(PYTHON) $(VERSION_OF))
else
PYTHON := $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.version_info < (3, 11) and exit(1); print(sys.executable)' \
	2>/dev/null && break; done)
VENV := .venv
endif
# The processes that tests start would each compile the package, which takes longer than the rest of it.
unexport PYTHONDONTWRITEBYTECODE

ifeq ($(SYSTEM)$(PYTHON),)
$(error No CPython 3.11 or newer found: install one (Debian 12: apt-get install python3) or \
	name it with PYTHON=)
endif

PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check install --quiet
SAY := @echo fluvial:
C_FILES = $(shell find ext bench fuzz tests -name '*.[ch]')

.PHONY: help build run test asan debug portable wheels wheels-test coverage faults soak mutants fuzz packages conformance-loop conformance-libs conformance-fastapi conformance-ws conformance-h2 bench bench-arena bench-loop lint strict format clean

help:
	@echo 'make run      the example app on http://127.0.0.1:8000 (PORT=)'
	@echo 'make test     all tests (TESTS=, PYTHON=, PYTHONS=)'
	@echo 'make asan     all tests under the address and undefined-behaviour sanitizers'
	@echo 'make debug    all tests with the core at -O0 and its assertions on'
	@echo 'make portable  the core'"'"'s tests on what other systems than Linux get (TESTS=)'
	@echo 'make coverage  which lines of C and Python the tests execute (TESTS=, RECORD=1)'
	@echo 'make faults   what clients, systems and restarts do to a server, many times (tests/faults)'
	@echo 'make soak     ten minutes of mixed traffic, a restart in each (DURATION=, seconds)'
	@echo 'make mutants  breaks the sources one by one: a test must fail each time (MUTANTS=)'
	@echo 'make fuzz     made-up bytes against connections, with sanitizers (FUZZ_SECONDS= for each)'
	@echo 'make conformance-loop  the tests of CPython and anyio on fluvial.Loop (CONFORMANCE=)'
	@echo 'make conformance-libs  the tests of aiohttp, websockets, asyncpg, redis-py and pyzmq on'
	@echo '              fluvial.Loop and on uvloop, about twenty minutes (CONFORMANCE=)'
	@echo 'make conformance-fastapi  the tests of FastAPI'"'"'s tutorial on Fluvial (CONFORMANCE=)'
	@echo 'make conformance-ws  the Autobahn cases on WebSockets (CONFORMANCE=)'
	@echo 'make conformance-h2  the cases of h2spec, and a client in Go, on HTTP/2 (CONFORMANCE=)'
	@echo 'make wheels   wheels of all Pythons and systems, in dist/ (WHEELS=)'
	@echo 'make wheels-test  installs them where there is no compiler, and asks a server there'
	@echo 'make bench    Fluvial beside its peers and the limit (BENCH=)'
	@echo 'make bench-arena  beside other languages, on the profiles of HttpArena (BENCH=)'
	@echo 'make bench-loop  fluvial.Loop beside asyncio and uvloop (BENCH=)'
	@echo 'make lint     formats, types, lints; C warnings as errors'
	@echo 'make strict   of it the C warnings alone, with any compiler (CC=clang)'
	@echo 'make format   lays out all Python and C files'
	@echo 'make build    the core, in place, and an editable install in $(VENV)'
	@echo 'make clean    removes whatever the other commands made'

# ---- Set-up: one stamp in the environment for each step ------------------------------------

$(VENV)/.created:
	$(SAY) "creating $(VENV) with $(PYTHON)"
	@$(PYTHON) scripts/system.py build
	@$(PYTHON) -m venv --clear $(VENV)
	@$(PIP) 'setuptools>=77'
	@touch $@

$(VENV)/.installed: $(VENV)/.created pyproject.toml
	$(SAY) "building and installing with pip"
	@$(PIP) --no-build-isolation --editable .
	@touch $@

$(VENV)/.test-needs: $(VENV)/.created pyproject.toml
	$(SAY) "installing what the tests need"
	@$(PYTHON) scripts/system.py build $(subst $(COMMA), ,$(EXTRAS))
	@$(PIP) $$($(PY) scripts/extras.py $(EXTRAS))
	@touch $@

$(VENV)/.conformance-loop-needs: $(VENV)/.created pyproject.toml
	$(SAY) "installing what others' tests need"
	@$(PYTHON) scripts/system.py conformance-loop
	@$(PIP) $$($(PY) scripts/extras.py conformance-loop)
	@touch $@

$(VENV)/.conformance-ws-needs: $(VENV)/.created pyproject.toml
	$(SAY) "installing the runner of the Autobahn cases"
	@$(PIP) $$($(PY) scripts/extras.py conformance-ws)
	@touch $@

$(VENV)/.coverage-needs: $(VENV)/.test-needs
	@$(PIP) $$($(PY) scripts/extras.py coverage)
	@touch $@

$(VENV)/.lint-needs: $(VENV)/.test-needs
	$(SAY) "installing the linters"
	@$(PIP) $$($(PY) scripts/extras.py lint)
	@touch $@

# All but the project itself: the one part of the set-up that several Pythons may do at once.
packages: $(VENV)/.test-needs $(VENV)/.conformance-loop-needs

# The build itself knows what changed, and takes half a second when nothing did.
build: $(VENV)/.installed
	@$(PY) setup.py --quiet build_ext --inplace

# ---- Running and testing --------------------------------------------------------------------

run: build
	$(SAY) "starting examples/tutorial.py"
	@exec $(VENV)/bin/fluvial run tutorial:app --app-dir examples --port $(PORT)

ifdef SYSTEM
test:
	@python3 scripts/chroot.py $(SYSTEM) make test EXTRAS=$(EXTRAS) JOBS=$(JOBS) TESTS='$(TESTS)'
else ifdef PYTHONS
test:
	@set -e; for python in $(PYTHONS); do \
	$(MAKE) --no-print-directory test PYTHONS= PYTHON=$$python; done
else
test: $(VENV)/.test-needs build
	$(SAY) "testing with $$($(PY) --version)"
	@$(PY) -m pytest $(SPREAD) $(TESTS)
endif

# Other flavours are installed beside the normal one, in folders that PYTHONPATH puts first.
debug: $(VENV)/.test-needs $(VENV)/.installed
	$(SAY) "testing at -O0 with assertions"
	@FLUVIAL_DEBUG=1 $(PY) setup.py --quiet build --build-lib build/debug
	@PYTHONPATH=build/debug $(PY) -X dev -m pytest $(SPREAD) $(TESTS)

asan: $(VENV)/.test-needs $(VENV)/.installed
	$(SAY) "testing under the address and undefined-behaviour sanitizers"
	@FLUVIAL_SANITIZE=address,undefined $(PY) setup.py --quiet build --build-lib build/asan
	@PYTHONPATH=build/asan PYTHONMALLOC=malloc LD_PRELOAD="$(ASAN_LIBRARIES)" \
	ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 $(PY) -m pytest $(SPREAD) $(TESTS)

# The floor is for the tests that tests/coverage.json names; with TESTS= it is only reported.
# In one process: pytest's workers end before gcov has written what they counted.
coverage: $(VENV)/.coverage-needs $(VENV)/.installed
	$(SAY) "testing with gcov and coverage.py"
	@FLUVIAL_COVERAGE=1 $(PY) setup.py --quiet build --build-lib build/coverage
	@$(PY) scripts/covered.py $(if $(RECORD),--record) $(if $(TESTS),--tests $(TESTS)) -- -n0

# What takes too long for `make test`, where a few rounds of each are run.
faults: $(VENV)/.test-needs build
	$(SAY) "restarting workers 100 times under load (tests/cli/test_rolling.py)"
	@RESTARTS=100 $(PY) -m pytest -n 0 -o timeout=900 tests/cli/test_rolling.py::test_a_restart_under_load_fails_no_request
	$(SAY) "each allocation of a request, under the sanitizers (tests/faults/test_nomemory.py)"
	@FAULTS=1 $(MAKE) --no-print-directory asan JOBS=0 TESTS="-o timeout=900 tests/faults/test_nomemory.py"
	$(SAY) "what clients and systems do to a server (tests/faults)"
	@FAULTS=1 $(PY) -m pytest -n 0 -o timeout=900 tests/faults

soak: $(VENV)/.test-needs build
	$(SAY) "traffic of all kinds for $(DURATION) s"
	@DURATION=$(DURATION) $(PY) -m pytest -n 0 -o timeout=$$(($(DURATION) + 300)) tests/faults/test_soak.py

# In copies below build/mutants; minutes for all of them.
mutants: $(VENV)/.test-needs build
	$(SAY) "breaking the sources one by one (tests/mutants)"
	@set -f; $(PY) tests/mutants/run.py $(MUTANTS)

# What other systems than Linux get.
portable: $(VENV)/.test-needs $(VENV)/.installed
	$(SAY) "testing what is compiled for other systems than Linux"
	@FLUVIAL_PORTABLE=1 $(PY) setup.py --quiet build --build-lib build/portable
	@PYTHONPATH=build/portable $(PY) -m pytest $(SPREAD) $(or $(TESTS),tests/loop tests/http tests/app)

# Finds what no test asks; fuzz/README.md says what to do then.
fuzz: $(VENV)/.installed
	$(SAY) "fuzzing HTTP, HTTP/2 and compressed bodies, $(FUZZ_SECONDS) s each (fuzz/README.md)"
	@$(PYTHON) scripts/system.py build fuzz
	@$(PY) fuzz/run.py --seconds $(FUZZ_SECONDS)

# ---- Others' tests --------------------------------------------------------------------------

conformance-loop: $(VENV)/.conformance-loop-needs build
	$(SAY) "others' tests of event loops, on fluvial.Loop (tests/conformance/loop)"
	@$(PY) tests/conformance/loop/run.py $(CONFORMANCE)

# In an environment of its own: the versions of what the tests need are theirs.
LIBS = build/conformance-libs/$(VENV)

$(LIBS)/.needs: $(VENV)/.created pyproject.toml
	$(SAY) "installing libraries and what their tests need"
	@$(PYTHON) scripts/system.py conformance-libs
	@$(PYTHON) -m venv --clear $(LIBS)
	@$(LIBS)/bin/python -m pip --disable-pip-version-check install --quiet \
	$$($(PY) scripts/extras.py conformance-libs)
	@touch $@

conformance-libs: $(LIBS)/.needs build
	$(SAY) "the tests of libraries, on fluvial.Loop and uvloop (tests/conformance/libs)"
	@$(LIBS)/bin/python tests/conformance/libs/run.py $(CONFORMANCE)

# Likewise.
FASTAPI = build/conformance-fastapi/$(VENV)

$(FASTAPI)/.needs: $(VENV)/.created pyproject.toml
	$(SAY) "installing what FastAPI's tests need"
	@$(PYTHON) -m venv --clear $(FASTAPI)
	@$(FASTAPI)/bin/python -m pip --disable-pip-version-check install --quiet \
	$$($(PY) scripts/extras.py conformance-fastapi)
	@touch $@

conformance-fastapi: $(FASTAPI)/.needs build
	$(SAY) "the tests of FastAPI's tutorial (tests/conformance/fastapi)"
	@$(FASTAPI)/bin/python tests/conformance/fastapi/run.py $(CONFORMANCE)

conformance-ws: $(VENV)/.conformance-ws-needs build
	$(SAY) "the Autobahn cases for WebSocket (tests/conformance/ws)"
	@$(PY) tests/conformance/ws/run.py $(CONFORMANCE)

conformance-h2: build
	$(SAY) "the cases of h2spec and a client in Go (tests/conformance/h2)"
	@$(PYTHON) scripts/system.py conformance-h2
	@$(PY) tests/conformance/h2/run.py $(CONFORMANCE)

# ---- Wheels ---------------------------------------------------------------------------------

# In an environment of its own; dist/ has the wheels and, in debug/, what debuggers read (ADR 24).
WHEEL = build/wheels/$(VENV)

$(WHEEL)/.needs: pyproject.toml
	$(SAY) "installing what compiles wheels"
	@$(PYTHON) scripts/system.py wheels
	@$(PYTHON) -m venv --clear $(WHEEL)
	@$(WHEEL)/bin/python -m pip --disable-pip-version-check install --quiet \
	$$($(PYTHON) scripts/extras.py wheels)
	@touch $@

wheels: $(WHEEL)/.needs
	$(SAY) "building wheels"
	@$(WHEEL)/bin/python scripts/wheels.py $(WHEELS)

# Not in .ci/run: it needs the wheels, whose OpenSSL takes minutes for each system.
wheels-test: $(WHEEL)/.needs
	$(SAY) "installing the wheels in bare systems (tests/wheels)"
	@$(WHEEL)/bin/python tests/wheels/run.py

# ---- Measuring ------------------------------------------------------------------------------

# What `pip install .` would give: optimised over all files at once.
bench: build
	$(SAY) "measuring beside other servers (bench/README.md)"
	@$(PYTHON) scripts/system.py bench
	@$(PY) setup.py --quiet build --build-lib build/release
	@PYTHONPATH=build/release $(PY) bench/http.py $(BENCH)

bench-arena: build
	$(SAY) "measuring beside Python, Go, Rust and nginx (bench/README.md)"
	@$(PYTHON) scripts/system.py bench
	@$(PY) setup.py --quiet build --build-lib build/release
	@PYTHONPATH=build/release $(PY) bench/arena $(BENCH)

bench-loop: build
	$(SAY) "measuring beside other event loops (bench/README.md)"
	@$(PYTHON) scripts/system.py bench-loop
	@$(PY) setup.py --quiet build --build-lib build/release
	@PYTHONPATH=build/release $(PY) bench/loop.py $(BENCH)

# ---- Judging and laying out the sources -----------------------------------------------------

lint: $(VENV)/.lint-needs $(VENV)/.installed
	$(SAY) "ruff"
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/ruff check .
	$(SAY) "mypy"
	@$(VENV)/bin/mypy
	$(SAY) "clang-format"
	@$(VENV)/bin/clang-format --dry-run --Werror $(C_FILES)
	@$(MAKE) --no-print-directory strict VENV=$(VENV)
	$(SAY) "clang-tidy"
	@find ext -name '*.c' -print0 | xargs -0 -n 6 -P $$(nproc) \
	$(VENV)/bin/clang-tidy --quiet -p build --extra-arg=-w 2>build/clang-tidy.log || { cat build/clang-tidy.log; exit 1; }

# With any compiler: CC=clang.
strict: $(VENV)/.installed
	$(SAY) "the compiler, warnings as errors"
	@FLUVIAL_WERROR=1 FLUVIAL_LTO=0 $(PY) setup.py --quiet build_ext --build-lib build/lint

format: $(VENV)/.lint-needs
	@$(VENV)/bin/ruff check --select I --fix --quiet .
	@$(VENV)/bin/ruff format .
	@$(VENV)/bin/clang-format -i $(C_FILES)

clean:
	rm -rf build dist .venv .venv-* pysrc/*.egg-info pysrc/fluvial/*.so
