# Everything but interop, examples, sdk-java and lint needs nothing but Go and make.

GO      ?= go
BIN     := bin
TOOLS   := $(CURDIR)/.tools
# The modules beside the root one: their dependencies stay out of the product's go.sum.
MODULES := . tests bench bench/codec

GOLANGCI_LINT_VERSION := v2.15.0
GOVULNCHECK_VERSION   := v1.9.0
GOLANGCI_LINT := $(TOOLS)/golangci-lint-$(GOLANGCI_LINT_VERSION)
GOVULNCHECK   := $(TOOLS)/govulncheck-$(GOVULNCHECK_VERSION)

# The race detector needs a C compiler, which is what Go's own default for cgo goes by.
ifeq ($(shell $(GO) env CGO_ENABLED),1)
RACE := -race
else
RACE :=
$(warning no C compiler: the tests run without the race detector)
endif
TEST := $(GO) test $(RACE) -shuffle=on -timeout 15m

FUZZTIME ?= 20s

.PHONY: run build test interop examples sdk-java bench fuzz lint fmt tidy vuln clean

run: build ## Weir with an embedded NATS server and the demo tenant, on loopback
	./$(BIN)/weir

build: ## bin/weir
	CGO_ENABLED=0 $(GO) build -trimpath -o $(BIN)/weir ./cmd/weir

# One package at a time in the tests module: each starts whole programs, and shares the machine with nothing else.
test: ## all tests that need nothing but Go
	$(TEST) ./...
	cd tests && $(TEST) -p 1 $$($(GO) list ./... | grep -v -e /interop -e /examples/websocket)

interop: tests/interop/mqttjs/node_modules/.package-lock.json ## clients in other languages; fails where one is missing
	cd tests && $(TEST) -count=1 ./interop/...

tests/interop/mqttjs/node_modules/.package-lock.json: tests/interop/mqttjs/package-lock.json
	cd tests/interop/mqttjs && npm ci --no-audit --no-fund
	touch $@

examples: examples/mapper-node/node_modules/.package-lock.json ## the examples in Node.js and Java; fails where one is missing
	cd tests && $(TEST) -count=1 ./examples/websocket/...

examples/mapper-node/node_modules/.package-lock.json: examples/mapper-node/package-lock.json
	cd examples/mapper-node && npm ci --no-audit --no-fund
	touch $@

sdk-java: build ## the Java SDK, with Maven, beside a Weir
	cd sdk/java && WEIR_BIN=$(CURDIR)/$(BIN)/weir mvn -q -B verify

bench: ## the codec and the program, each beside its peers
	$(MAKE) -C bench bench

# Each target alone, because go test fuzzes one at a time.
fuzz: ## every fuzz target for FUZZTIME
	@set -e; for file in $$(grep -rl --include='*_test.go' '^func Fuzz' . | grep -v '^./bench/'); do \
		for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' $$file); do \
			echo "== $$(dirname $$file) $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) ./$$(dirname $$file); \
		done; \
	done

lint: $(GOLANGCI_LINT) ## linters and tidy modules
	@set -e; for module in $(MODULES); do \
		echo "== $$module"; \
		(cd $$module && $(GO) mod tidy -diff && $(GOLANGCI_LINT) run --config $(CURDIR)/.golangci.yml ./...); \
	done

fmt: $(GOLANGCI_LINT)
	$(GOLANGCI_LINT) fmt

tidy:
	@set -e; for module in $(MODULES); do (cd $$module && $(GO) mod tidy); done

vuln: $(GOVULNCHECK) ## known vulnerabilities; needs https://vuln.go.dev
	$(GOVULNCHECK) ./...

clean:
	rm -rf $(BIN) $(TOOLS)

# The version is part of the file's name, so that another version is another tool.
$(GOLANGCI_LINT):
	GOBIN=$(TOOLS) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)
	mv $(TOOLS)/golangci-lint $@

$(GOVULNCHECK):
	GOBIN=$(TOOLS) $(GO) install golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK_VERSION)
	mv $(TOOLS)/govulncheck $@
