# seglift: `make run` shows it at work, `make test` proves it. `make help` lists the rest.
#
# Everything is built with one Cargo profile, and for all tests with one set of features, so that
# the library is compiled once per kind. GNU make 3.81 is enough.

CARGO    ?= cargo
CC       ?= cc
PREFIX   ?= /usr/local
DESTDIR  ?=
# CC is not exported: cargo would take it for a change and compile the C parts of dependencies anew.
export CARGO
export FEATURES = --features testing
# full: the long tests run at their real sizes. quick: the same tests, small.
export SCALE ?= quick

# ---- what `make test` runs: TARGET:MINUTES, the budget on two cores; adding a target is one line
SUITE :=
SUITE += test-scripts:1
SUITE += lint:6
SUITE += test-rust:8
SUITE += test-c:4
SUITE += test-stores:6
SUITE += test-java:3
SUITE += test-kafka:7

# ---- what `make test-long` runs: the same at full size, and what is too long for every day
LONG :=
LONG += test-scripts:1
LONG += lint:6
LONG += test-rust:120
LONG += test-c:10
LONG += test-stores:60
LONG += test-java:10
LONG += test-java-25:10
LONG += test-java-address:10
LONG += test-kafka:60
LONG += test-address:60
LONG += test-thread:90
LONG += test-soak:5
LONG += test-fuzz:15
LONG += test-portable:15

RUN_TOOLS  = cc rust
TEST_TOOLS = make cc c++ rust go openssl python3 zstd valgrind pkg-config cmake java mvn

.DEFAULT_GOAL := help

## run: see it work: a small C broker tiers 200 MiB to file:// and reads everything back
run:
	@scripts/check-tools.sh $(RUN_TOOLS)
	@MAKE='$(MAKE)' scripts/run.sh

## test: every test and lint; ends with the sum of the individual tests
test:
	@scripts/check-tools.sh $(TEST_TOOLS) || { echo "0 passed, 1 failed"; exit 1; }
	@MAKE='$(MAKE)' scripts/run-suite.sh $(SUITE)

## test-rust: unit tests, integration tests and the examples in the documentation
test-rust:
	$(CARGO) test --release --locked --no-fail-fast $(FEATURES)

## test-c: the C ABI, minibroker and the installed files, from C's side
test-c: lib-testing minibroker
	@status=0; for runner in $(wildcard $(C_RUNNERS)); do CC='$(CC)' python3 $$runner || status=1; done; exit $$status

# Runners that report in TAP; a pattern that matches nothing is a folder that has no tests yet.
C_RUNNERS = bindings/c/tests/run.py bindings/c/examples/tests/run.py tests/crash/run.py tests/disk/run.py

## test-stores: everything again on s3://, with versitygw and MinIO as the stores
# Their tests are not among cargo's own (test = false in Cargo.toml): they need servers, which the
# first run builds (scripts/test-servers.sh), and must fail where there are none.
test-stores: lib-testing minibroker
	@scripts/test-servers.sh
	@status=0; \
	$(CARGO) test --release --locked --no-fail-fast $(FEATURES) $(STORE_TESTS:%=--test %) || status=1; \
	python3 tests/servers/run.py || status=1; \
	python3 tests/crash/run.py versitygw minio || status=1; exit $$status

STORE_TESTS = stores

## test-scripts: the counting of tests and the look for tools
test-scripts:
	@scripts/test/scripts-test.sh

## test-long: all tests at their full sizes, sanitizers, a soak, fuzzing, other platforms (hours)
test-long:
	@scripts/check-tools.sh $(TEST_TOOLS) || { echo "0 passed, 1 failed"; exit 1; }
	@SCALE=full MAKE='$(MAKE)' scripts/run-suite.sh $(LONG)

## test-address: Rust and C tests under the address and leak sanitizers (nightly)
test-address:
	@scripts/sanitize.sh address

## test-thread: Rust tests under the thread sanitizer (nightly)
test-thread:
	@scripts/sanitize.sh thread

## test-portable: the oldest compiler and the other platforms accept the code
test-portable:
	@scripts/portable.sh

# Two minutes each of what runs for hours by hand.
test-soak:
	@$(MAKE) --no-print-directory soak MINUTES=2

test-fuzz:
	@$(MAKE) --no-print-directory fuzz MINUTES=10 && echo 1..1 && echo "ok 1 - ten minutes of fuzzing"

## soak: a broker under load on a store that fails and dies, for MINUTES (2), with a picture in target/soak
soak: minibroker
	@scripts/test-servers.sh
	@$(CARGO) build --release --locked $(FEATURES) --lib --bins --example fault_proxy --test layers
	@python3 tests/soak/run.py

## fuzz: look for new ways to break the parsers, with libFuzzer: MINUTES=10 for all targets, or TARGET=
fuzz:
	@scripts/fuzz.sh $(or $(MINUTES),10) $(TARGET)

## lint: formatting, clippy, licenses and sources of the dependencies
lint:
	@scripts/lint.sh

## bless: write the generated files anew: header, docs/configuration.md, docs/metrics.md, goldens
bless:
	SEGLIFT_BLESS=1 $(CARGO) test --release --locked $(FEATURES) --tests

## bench: what a GiB costs on file:// and s3://, in CPU seconds; never a test
bench:
	$(CARGO) bench --profile release --locked --bench core --bench s3

## install: library, header, loader, command, pkg-config and CMake files into DESTDIR and PREFIX
install:
	$(CARGO) build --release --locked
	@scripts/install.sh target/release '$(DESTDIR)' '$(PREFIX)'

## dist: an optimized tarball for this platform in target/dist
dist:
	$(CARGO) build --profile dist --locked
	@scripts/dist.sh

## clean: remove everything that was built
clean:
	$(CARGO) clean

## help: this list
help:
	@sed -n 's/^## \([a-z0-9-]*\): /\1\t/p' $(MAKEFILE_LIST) | awk -F'\t' '{ printf "%-14s %s\n", $$1, $$2 }'

# ---- minibroker: target/c/minibroker and its client

EXAMPLES   = bindings/c/examples
C_FLAGS    = -std=c11 -O2 -g -Wall -Wextra -Wpedantic -Werror -Iinclude
BROKER_SRC = $(EXAMPLES)/minibroker.c $(addprefix $(EXAMPLES)/minibroker/,server.c tier.c tier_read.c journal.c log.c util.c)
CLIENT_SRC = $(EXAMPLES)/minibroker_client.c $(addprefix $(EXAMPLES)/minibroker/,sha256.c util.c)
C_HEADERS  = include/seglift.h bindings/c/seglift_loader.h $(wildcard $(EXAMPLES)/minibroker/*.h)

minibroker: target/c/minibroker target/c/minibroker_client

target/c/minibroker: $(BROKER_SRC) $(C_HEADERS)
	@mkdir -p $(@D)
	$(CC) $(C_FLAGS) -o $@ $(BROKER_SRC) -ldl

target/c/minibroker_client: $(CLIENT_SRC) $(C_HEADERS)
	@mkdir -p $(@D)
	$(CC) $(C_FLAGS) -o $@ $(CLIENT_SRC)

# ---- the JVM: java, test-java, test-kafka, test-java-25

include bindings/java/native.mk

# With a test among its targets cargo takes the features of dependencies that tests take (hyper's
# server and others), so that the library is the one that test-rust has built, and the AWS SDK below
# it is not built a second time.
lib-testing:
	@$(CARGO) build --release --locked $(FEATURES) --lib --bins --test layers

# For .ci/run, which may install tools before `make test` looks for them.
print-test-tools:
	@echo $(TEST_TOOLS)

.PHONY: run test bench test-rust test-c test-stores test-scripts test-long test-address test-thread test-portable \
	test-soak test-fuzz soak fuzz lint bless install dist clean help \
	minibroker lib-testing print-test-tools
