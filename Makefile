# Everything here is a shortcut: `go build ./cmd/tagma` and `go test ./...` suffice.

GO          ?= go
FUZZTIME    ?= 30s
RUNS        ?= 200
STATICCHECK ?= honnef.co/go/tools/cmd/staticcheck@v0.8.2
# bench talks to a running cluster; `make demo` in another terminal starts one.
CALLERS     ?= 1 16 64 256
SECONDS     ?= 10

.DEFAULT_GOAL := help
.PHONY: help build test race vet staticcheck fuzz campaign-sim campaign-fuzz demo bench bench-go clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

build: ## bin/tagma, static
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/tagma ./cmd/tagma

test: ## all tests
	$(GO) test ./...

race: ## all tests under the race detector (slow; needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race -short ./...

vet: ## go vet
	$(GO) vet ./...

staticcheck: ## staticcheck (downloads it on first use)
	$(GO) run $(STATICCHECK) ./...

fuzz: ## every fuzz target for FUZZTIME, nothing recorded
	RECORD=no FUZZTIME=$(FUZZTIME) scripts/campaign.sh fuzz

campaign-sim: ## RUNS more simulated runs, recorded in docs/campaigns/sim.tsv
	RUNS=$(RUNS) scripts/campaign.sh sim

campaign-fuzz: ## FUZZTIME more for every fuzz target, recorded in docs/campaigns/fuzz.tsv
	FUZZTIME=$(FUZZTIME) scripts/campaign.sh fuzz

demo: build ## a cluster of four replicas on this machine
	bin/tagma demo

bench: build ## durable puts against the running demo cluster: CALLERS, SECONDS
	@set -e; for c in $(CALLERS); do echo "callers $$c"; \
		bin/tagma bench --workload put --callers $$c --seconds $(SECONDS) --value 128; done

bench-go: ## the packages' own benchmarks
	$(GO) test -run '^$$' -bench . -benchmem ./...

clean: ## remove bin (a demo cluster's folder is data and stays)
	rm -rf bin
