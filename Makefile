# What a newcomer can do here: make help

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV    := .venv
PYTHON  := $(VENV)/bin/python
RELEASE := target/release
STATIC  := target/static
QUIET   := >/dev/null
# What the tests printed and wrote, for test-leaks.
OUTPUT  := build/test-output
RECORD  := $(PYTHON) tests/leaks/record.py

.PHONY: help build demo test conformance check headers bench bench-quick bench-python bench-write bench-loop fuzz clean \
        languages library simulator python-module \
        test-rust test-c test-python test-leaks search-leaks test-conformance lint

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## */\t/' | expand -t 18

build: library simulator python-module ## the shared and static library, the simulator, the Python module

library: ## target/release/libelkapi.so, and target/static/libelkapi.a with what it needs in native-libs
	@cargo rustc -q --release -p elkapi-ffi --lib --crate-type cdylib
	@ln -sf libelkapi.so $(RELEASE)/libelkapi.so.0
	@mkdir -p $(STATIC)
	@cargo rustc -q --profile static -p elkapi-ffi --lib --crate-type staticlib -- \
		--print native-static-libs=$(STATIC)/native-libs 2> >(grep -v -e '^$$' -e '^note: native artifacts' >&2 || true)

simulator: ## target/release/elkapi-sim, a gateway on loopback for tests
	@cargo build -q --release -p elkapi-sim

$(VENV)/.ready: tests/python/requirements.txt
	@python3 -m venv $(VENV)
	@$(PYTHON) -m pip install -q --disable-pip-version-check -r tests/python/requirements.txt
	@touch $@

python-module: $(VENV)/.ready ## the Python package, installed into .venv
	@PATH="$$PWD/$(VENV)/bin:$$PATH" VIRTUAL_ENV="$$PWD/$(VENV)" $(VENV)/bin/maturin develop -q --release $(QUIET) 2>&1 \
		|| PATH="$$PWD/$(VENV)/bin:$$PATH" VIRTUAL_ENV="$$PWD/$(VENV)" $(VENV)/bin/maturin develop --release

demo: build ## chat from C, C++ and Python; the real gateway when ELKAPI_API_KEY is set
	@$(PYTHON) examples/demo.py

test: test-rust ## every test and linter that needs Rust, Python and a C/C++ compiler
	@$(MAKE) --no-print-directory -j2 test-c test-python
	@$(MAKE) --no-print-directory test-conformance search-leaks lint

test-rust: ## the core and the simulator
	@rm -rf $(OUTPUT)/rust && mkdir -p $(OUTPUT)/rust
	@TMPDIR="$$PWD/$(OUTPUT)/rust" cargo test -q --workspace -- --show-output >$(OUTPUT)/rust.log 2>&1 \
		|| { cat $(OUTPUT)/rust.log; exit 1; }

test-c: library simulator $(VENV)/.ready ## the C and C++ interfaces, and that the headers are current
	@cargo run -q -p elkapi-headers -- --verify
	@mkdir -p $(OUTPUT)
	@$(RECORD) $(OUTPUT)/c tests/c/run.py 2>&1 | tee $(OUTPUT)/c.log

test-python: library python-module simulator ## the Python package
	@mkdir -p $(OUTPUT)
	@$(RECORD) $(OUTPUT)/python pytest -q -rP tests/python >$(OUTPUT)/python.log 2>&1 \
		|| { cat $(OUTPUT)/python.log; exit 1; }
	@tail -n 1 $(OUTPUT)/python.log
	@$(PYTHON) -m mypy.stubtest elkapi --allowlist tests/python/stubtest-allow.txt $(QUIET)

conformance: library simulator python-module ## every wire fixture in Rust, C and Python, as a table
	@$(PYTHON) tests/conformance/run.py

test-conformance: library simulator python-module ## that no broken expectation of a wire fixture passes in any language
	@$(PYTHON) -m pytest -q tests/conformance

languages: library simulator ## one script of cases in every language of bindings/, as a table
	@python3 tests/languages/run.py

test-leaks: test-rust test-c test-python search-leaks ## that no API key of the tests stands in what the tests printed or wrote

search-leaks: $(VENV)/.ready # in what they printed and wrote the last time
	@$(PYTHON) -m pytest -q tests/leaks
	@$(PYTHON) tests/leaks/search.py $(OUTPUT)

lint: $(VENV)/.ready ## rustfmt, clippy, ruff, mypy
	@cargo fmt --all --check
	@cargo clippy -q --workspace --all-targets -- -D warnings
	@$(VENV)/bin/ruff check -q
	@$(VENV)/bin/ruff format -q --check
	@$(VENV)/bin/mypy --no-error-summary

headers: ## writes include/elkapi.h and include/elkapi.ffi.h anew
	@cargo run -q -p elkapi-headers

check: library simulator ## what needs Debian packages or more time; a missing tool is NOT RUN and a failure
	@python3 tests/check/run.py

bench: library simulator python-module ## speed and counts beside the limit and the peers, as Markdown; ONLY=a,c for some
	@python3 bench/run.py $(BENCH)

bench-quick: library simulator python-module ## the same in fewer and shorter rounds
	@python3 bench/run.py --quick $(BENCH)

bench-python: library simulator python-module ## the Python package and its peers alone, imports among them
	@ONLY=a,b,c,f,h,j WITH=Python python3 bench/run.py

bench-write: BENCH := --write docs/performance.md
bench-write: bench ## the same, and writes it into docs/performance.md

bench-loop: python-module simulator ## 500 calls at once on asyncio and trio: how late, what they cost, how soon they are cancelled
	@$(PYTHON) bench/loop.py

fuzz: ## arbitrary bytes from a server, in a stream and as an answer, for MINUTES (10) each; needs a nightly compiler
	@test -x build/tools/bin/cargo-fuzz || cargo +nightly install -q cargo-fuzz --root build/tools
	@python3 fuzz/seeds.py
	@for target in server_bytes events answers; do \
		PATH="$$PWD/build/tools/bin:$$PATH" cargo +nightly fuzz run $$target -- \
			-max_total_time=$$(($(or $(MINUTES),10) * 60)) -timeout=20 -verbosity=0 -print_final_stats=1; \
	done

clean: ## everything that was built
	@rm -rf target $(VENV) build

include packaging/install.mk
include packaging/python.mk
