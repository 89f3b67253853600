# Everything a developer or CI does here. "make" lists the targets.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Tools are pinned here and not in go.mod, which stays the bridge's own.
GOFUMPT  := go run mvdan.cc/gofumpt@v0.12.0
GOLANGCI := go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
GOVULN   := go run golang.org/x/vuln/cmd/govulncheck@v1.9.0

# What the tests need besides, by the names of scripts/need.sh.
TESTS_NEED := go postgres cc node pgbouncer chromium ruby python podman promtool compose systemd

PKG      ?= ./...
RUN      ?= .
FUZZTIME ?= 30s
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
IMAGE    ?= hcbridge

## help: list the targets
.PHONY: help
help:
	@sed -n 's/^## \([^:]*\): \(.*\)/  \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-12s %s\n", $$1, $$2 }'

## demo: see it work: Postgres, a simulated org, the bridge and traffic; DURATION=20s ends by itself
.PHONY: demo
demo:
	@scripts/need.sh go postgres
	@echo "Building hcbridge (the first time takes a minute) …"
	@go run ./cmd/demo

## test: run all tests under the race detector
.PHONY: test
test:
	@scripts/need.sh $(TESTS_NEED)
	scripts/test.sh $(PKG)

## test/one: run one test again and again: make test/one PKG=./outbox RUN=TestOrder
.PHONY: test/one
test/one:
	@scripts/need.sh go postgres cc
	go test -race -count=20 -failfast -run '$(RUN)' $(PKG)

## test/values: compare 10,000 random records with their rows, for each way they can come
.PHONY: test/values
test/values:
	@scripts/need.sh go postgres cc
	HCBRIDGE_TEST_RECORDS=10000 go test -race -count=1 -v -timeout 30m -run '^TestValues$$' ./test/e2e

## schedules: run N (default 10000) random schedules of what can happen inbound, and as many outbound
.PHONY: schedules
schedules:
	@scripts/need.sh go postgres
	HCBRIDGE_SCHEDULES=$(or $(N),10000) go test -count=1 -v -timeout 180m -run '^Test(Outbound)?Schedules$$' ./internal/bridge

## screenshots: take the README's pictures of the pages anew, into docs/
.PHONY: screenshots
screenshots:
	@scripts/need.sh go postgres node chromium
	HCBRIDGE_SCREENSHOTS=$(CURDIR)/docs go test -count=1 -run '^TestPictures$$' ./test/browser

## standby: kill, and stop for a minute, one of two bridges N (default 50) times each
.PHONY: standby
standby:
	@scripts/need.sh go postgres
	HCBRIDGE_BENCH=1 HCBRIDGE_STANDBY=$(or $(N),50) go test -count=1 -v -parallel 12 -timeout 60m ./test/standby

## naive: make mistakes on purpose, one after another, and see that the tests find each; ONLY=regexp takes some; takes an hour or more
.PHONY: naive
naive:
	@scripts/need.sh go postgres
	go run ./test/naive -only '$(ONLY)'

## chaos: let everything fail at random in SEEDS (default 200) runs, PARALLEL (3) at a time; SEED=n repeats one
.PHONY: chaos
chaos:
	@scripts/need.sh go postgres
	HCBRIDGE_BENCH=1 HCBRIDGE_CHAOS=$(or $(SEEDS),200) HCBRIDGE_SEED=$(SEED) HCBRIDGE_CHAOS_PARALLEL=$(or $(PARALLEL),3) go test -count=1 -v -timeout 0 -run '^TestChaos$$' ./test/chaos

## soak: run the bridge for HOURS (default 1, 0.5 too) under steady traffic; red if memory, goroutines, descriptors or connections grow
.PHONY: soak
soak:
	@scripts/need.sh go postgres
	HCBRIDGE_BENCH=1 HCBRIDGE_SOAK=$(or $(HOURS),1) go test -count=1 -v -timeout 0 -run '^TestSoak$$' ./test/soak

## crash: kill the bridge at each of its effects in turn, and RANDOM (default 100) times under mixed load; SCENARIO=x alone, POINT=n of it once more
.PHONY: crash
crash:
	@scripts/need.sh go postgres
	HCBRIDGE_CRASH=all HCBRIDGE_CRASH_SCENARIO='$(SCENARIO)' HCBRIDGE_CRASH_POINT='$(POINT)' HCBRIDGE_CRASH_RANDOM=$(or $(RANDOM),100) \
		go test -count=1 -v -timeout 180m -run '$(if $(SCENARIO),^TestPoints$$,^Test(Points|Random)$$)' ./test/crash

## check: all that must pass before a push, and all that CI runs
.PHONY: check
check:
	@scripts/need.sh $(TESTS_NEED)
	scripts/gofumpt.sh $(GOFUMPT)
	go vet ./...
	$(GOLANGCI) run --allow-parallel-runners
	scripts/vuln.sh $(GOVULN)
	scripts/test.sh -vet=off ./...

## lint: run the linters alone
.PHONY: lint
lint:
	$(GOLANGCI) run --allow-parallel-runners

## fmt: format all Go files
.PHONY: fmt
fmt:
	$(GOFUMPT) -w .

## fuzz: run each fuzz target for FUZZTIME (default 30s) with one process; ONLY=regexp takes some
.PHONY: fuzz
fuzz:
	@scripts/need.sh go postgres
	scripts/fuzz.sh $(FUZZTIME) 1 '$(ONLY)'

## bench: measure each job against its bound, the naive way and its peers, and write docs/benchmarks.md; takes about 16 minutes, on a machine with nothing else to do
.PHONY: bench
bench:
	@scripts/need.sh go postgres node
	@rm -f $(FIGURES)
	$(MEASURE) -run '^$$' -bench BenchmarkLoad ./test/bench/load
	$(MEASURE) -run '^TestInbound' ./test/bench
	$(MEASURE) -run '^TestApp' ./test/bench/app
	$(MEASURE) -run '^TestOut' ./test/bench/out
	$(MEASURE) -run '^TestProgram' ./test/bench/program
	$(MEASURE) -run TestServerCost ./test/peers
	go run ./test/bench/table $(FIGURES) docs/benchmarks.md

FIGURES = $(CURDIR)/figures.jsonl
MEASURE = HCBRIDGE_BENCH=1 HCBRIDGE_BENCH_FIGURES=$(FIGURES) go test -v -count=1 -timeout 60m

## day: watch an idle bridge through a day, with a clock that runs sixty times as fast: half an hour
.PHONY: day
day:
	@scripts/need.sh go postgres
	go run ./test/day/fastclock 60 $(CURDIR)/bin/fastclock
	HCBRIDGE_DAY=1 GOFLAGS=-overlay=$(CURDIR)/bin/fastclock/overlay.json $(MEASURE) -timeout 1000h -run TestDay ./test/day

## bench/parts: run the small benchmarks of single packages
.PHONY: bench/parts
bench/parts:
	@scripts/need.sh go postgres
	go test -p 1 -run '^$$' -bench '$(RUN)' -benchmem -timeout 60m $(PKG)

## golden: rewrite golden files and the settings tables from the code; review the diff
.PHONY: golden
golden:
	scripts/golden.sh

## build: build static binaries into bin/
.PHONY: build
build:
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/ ./cmd/...

## image: build the container image; IMAGE=name:tag
.PHONY: image
image:
	scripts/image.sh hcbridge '$(IMAGE)' '$(VERSION)'

## up: start Postgres, a simulated org and the bridge in containers, to play with
.PHONY: up
up:
	docker compose --profile try up --build try
