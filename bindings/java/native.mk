# The JVM's part of the build, included by the Makefile at the top.
#
#   target/java/native/OS-ARCH/    the shim between Java and the C ABI, compiled here with cc
#   target/java/kafka/             what a broker's remote.log.storage.manager.class.path points to
#   target/java/seglift-kafka      the tool for operators
#
# NATIVE=DIR takes libseglift and the command line from DIR, and then builds nothing of Rust.

MVN    ?= mvn
NATIVE ?=

JAVA_OS       := $(shell uname -s | tr A-Z a-z)
JAVA_PLATFORM := $(JAVA_OS)-$(patsubst arm64,aarch64,$(shell uname -m))
ifeq ($(JAVA_OS),darwin)
JAVA_SHARED = dylib
else
JAVA_SHARED = so
endif

JAVA_NATIVE  = target/java/native/$(JAVA_PLATFORM)
JAVA_SHIM    = $(JAVA_NATIVE)/libseglift_jni.$(JAVA_SHARED)
SHIM_SRC     = $(wildcard bindings/java/core/src/main/c/*.c)
SHIM_HEADERS = $(wildcard bindings/java/core/src/main/c/*.h) include/seglift.h
SHIM_FLAGS   = -std=c11 -O2 -g -Wall -Wextra -Wpedantic -Werror -fPIC -fvisibility=hidden -Iinclude

$(JAVA_SHIM): $(SHIM_SRC) $(SHIM_HEADERS)
	@mkdir -p $(@D)
	jdk=$$($(JDK_HOME)) && $(CC) $(SHIM_FLAGS) -isystem "$$jdk/include" -isystem "$$jdk/include/$(JAVA_OS)" \
		-shared -o $@ $(SHIM_SRC) -ldl -lpthread

# The JDK's own answer, because JAVA_HOME is often unset, and javac a link to a link.
JDK_HOME = javac -J-XshowSettings:properties -version 2>&1 | sed -n 's/^ *java.home = //p'

# What the rules below hand to the scripts: Maven, where the natives are, and their platform.
JAVA_ENV = MVN='$(MVN)' JAVA_PLATFORM=$(JAVA_PLATFORM) JAVA_SHARED=$(JAVA_SHARED) JAVA_SHIM='$(abspath $(JAVA_SHIM))' \
	NATIVE='$(abspath $(or $(NATIVE),target/release))'

java-library:
	@$(if $(NATIVE),:,$(CARGO) build --release --locked)

java-library-testing:
	@$(if $(NATIVE),:,$(MAKE) --no-print-directory lib-testing)

## java: the jars and the folder for Kafka's remote.log.storage.manager.class.path in target/java
java: java-library $(JAVA_SHIM)
	@$(JAVA_ENV) scripts/java.sh target/java/kafka
	@cp bindings/java/kafka/bin/seglift-kafka target/java/seglift-kafka

## install-java: the same, and the jars into the local Maven repository
install-java: java-library $(JAVA_SHIM)
	@$(JAVA_ENV) scripts/java.sh target/java/kafka install
	@cp bindings/java/kafka/bin/seglift-kafka target/java/seglift-kafka

## test-java: the Java API, under -Xcheck:jni
test-java: java-library-testing $(JAVA_SHIM)
	@$(JAVA_ENV) scripts/test-java.sh core

## test-kafka: tiering through real Kafka brokers, with every record compared
test-kafka: java-library-testing $(JAVA_SHIM)
	@$(JAVA_ENV) scripts/java.sh target/java/kafka-testing
	@$(JAVA_ENV) scripts/test-java.sh kafka kafka-tests

## example-kafka: see it work: a Kafka broker that tiers, its producer and consumer, in a minute; STORE=minio for S3
example-kafka: example-kafka-tools java
	@$(MVN) --quiet --batch-mode --file bindings/java/pom.xml generate-resources --projects .,kafka-tests/broker-4.2
	@examples/kafka/run.sh --store $(or $(STORE),file)

example-kafka-tools:
	@scripts/check-tools.sh cc rust python3 java mvn

## bench-kafka: what tiering costs a broker's JVM, in CPU seconds per GiB; never a test
bench-kafka: java
	@$(MVN) --quiet --batch-mode --file bindings/java/pom.xml compile --projects .,kafka-bench
	@python3 bindings/java/kafka-bench/run.py target/java/kafka

## test-java-25: test-java in a JVM 25: JAVA25_HOME, or one of /usr/lib/jvm
test-java-25: java-library-testing $(JAVA_SHIM)
	@$(JAVA_ENV) scripts/test-java.sh --jvm 25 core

# A JVM catches SIGSEGV and the like itself, and reads the name of a library that it has closed.
JAVA_ADDRESS   = target/java/native/address/libseglift_jni.$(JAVA_SHARED)
ADDRESS_FLAGS  = $(SHIM_FLAGS) -fsanitize=address,undefined -fno-sanitize-recover=undefined
ADDRESS_PRELOAD = $$($(CC) -print-file-name=libasan.so) $$($(CC) -print-file-name=libubsan.so)
ADDRESS_OPTIONS = detect_leaks=0:check_printf=0:handle_segv=0:handle_sigbus=0:handle_sigfpe=0:handle_sigill=0

## test-java-address: test-java with the shim under GCC's sanitizers of addresses and undefined behaviour
test-java-address: java-library-testing
	@$(MAKE) --no-print-directory JAVA_SHIM='$(JAVA_ADDRESS)' 'SHIM_FLAGS=$(ADDRESS_FLAGS)' '$(JAVA_ADDRESS)'
	@$(JAVA_ENV) JAVA_SHIM='$(abspath $(JAVA_ADDRESS))' LD_PRELOAD="$(ADDRESS_PRELOAD)" \
		ASAN_OPTIONS=$(ADDRESS_OPTIONS) scripts/test-java.sh core

.PHONY: test-java-address java install-java java-library java-library-testing test-java test-kafka example-kafka \
	example-kafka-tools bench-kafka test-java-25
