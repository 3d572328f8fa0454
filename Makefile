# Everything here is a shortcut: `go build ./cmd/tagma` and `go test ./...` suffice.

GO          ?= go
FUZZTIME    ?= 30s
RUNS        ?= 200
STATICCHECK ?= honnef.co/go/tools/cmd/staticcheck@v0.8.2
# bench talks to a running cluster; `make demo` in another terminal starts one.
CALLERS     ?= 1 16 64 256
SECONDS     ?= 10

.DEFAULT_GOAL := help
.PHONY: help build test race vet staticcheck fuzz campaign-sim campaign-fuzz mutants crashes show-records show-faults show-sync show-steady demo bench bench-go clean

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

campaign-fuzz: ## FUZZTIME more for every fuzz target (FUZZ=pattern: those), recorded in docs/campaigns/fuzz.tsv
	FUZZ="$(FUZZ)" FUZZTIME=$(FUZZTIME) scripts/campaign.sh fuzz

mutants: ## every planted bug must be caught and named (about ten minutes)
	MUTANTS=$${MUTANTS:-all} $(GO) test -count=1 -timeout 60m -v ./sim/mutants

crashes: ## 500 simulated runs of power losses on the crashable file system
	SIM_RUNS=500 SIM_SEED=1 SIM_CRASH=1 $(GO) test -count=1 -timeout 30m -run 'Campaign$$' -v ./sim

RECORDS ?= bin/records.jsonl
bin/records.jsonl:
	mkdir -p bin && scripts/records.sh >$@

show-records: build $(RECORDS) ## real records through clusters with a liar, a killed primary, or both
	for c in a b c; do scripts/show-records.sh bin/tagma $(RECORDS) $$c || exit 1; done
	head -n 3000 $(RECORDS) >bin/few.jsonl
	for c in 0=mute 2=mute 0=lie 2=lie 0=equivocate 2=equivocate; do scripts/show-records.sh bin/tagma bin/few.jsonl $$c || exit 1; done

show-faults: build $(RECORDS) ## kill -9 of all, 20 times; a killed primary, 20 times; an idle minute
	scripts/show-crash.sh bin/tagma 20
	scripts/show-primary.sh bin/tagma 20
	scripts/show-idle.sh bin/tagma $(RECORDS) 60

show-sync: build ## no acknowledgement before the sync (needs strace)
	scripts/show-sync.sh bin/tagma

show-steady: build ## ten minutes of saturating load without a view change
	scripts/show-steady.sh bin/tagma 600

demo: build ## a cluster of four replicas on this machine
	bin/tagma demo

bench: build ## durable puts against the running demo cluster: CALLERS, SECONDS
	@set -e; for c in $(CALLERS); do echo "callers $$c"; \
		bin/tagma bench --workload put --callers $$c --seconds $(SECONDS) --value 128; done

bench-go: ## the packages' own benchmarks
	$(GO) test -run '^$$' -bench . -benchmem ./...

clean: ## remove bin (a demo cluster's folder is data and stays)
	rm -rf bin
