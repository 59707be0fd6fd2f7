# Two commands do it all: make dev runs a planet, make test tests it.
SHELL := /bin/bash
BIN := bin/pando
VERSION ?= 0.1.0
TOOLS := $(CURDIR)/.tools
GOLANGCI := $(TOOLS)/golangci-lint
BUF := $(TOOLS)/buf
# The wire contract as it was first released, which must be understood for ever.
RELEASED := querytree/querytreepb/testdata/tree-v1.binpb
# Generated queries that make test compares with one stock engine.
QUERIES ?= 100000
# Series of each of the eight leaves that make bench compares with one engine.
BENCH_SERIES ?= 20000

# Everything but the tests that run processes, which need the machine to themselves.
UNITS = $$(go list ./... | grep -Ev '/e2e(/kube)?$$')
# What compares so much that only a part of it, or nothing, runs under the race detector: all of it runs without.
COMPARED = ./querytree ./e2e/planetbench ./fieldhint
# What the race detector looks at, which is all else and a part of querytree's comparisons: planetbench's planet takes six times as long under it, and fieldhint's own tests run the same code.
RACED = $$(go list ./... | grep -Ev '/e2e(/kube|/planetbench)?$$')

# Tests without the race detector are compiled as the binary is, so that what both are made of is compiled once; those of processes run that very binary.
PLAIN = CGO_ENABLED=0 PANDO_BINARY=$(CURDIR)/$(BIN)

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

.PHONY: dev
dev: build ## Build, and run a whole planet on this machine: http://127.0.0.1:9090
	$(BIN) dev

.PHONY: build
build: console ## Build bin/pando, with the console if Node.js is there
	CGO_ENABLED=0 go build -ldflags "-s -w -X main.version=$(VERSION)" -o $(BIN) ./cmd/pando

# The console's sources; what is built of them is embedded in the binary.
CONSOLE = ui/index.html ui/vite.config.ts ui/tsconfig.json $(shell find ui/src ui/public ui/scripts -type f)

.PHONY: console
console: # The console, in ui/dist; without Node.js the binary has a plain page instead
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory ui/dist/index.html.gz; \
	else echo "no Node.js here: the binary is built without the console"; fi

ui/node_modules/.installed: ui/package-lock.json
	cd ui && npm ci --no-audit --no-fund
	touch $@

ui/dist/index.html.gz: ui/node_modules/.installed $(CONSOLE)
	cd ui && npm run build

.PHONY: test
test: test-deps testkube test-ui ## All tests: units, differential suites, processes, the console in a browser, Kubernetes, then the race detector
	PANDO_QUERIES=$(QUERIES) $(PLAIN) go test -timeout 20m -v -run 'TestGeneratedQueries$$' ./querytree
	$(PLAIN) go test -timeout 20m $(COMPARED)
	$(PLAIN) go test -timeout 20m ./e2e
	@$(MAKE) --no-print-directory -j2 -Otarget kube race

# Those of Kubernetes wait for most of their time, the others never do: they share the machine.
.PHONY: kube race
kube:
	$(PLAIN) go test -timeout 30m ./e2e/kube
race:
	go test -race -timeout 40m $(RACED)

.PHONY: test-quick
test-quick: test-deps ## The tests once, with fewer generated queries and no race detector
	go test $(UNITS) ./e2e

.PHONY: test-ui
test-ui: ui-deps build ## The console: its logic, and its pages in a real browser against a running planet
	cd ui && npm run lint && npm test && npm run test:browser

.PHONY: ui-deps
ui-deps: # Node.js and Chromium, from Debian's packages
	@command -v npm >/dev/null || ./ui/test/install-node.sh
	@command -v chromium >/dev/null || ./ui/test/install-chromium.sh

.PHONY: screenshots
screenshots: ui-deps build ## The pictures of docs/console.md, anew
	cd ui && npm run screenshots

.PHONY: test-kube
test-kube: testkube ## Pando in Kubernetes: the manifests, on control planes of this machine
	go test -timeout 20m ./e2e/kube

.PHONY: testkube
testkube: # A Kubernetes control plane for tests, kept outside the work tree; some minutes the first time
	./e2e/testkube/build.sh

.PHONY: test-deps
test-deps: # A real Prometheus and promtool, from Debian's packages
	@{ command -v prometheus && command -v promtool; } >/dev/null || ./e2e/install-prometheus.sh

.PHONY: fuzz
fuzz: ## Generated queries against one stock engine, without end
	go test -run '^$$' -fuzz FuzzGeneratedQueries ./querytree

.PHONY: soak
soak: ## A million generated queries against one stock engine, and a million look-ups of field hints: an hour
	PANDO_QUERIES=1000000 go test -timeout 6h -v -run 'TestGeneratedQueries$$' ./querytree
	PANDO_HINT_LOOKUPS=1000000 go test -timeout 2h -v -run 'TestModel$$' ./fieldhint

.PHONY: bench
bench: build test-deps testkube ## Ratios measured in one run: root against one engine, ingest, pruning
	PANDO_BENCH_SERIES=$(BENCH_SERIES) go test -timeout 90m -count=1 -run '^$$' -bench . -skip Dashboard -benchtime 1x ./e2e -v
	go test -timeout 30m -count=1 -run '^$$' -bench Dashboard -benchtime 20x ./e2e -v
	go test -timeout 30m -count=1 -run '^$$' -bench . ./rollup/keep
	go test -timeout 30m -count=1 -run '^$$' -bench . ./leaf ./fieldhint
	go test -timeout 30m -count=1 -run '^$$' -bench CorpusPlans ./querytree -v
	go test -timeout 30m -count=1 -run '^$$' -bench ThousandClusters ./gitops/ruletest
	go test -timeout 30m -count=1 -run '^$$' -bench . -benchtime 20x ./gitops
	go test -timeout 30m -count=1 -run '^$$' -bench . -benchtime 50x ./e2e/kube
	go test -timeout 30m -count=1 -run '^$$' -bench . -benchtime 3x ./gitops/wave

.PHONY: bench-planet
bench-planet: ## Field hints of 10,000 simulated leaves: pruning, precision, memory, time to decide
	go test -timeout 60m -count=1 -run '^$$' -bench Planet -benchtime 1x ./e2e/planetbench
	go test -timeout 20m -count=1 -run '^$$' -bench HintOverhead -benchtime 1x ./leaf

.PHONY: lint
lint: $(GOLANGCI) $(BUF) ## golangci-lint and buf, as configured in .golangci.yml and buf.yaml
	$(GOLANGCI) run ./...
	$(BUF) lint
	$(BUF) breaking --against $(RELEASED)

$(GOLANGCI):
	GOBIN=$(TOOLS) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

$(BUF):
	GOBIN=$(TOOLS) go install github.com/bufbuild/buf/cmd/buf@v1.75.0

.PHONY: generate
generate: ## Generate the protobuf code anew (needs protoc)
	@command -v protoc >/dev/null || { echo "protoc is needed: apt-get install protobuf-compiler"; exit 1; }
	./querytree/querytreepb/generate.sh

.PHONY: verify
verify: generate lint ## Formatting, vet, lint and generated code are as committed
	test -z "$$(gofmt -l $$(git ls-files '*.go'))"
	go vet ./...
	git diff --exit-code

.PHONY: clean
clean: ## Remove what was built, and the data of make dev
	rm -rf bin data .tools ui/node_modules
	git clean -qfdX ui/dist
