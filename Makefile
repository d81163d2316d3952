# coretrace: what people and CI run. `make` alone prints the targets.
# Root is needed only to install packages and to trace; the VM tests need no root.

PREFIX ?= /usr/local
CARGO ?= cargo
# The kernel of `make vm`, and what to run there (a shell when empty).
KERNEL ?= 6.12
CMD ?=
# Those of `make vm-all`, as 6.16-rt,bookworm (all when empty).
KERNELS ?=
# Another architecture than this host's, for `build`, `test`, `vm` and `dist`: make build ARCH=aarch64
ARCH ?= $(HOST)
HOST := $(shell uname -m)
FOREIGN = $(filter-out $(HOST),$(ARCH))
# Before cargo: the environment in which it builds for that one.
CROSS = $(if $(FOREIGN),environment=$$(scripts/cross $(ARCH)) && eval "$$environment" &&)
# .cargo/config.toml names the target (for a static binary), so cargo builds in that target's own directory.
TARGET = $(if $(FOREIGN),$(ARCH)-unknown-linux-gnu,$(shell rustc -vV | sed -n 's/^host: //p'))
BINARY = $(or $(CARGO_TARGET_DIR),target)/$(TARGET)/release/coretrace
SHARE = $(DESTDIR)$(PREFIX)/share
# Tracing needs root; sudo is not everywhere, and root does not need it.
AS_ROOT = $(if $(filter-out 0,$(shell id -u)),sudo)

.PHONY: help run build test test-fast vm vm-all bench bench-vm install dist test-dist clean

help: ## print this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

run: build ## build, then trace a small command: what it starts, and how that ends
	@# The traced command fails on purpose, and coretrace passes its exit code on.
	@$(AS_ROOT) $(BINARY) proc -- sh -c 'ls /; false' || test $$? -eq 1

build: ## build the static binary, installing what the build needs
	scripts/deps build
	$(CROSS) $(CARGO) build --release

test: ## everything: test-fast, then the live tests on each kernel, in VMs, and the smoke run on a few more
	@CARGO='$(CARGO)' scripts/test $(if $(FOREIGN),--arch $(ARCH))

test-fast: ## the tests that need no VM
	scripts/deps build
	$(CARGO) test --profile checked --workspace

vm: ## a shell in a VM, or a command: make vm KERNEL=6.12 CMD='coretrace --help'
	scripts/deps test$(if $(FOREIGN),-cross)
	$(CARGO) test --profile checked --test vm -- $(if $(FOREIGN),--arch $(ARCH)) --kernel $(KERNEL) $(if $(CMD),--cmd '$(subst ','\'',$(CMD))',--shell)

vm-all: ## the smoke run on the oldest and newest build of every series and flavour that Debian's suites offer
	scripts/deps test
	$(CARGO) test --profile checked --test vm -- --smoke $(if $(KERNELS),--kernel $(KERNELS))

bench: ## what tracing costs
	scripts/deps bench
	tests/bench/run

bench-vm: ## the same in a VM, for what this machine's kernel lacks: connections, kernel functions
	scripts/deps test
	scripts/deps bench
	tests/bench/guest

install: ## install to PREFIX (/usr/local), below DESTDIR; needs `make build` first
	install -D -m 755 $(BINARY) $(DESTDIR)$(PREFIX)/bin/coretrace
	mkdir -p $(SHARE)/man/man1
	$(BINARY) man $(SHARE)/man/man1
	mkdir -p $(addprefix $(SHARE)/,bash-completion/completions zsh/site-functions fish/vendor_completions.d)
	$(BINARY) completions bash >$(SHARE)/bash-completion/completions/coretrace
	$(BINARY) completions zsh >$(SHARE)/zsh/site-functions/_coretrace
	$(BINARY) completions fish >$(SHARE)/fish/vendor_completions.d/coretrace.fish

dist: ## archives and packages for ARCH (this host's), in target/dist
	scripts/deps dist
	$(CROSS) ARCH=$(ARCH) scripts/dist

test-dist: ## packs the binary of `make build`, tests archives, and installs packages in a directory; as root
	scripts/deps dist
	scripts/test-dist $(BINARY)

clean: ## remove what was built; the kernels of the VM tests stay in ~/.cache/coretrace
	$(CARGO) clean
