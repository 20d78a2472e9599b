# The two commands are `make demo` and `make test`; `make help` lists the rest.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help demo test test-long lint unit integration browser rules install-build install-test clean-servers

CARGO ?= cargo
DEMO_ARGS ?=

help: ## list what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: install-build ## everything in one process, no Kafka and no Redis needed: prints the address to open (DEMO_ARGS="--for 30s")
	$(CARGO) build --profile quick --bin tidemark
	$${CARGO_TARGET_DIR:-target}/quick/tidemark demo $(DEMO_ARGS)

test: install-test ## all checks: format, lints, documents, unit, real Kafka and Redis, real browser, promtool
	scripts/check.sh all

test-long: install-test ## what needs long: campaigns, clusters of Redis, other languages, comparisons
	scripts/check.sh long

lint: ## format, clippy, rustdoc, licences and advisories, shell scripts
	scripts/check.sh lint

unit: ## unit, property and snapshot tests: no server needed
	scripts/check.sh unit

integration: install-test ## the tests on real Kafka and Redis
	scripts/check.sh integration

browser: install-test ## the browser suite in real Chromium
	scripts/check.sh browser

rules: install-test ## promtool on metrics, rules and rule tests
	scripts/check.sh rules

install-build: ## install what building needs (apt; only what is missing)
	@scripts/install.sh build

install-test: ## install what the tests need (apt; only what is missing), fetch Kafka
	@scripts/install.sh test
