# The menu. Every target sets up what it needs (packages included).
BUILD := build/release
PORT  ?= 8443
JOBS  := $(shell nproc 2>/dev/null || echo 2)

.PHONY: all build demo test bench bench-scale profile fuzz lint format clean help \
        packages-build packages-test packages-bench packages-conformance conformance unit unit-asan unit-tsan unit-clang fuzz-smoke e2e vectors venv \
        random property fuzz-api chaos

all: build

help:
	@sed -n 's/^## //p' Makefile

## make build        programs in build/release/bin
## make demo         install, build, start a pool, activate it, use it, show a refused caller
## make test         everything: unit tests (gcc, clang, ASan+UBSan, TSan), lint, fuzz smoke, end to end
##                   one layer of it: unit, unit-clang, unit-asan, unit-tsan, lint, e2e, vectors, random, fuzz-smoke
## make conformance  one scenario with the Azure SDKs for Python, JavaScript, Go, Java and Rust; a table of results
## make bench        ratios against raw OpenSSL, nginx and etcd, into build/bench (BENCH=crypto,read,write,create,mixed,system,cluster,control)
## make bench-scale  a pool of 500,000 key versions: import, restart, memory, list and get (takes long)
## make profile      where the CPU time of an AES wrap goes, as text in build/bench
## make fuzz         the fuzz targets, FUZZ_SECONDS each (default 600)
## make fuzz-api     requests made from docs/openapi.yaml against a pool, EXAMPLES of each kind (default 200), SEED
## make property     random sequences of operations against a model, EXAMPLES of them (default 1000), SEED
## make chaos        rounds of faults against three partitions under load, CHAOS_ROUNDS of them (default 1000), SEED
## make lint         format, clang-tidy, cppcheck, layers, banned calls
## make format       rewrite all C files in the project's format
## make venv         the Python environments of the end-to-end tests, with the newest az and SDKs
## make packages-*   install what build, test or bench needs (packages-build, ...)
## make clean        remove build
packages-build:
	@scripts/install-packages.sh build
packages-test:
	@scripts/install-packages.sh test
packages-bench:
	@scripts/install-packages.sh bench
packages-conformance:
	@scripts/install-packages.sh conformance

build: packages-build
	@mkdir -p build
	@cmake --preset release >build/configure-release.log 2>&1 || { cat build/configure-release.log; exit 1; }
	@cmake --build --preset release -j $(JOBS)

demo: build
	@PORT=$(PORT) scripts/demo.sh $(CURDIR)/$(BUILD)/bin

unit: packages-test build
	ctest --preset release -j $(JOBS)
	@mkdir -p build/test-results && cp $(BUILD)/Testing/Temporary/LastTest.log build/test-results/unit.log
unit-clang: packages-test
	@scripts/preset.sh clang -j $(JOBS)
	ctest --preset clang -j $(JOBS)
unit-asan: packages-test
	@scripts/preset.sh asan -j $(JOBS)
	ASAN_OPTIONS=detect_leaks=1 ctest --preset asan -j $(JOBS)
unit-tsan: packages-test
	@scripts/preset.sh tsan -j $(JOBS)
	ctest --preset tsan -j $(JOBS)
lint: packages-test
	@mkdir -p build && cmake --preset clang >build/configure-clang.log
	@scripts/lint.sh
format:
	@scripts/format.sh
fuzz-smoke: packages-test
	@scripts/preset.sh fuzz -j $(JOBS)
	@scripts/fuzz.sh $${FUZZ_SECONDS:-5}
fuzz: packages-test
	@scripts/preset.sh fuzz -j $(JOBS)
	@scripts/fuzz.sh $${FUZZ_SECONDS:-600}
venv: packages-test
	@scripts/venv.sh
vectors: packages-test build venv
	@mkdir -p build/test-results
	@scripts/vectors.sh
e2e: packages-test build venv
	@cmake --build --preset release --target test-clock -j $(JOBS) >/dev/null
	@scripts/e2e.sh
random: packages-test build venv
	@scripts/property.sh
fuzz-api: packages-test build venv
	@KEYHOLD_FUZZ_EXAMPLES=$${EXAMPLES:-200} KEYHOLD_FUZZ_SEED=$${SEED:-$$(date +%s)} KEYHOLD_TEST_TIMEOUT=86400 \
		scripts/property.sh tests/property/test_api_fuzz.py tests/property/test_raw_requests.py -s
property: packages-test build venv
	@KEYHOLD_EXAMPLES=$${EXAMPLES:-1000} KEYHOLD_SEED=$${SEED:-$$(date +%s)} KEYHOLD_TEST_TIMEOUT=86400 \
		scripts/property.sh tests/property/test_sequences.py -s

chaos: packages-test build venv
	@cmake --build --preset release --target test-clock -j $(JOBS) >/dev/null
	@scripts/chaos.sh

test:
	@scripts/test-all.sh

conformance: packages-conformance build
	@scripts/venv.sh sdk
	@build/venv/bin/python tests/conformance/run.py

bench: packages-bench build
	@tests/bench/run.sh
bench-scale: packages-bench build
	@tests/bench/run.sh scale.py
profile: packages-bench build
	@tests/bench/run.sh profile_wrap.py

clean:
	rm -rf build
