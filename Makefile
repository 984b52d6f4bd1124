# Everything from a fresh clone: each target sets up what it needs first (tests/setup.sh).
# Build outputs, tools and test media are kept in ~/.cache/livereel.

.DEFAULT_GOAL := help
.PHONY: help build demo test bench clean distclean
SHELL := /bin/bash
# Sets PATH, and links target to the cache where there is none.
ENV := . tests/env.sh &&

help: ## Lists the targets
	@sed -nE 's/^([a-z]+):.*## (.*)/make \1 \t\2/p' Makefile | expand -t 18

build: ## Builds the server, the C library and the examples, optimised: target/release/livereel-server
	@tests/setup.sh build
	@$(ENV) cargo build --release --workspace

demo: ## Records a live RTMP stream and ends with the path of the MP4
	@tests/setup.sh demo
	@$(ENV) cargo build --release -p livereel-server
	@tests/demo.sh

test: ## Runs every check and test there is, in all four languages
	@tests/setup.sh test
	@$(ENV) python tests/run.py $(PARTS)

bench: ## Measures livereel-server against nginx-rtmp, ffmpeg and GStreamer in one run (ARGS=--quick)
	@tests/setup.sh bench
	@$(ENV) cargo build --release -p livereel-server -p livereel-load
	@$(ENV) python3 tests/bench/run.py $(ARGS)

clean: ## Removes what building left, in the tree and in the cache
	@$(ENV) rm -rf "$$(realpath target)" target records
	@find . \( -name __pycache__ -o -name node_modules -o -name .pytest_cache \) -prune -exec rm -rf {} +

distclean: clean ## Removes the tools and the test media too
	@$(ENV) rm -rf "$$REEL_CACHE" target
