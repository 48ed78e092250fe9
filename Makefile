# Patina. `make` lists what can be done; nothing needs setting up first.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
GOBUILD := go build -trimpath -buildvcs=false -ldflags '-X main.version=$(VERSION)'

# Tools and binaries that .ci/setup.sh put into the tree; the system's come first.
export PATH := $(PATH):$(CURDIR)/.tools/bin:$(CURDIR)/.tools/postgres/bin

# What `make fuzz` and `make soak` take from the command line.
FUZZTIME ?= 30s
MINUTES  ?= 60
BENCH    ?=

.PHONY: help run build image test e2e faults fuzz soak bench lint fmt generate db/reset setup

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9\/]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Start the demo: everything embedded, a first backup, the dashboard on :8080
	@.ci/setup.sh postgres
	@mkdir -p bin
	@$(GOBUILD) -o bin/patina ./cmd/patina
	@exec bin/patina demo

build: ## Build bin/patina
	@mkdir -p bin
	@$(GOBUILD) -o bin/patina ./cmd/patina

image: ## Build the image from the Dockerfile, without Docker, and try it (root, Debian)
	@.ci/setup.sh postgres versitygw
	@.ci/image.sh
	go test -tags image -count=1 -timeout 10m -run Image ./cmd/patina

test: setup ## Run every test, after setting up what they need
	go test -p 2 -timeout 20m ./...

e2e: setup ## Run only the browser tests
	go test -p 1 -count=1 -timeout 10m ./web/e2e/...

faults: setup ## Kill the program at every named step, and look at what is left
	go test -p 1 -count=1 -timeout 60m -run 'Kill|Crash|Fault' ./cmd/patina ./jobs ./backup/...

fuzz: ## Fuzz every fuzz target for FUZZTIME each (30s)
	@grep -rlE '^func Fuzz' --include='*_test.go' . | xargs -n1 dirname | sort -u | while read -r pkg; do \
		go test "$$pkg" -list '^Fuzz' | grep '^Fuzz' | while read -r name; do \
			echo "$$pkg $$name"; go test "$$pkg" -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME); \
		done; \
	done

soak: setup ## Repeat the tests of crashes, schedules and consistency for MINUTES (60)
	@end=$$((SECONDS + $(MINUTES) * 60)); n=0; while [ $$SECONDS -lt $$end ]; do \
		go test -p 1 -count=1 -timeout 30m ./cmd/patina ./jobs ./store/... ./backup/export/...; \
		n=$$((n + 1)); echo "round $$n passed after $$SECONDS s"; \
	done

bench: setup ## Measure us against our peers, in turns, and print the table
	@.ci/setup.sh pigz
	@mkdir -p bin
	@go build -o bin/bench ./cmd/bench
	@go build -tags lean -o bin/bench-lean ./cmd/bench
	@bin/bench $(BENCH)

lint: ## Check style, mistakes and formatting
	@.ci/setup.sh tools
	golangci-lint run
	@unformatted=$$(gofumpt -l $$(git ls-files '*.go' | grep -v '_templ\.go$$')); \
	if [ -n "$$unformatted" ]; then echo "not formatted (make fmt):"; echo "$$unformatted"; exit 1; fi

fmt: ## Format the code
	@.ci/setup.sh tools
	@gofumpt -w $$(git ls-files -co --exclude-standard '*.go' | grep -v '_templ\.go$$')
	@go tool -modfile=.ci/tools/templ/go.mod templ fmt web

generate: ## Generate code from the templates
	@go tool -modfile=.ci/tools/templ/go.mod templ generate -path web -log-level warn

db/reset: ## Forget the demo's data: the embedded Postgres, its bucket and account
	@if [ -f data/postgres/postmaster.pid ]; then echo "the demo is running: stop it first (Ctrl-C)"; exit 1; fi
	@rm -rf data && echo "removed ./data"

setup:
	@.ci/setup.sh postgres chromium node axe versitygw promrules oidc
