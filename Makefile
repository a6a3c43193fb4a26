# driftmesh. `make help` lists what there is; `make` alone does what CI does.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

BIN := $(CURDIR)/.bin
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -X github.com/driftmesh/driftmesh/internal/process.Version=$(VERSION)
GO := go
PACKAGES := ./... ./proto/... ./sdk/... ./sdk/broker/...

# Pinned tools, built into .bin, and again when their version here changes.
# After bumping one run make generate lint.
BUF := github.com/bufbuild/buf/cmd/buf@v1.69.0
PROTOC_GEN_GO := google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.11
PROTOC_GEN_GO_GRPC := google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.5.1
GRPC_GATEWAY := github.com/grpc-ecosystem/grpc-gateway/v2/protoc-gen-grpc-gateway@v2.28.0
OPENAPI := github.com/grpc-ecosystem/grpc-gateway/v2/protoc-gen-openapiv2@v2.28.0
GOLANGCI := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.12.2
GOTESTSUM := gotest.tools/gotestsum@v1.13.0
TOOLS := $(BUF) $(PROTOC_GEN_GO) $(PROTOC_GEN_GO_GRPC) $(GRPC_GATEWAY) $(OPENAPI) $(GOLANGCI) $(GOTESTSUM)

.PHONY: all
all: lint generate-check web-check test ## What CI does

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z_-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  %-16s %s\n", $$1, $$2}'

.PHONY: run
run: build ## Run the whole mesh here: all services, broker and store in one process
	$(BIN)/driftmesh up

.PHONY: demo
demo: build ## Run the mesh with a sample load that drifts after a while
	$(BIN)/driftmesh demo

.PHONY: sensors
sensors: generate_certs ## Run a mesh and examples/sensors, and see traces, metrics and the alert of a sensor that goes wrong
	$(GO) build -o $(BIN)/sensors ./examples/sensors
	$(BIN)/sensors show

.PHONY: build
build: ## Build driftmesh and the five services into .bin
	@mkdir -p $(BIN)
	$(GO) build -trimpath -ldflags "$(LDFLAGS)" -o $(BIN)/ ./cmd/driftmesh
	@for s in gateway auth ingest-worker drift trace-store; do \
	  $(GO) build -trimpath -ldflags "$(LDFLAGS)" -o $(BIN)/driftmesh-$$s ./services/$$s; done

.PHONY: web
web: ## Build the user interface into web/dist, which is committed so that others need no npm
	cd web && npm ci --silent --no-audit --no-fund && npm run -s types && npm run -s build

.PHONY: web-check
web-check: web ## Fail if web/dist is not what its sources make, or larger than it may be
	@test -z "$$(git status --porcelain web)" || { git status --short web; echo "run make web, and commit what it made"; exit 1; }
	node web/size.mjs

.PHONY: generate_certs
generate_certs: build ## Make a CA and a certificate for each service in certs/, and for the sensors' server in certs/sensors/; what is there stays
	$(BIN)/driftmesh certs make
	$(BIN)/driftmesh certs make sensors --dir certs/sensors

.PHONY: test
test: $(BIN)/gotestsum ## Run all tests with the race detector; says which suites it had to skip
	@scripts/test.sh

.PHONY: test-short
test-short: $(BIN)/gotestsum ## Run the quick tests, without the race detector: no whole mesh, no broker's driver
	@scripts/test.sh short

.PHONY: fuzz
fuzz: ## Fuzz what reads tokens, keys and headers, FUZZ_TIME (1m) for each target
	@scripts/fuzz.sh $(or $(FUZZ_TIME),1m)

.PHONY: lint
lint: $(BIN)/golangci-lint $(BIN)/buf ## Lint Go and protos, and check the format of both
	cd proto && $(BIN)/buf lint && $(BIN)/buf format -d --exit-code
	GOLANGCI_LINT_CACHE=$(BIN)/lint-cache $(BIN)/golangci-lint run $(PACKAGES)

.PHONY: breaking
breaking: $(BIN)/buf ## Check the protos against main for changes that break clients
	cd proto && $(BIN)/buf breaking --against '../.git#branch=main,subdir=proto'

.PHONY: generate
generate: $(BIN)/buf $(BIN)/protoc-gen-go $(BIN)/protoc-gen-go-grpc $(BIN)/protoc-gen-grpc-gateway $(BIN)/protoc-gen-openapiv2 ## Make the generated code
	cd proto && $(BIN)/buf format -w && $(BIN)/buf generate
	$(GO) run ./cmd/driftmesh config reference > docs/config.md
	$(GO) run ./cmd/driftmesh topics asyncapi > docs/asyncapi.yaml
	$(GO) run ./cmd/driftmesh policy --markdown > docs/policy.md
	cd examples/sensors && $(BIN)/buf format -w && $(BIN)/buf generate
	$(GO) run ./deploy/monitoring/generate deploy/monitoring/dashboards

.PHONY: generate-check
generate-check: generate ## Fail when generated files are stale
	@git diff --exit-code -- proto docs/config.md docs/asyncapi.yaml docs/policy.md examples/sensors deploy/monitoring/dashboards || { echo "generated files are stale: run make generate and commit"; exit 1; }

.PHONY: bench
bench: build ## Measure the mesh under load, and print a table and JSON
	$(GO) run ./bench $(BENCH_FLAGS)

.PHONY: bench-brokers
bench-brokers: ## Measure each broker's driver against the bare client library, and print a table
	$(GO) run ./bench/brokers $(BENCH_FLAGS)

.PHONY: bench-drift
bench-drift: ## Measure what drift costs: from the request to cells, a verdict, a window counted, an import, a week judged
	$(GO) run ./bench/drift $(BENCH_FLAGS)
	$(GO) test -run '^$$' -bench 'Gather|Insert' -benchtime 20x ./services/ingest-worker/internal/store | grep -E '^(Benchmark|FAIL|---)'
	$(GO) test -run '^$$' -bench 'Layout/.*/recompute/layout=record/records=(1000|100000)$$|Plain|Backfill|Week' -benchtime 5x -timeout 30m ./services/drift/internal/window | grep -E '^(Benchmark|FAIL|---)'

.PHONY: bench-sdk
bench-sdk: ## Measure what the SDK costs beside OpenTelemetry's own: a span written, a span from start to bytes, a record sent
	$(GO) test -run '^$$' -bench 'Encode|Pipeline|Records' -benchmem -benchtime 2s ./sdk | grep -E '^(Benchmark|FAIL|---)'

.PHONY: bench-scouter
bench-scouter: ## Measure how long Scouter's clients wait for an acknowledgement, over HTTP and gRPC
	$(GO) run ./bench/scouter $(BENCH_FLAGS)

.PHONY: calibrate
calibrate: ## Measure the false-alarm rates of the drift detectors, and print a table
	CALIBRATE=$(or $(CALIBRATE_WINDOWS),10000) $(GO) test ./internal/detect -run TestFalseAlarms -v -timeout 5h | grep --line-buffered -E '/.*;|outside|^(ok|FAIL)'

.PHONY: fmt
fmt: ## Format the Go code
	gofmt -w $$(git ls-files '*.go' | grep -v '\.pb\.')

.PHONY: clean
clean: ## Remove what was built; keeps data
	rm -rf $(BIN)

# tool makes the rules of one tool, whose name stands before the @ and whose
# version behind it: a file that is named after both is older than the program,
# unless the version is another one than last time.
define tool
$(BIN)/$(firstword $(subst @, ,$(notdir $(1)))): $(BIN)/versions/$(notdir $(1))
	GOBIN=$(BIN) GOFLAGS= $(GO) install $(1)
	@touch $$@
$(BIN)/versions/$(notdir $(1)):
	@mkdir -p $$(@D) && rm -f $$(@D)/$(firstword $(subst @, ,$(notdir $(1))))@* && touch $$@
endef
$(foreach t,$(TOOLS),$(eval $(call tool,$(t))))
