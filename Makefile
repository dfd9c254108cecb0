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
.PHONY: deps-test deps-bench

all: build

help:
	@echo 'make            configure and build into $(BUILD)/'
	@echo 'make run        build and run the first example'
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

deps-bench:
	@scripts/deps.sh build bench

run: build
	@echo 'Running $(BUILD)/examples/01-first-mirror: a device page table' \
		'that two threads keep coherent (examples/01-first-mirror.c).' >&2
	@$(BUILD)/examples/01-first-mirror

test: deps-test build
	@scripts/run_tests.py --build-dir $(BUILD)

soak: deps-test build
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
