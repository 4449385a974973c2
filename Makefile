# Berth: `make demo` and `make test` each do all of their own set-up on a fresh
# Debian machine (as root, with Go and git present).

PREFIX   ?= /usr/local
DESTDIR  ?=
VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
GOBUILD  := CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X github.com/berth-containers/berth/internal/version.Version=$(VERSION)'
BINARIES := berth berth-buildclient berthd berth-build berth-shim berth-runtime berth-init berth-registry

# Debian packages: what the demo runs on, what the tests judge with, what the
# benchmark measures against.
DEMO_PACKAGES  := busybox-static docker-registry iproute2 curl ca-certificates
# (The race detector links with gcc.)
TEST_PACKAGES  := $(DEMO_PACKAGES) gcc libc6-dev skopeo umoci docker-cli python3 qemu-system-x86 kmod docker.io podman runc criu uidmap buildah git \
                  docker-compose python3-docker nginx-light postgresql-15 redis-server
BENCH_PACKAGES := $(TEST_PACKAGES) netavark crun iptables

.PHONY: all build test lint demo bench soak vm install uninstall clean packages-demo packages-test packages-bench

all: build

build: $(addprefix bin/,$(BINARIES))

# Go's own cache decides what is out of date.
.PHONY: $(addprefix bin/,$(BINARIES))
$(addprefix bin/,$(BINARIES)): bin/%:
	$(GOBUILD) -o $@ ./cmd/$*

# The stock client of builds, and the builder that judges them (test/e2e/build):
# modules of their own, that ours need not know.
bin/docker-buildx: test/tools/go.sum
	cd test/tools && CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o ../../$@ github.com/docker/buildx/cmd/buildx

bin/buildkitd: test/tools/go.sum
	cd test/tools && CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o ../../$@ github.com/moby/buildkit/cmd/buildkitd

# Clients that Debian does not have (test/e2e/clients): today's compose, a user of
# testcontainers, and what stands in for its reaper.
bin/docker-compose: test/tools/go.sum
	cd test/tools && CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o ../../$@ github.com/docker/compose/v5/cmd

bin/testcontainers bin/reaper: bin/%: test/tools/go.sum $(wildcard test/tools/*/*.go)
	cd test/tools && CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o ../../$@ ./$*

packages-demo packages-test packages-bench: packages-%:
	@hack/packages $(if $(filter demo,$*),$(DEMO_PACKAGES),$(if $(filter test,$*),$(TEST_PACKAGES),$(BENCH_PACKAGES)))

lint:
	@test -z "$$(gofmt -l cmd internal test)" || { echo 'gofmt these:'; gofmt -l cmd internal test; exit 1; }
	go vet ./...
	go tool staticcheck ./...
	bash -n hack/* .ci/run

# -p 1: the black-box packages each look at the whole machine for leaks.
test: packages-test build lint bin/kernel/vmlinuz $(addprefix bin/,docker-buildx docker-compose testcontainers reaper)
	BERTH_BIN=$(CURDIR)/bin CGO_ENABLED=1 go test -race -timeout 20m ./internal/... ./cmd/...
	BERTH_BIN=$(CURDIR)/bin BERTH_KERNEL=$(CURDIR)/bin/kernel go test -p 1 -count=1 -timeout 20m ./test/...

demo: packages-demo build
	hack/demo

bench: packages-bench build
	BERTH_BIN=$(CURDIR)/bin go run ./test/bench

# Ten thousand containers by berth-runtime, eight at a time.
soak: packages-test build
	BERTH_BIN=$(CURDIR)/bin BERTH_SOAK=10000 go test -count=1 -timeout 60m -v -run TestSoak ./test/faults

vm: packages-test build bin/kernel/vmlinuz
	BERTH_BIN=$(CURDIR)/bin BERTH_KERNEL=$(CURDIR)/bin/kernel go test -count=1 -timeout 20m -v ./test/vm/...

bin/kernel/vmlinuz:
	hack/kernel bin/kernel

install: build
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/systemd/system
	install -m 0755 $(addprefix bin/,$(BINARIES)) $(DESTDIR)$(PREFIX)/bin
	for unit in contrib/systemd/*; do \
		sed 's|@bindir@|$(PREFIX)/bin|g' $$unit > $(DESTDIR)$(PREFIX)/lib/systemd/system/$$(basename $$unit); \
	done

uninstall:
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/bin/,$(BINARIES))
	for unit in contrib/systemd/*; do rm -f $(DESTDIR)$(PREFIX)/lib/systemd/system/$$(basename $$unit); done

clean:
	rm -rf bin
