# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
# Builds with meson and ninja into build/. stdout is for what a target is asked
# for; the talk of the build goes to stderr.
BUILD ?= build
PREFIX ?= /usr/local
DESTDIR ?=
BENCH ?=
ARGS ?=

.NOTPARALLEL:
.PHONY: all help build run test soak lint bench install clean
.PHONY: deps-test deps-soak deps-bench

all: build

help:
	@echo 'make            configure and build into $(BUILD)/'
	@echo 'make run        build; a real compiler under uhmm run'
	@echo 'make test       all tests; the last line is the count'
	@echo 'make soak       the long tests'
	@echo 'make lint       the lints alone'
	@echo 'make bench      all benchmarks, or BENCH=name; ARGS=--json, --long'
	@echo 'make install    DESTDIR=, PREFIX=$(PREFIX)'
	@echo 'make clean      remove $(BUILD)/'

build:
	@scripts/deps.sh build
	@test -f $(BUILD)/build.ninja || meson setup $(BUILD) >&2
	@ninja --quiet -C $(BUILD) >&2

deps-test:
	@scripts/deps.sh build test

deps-soak:
	@scripts/deps.sh build test soak

deps-bench:
	@scripts/deps.sh build bench

run: build
	@echo 'A compiler under $(BUILD)/uhmm run: a device mirrors its memory' \
		'while it compiles src/core/mmu_notifier.c.' >&2
	@$(BUILD)/uhmm run -- cc -std=gnu11 -O2 -D_GNU_SOURCE \
		'-DUHMM_PROBES_H="lib/probes_none.h"' -Iinclude -Isrc \
		-c src/core/mmu_notifier.c -o $(BUILD)/run.o

test: deps-test build
	@scripts/run_tests.py --build-dir $(BUILD)

soak: deps-soak build
	@scripts/run_tests.py --build-dir $(BUILD) --suite soak

lint: deps-test build
	@scripts/run_tests.py --build-dir $(BUILD) --suite lint

bench: deps-bench build
	@scripts/run_bench.sh $(BUILD) '$(BENCH)' $(ARGS)

install: build
	@meson configure $(BUILD) -Dprefix='$(PREFIX)' >&2
	@meson install -C $(BUILD) --destdir '$(DESTDIR)' >&2

clean:
	rm -rf $(BUILD)
