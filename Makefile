# doorway: `make help` lists the targets. Logic lives in Go (cmd/house).
GO       ?= go
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
OUT      ?= bin/doorway
# The compiler inlines in these packages only: elsewhere calls cost next to nothing beside what they do, and inlining
# would take a tenth of the binary, which has to fit small boxes. No client needs HTTP/2 here.
HOT       = runtime/... internal/... crypto/internal/fips140/... $(addprefix crypto/,tls ecdh ecdsa aes cipher sha256 hmac subtle rand) \
            vendor/golang.org/x/crypto/... sync/... hash/... math/bits strings bytes \
            strconv unicode/... doorway/gateway/people/shared doorway/xmpp/xmlstream doorway/xmpp/stanza \
            doorway/xmpp/jid doorway/xmpp/sasl doorway/xmpp/router doorway/xmpp/c2s doorway/xmpp/archive \
            $(addprefix doorway/xmpp/mod/,roster presence)
BUILD     = CGO_ENABLED=0 $(GO) build -trimpath -tags nethttpomithttp2 -gcflags=all=-l $(HOT:%=-gcflags=%=) \
            -ldflags "-s -w -X main.version=$(VERSION)"
.DEFAULT_GOAL := help
.PHONY: help run build test check bench bench-sms fuzz cross vuln clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-9s %s\n", $$1, $$2}' Makefile

run: build ## build and run the demo: a server on loopback, three people, an emulated modem
	@./bin/doorway demo

build: ## make bin/doorway, one static binary
	@$(BUILD) -o $(OUT) ./cmd/doorway

test: ## install the peers the tests need (Debian packages, npm) and run every test
	@$(GO) run ./cmd/house peers
	@CI=$(or $(CI),true) $(GO) run ./cmd/house test

check: ## format, vet, staticcheck, tidy, floor plan, binary sizes, tests with the race detector
	@$(GO) run ./cmd/house format
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...
	$(GO) mod tidy -diff
	$(GO) run ./cmd/house sizes
	$(GO) run ./cmd/house readme -check
	$(GO) test -race -short ./...

readme: ## write README's table of specifications from what the modules say
	@$(GO) run ./cmd/house readme

bench: ## run the benchmarks and print binary sizes, in the form benchstat reads
	@$(GO) test -run '^$$' -bench . -benchmem ./...
	@$(GO) run ./cmd/house sizes

bench-sms: ## parts per minute beside gammu-smsd and smstools; 10,000 texts, two modems, 50 times kill -9
	@DOORWAY_BENCH_SMS=1 DOORWAY_KILL_TEXTS=10000 DOORWAY_KILLS=50 $(GO) test -run 'TestPartsPerMinute|TestKillTwoModems' -v -timeout 40m ./cmd/doorway

fuzz: ## run every fuzz target for 30 s
	@$(GO) run ./cmd/house fuzz -time 30s

cross: ## build for linux/arm64, arm v6, arm v7 and amd64 and print the sizes
	@$(GO) run ./cmd/house sizes

vuln: ## look for known vulnerabilities (needs the online database)
	@$(GO) run golang.org/x/vuln/cmd/govulncheck@v1.1.4 ./... || echo "govulncheck could not run or found something; it needs its online database."

clean: ## remove what was built and the demo's data
	@rm -rf bin dist var
