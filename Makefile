# sysbpf: libbpf's bpf.h in Rust. `make help` lists the targets.

PREFIX     ?= /usr/local
LIBDIR     ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
BINDIR     ?= $(PREFIX)/bin
MANDIR     ?= $(PREFIX)/share/man

CARGO   ?= cargo
CC      ?= cc
AR      ?= ar
OBJCOPY ?= objcopy
# What cargo builds for, if not for this machine: a Rust target, and flags such as -Zbuild-std.
RUST_TARGET ?=
CARGOFLAGS  ?=

VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
SONAME  := libsysbpf.so.1
TARGET  := $(or $(CARGO_TARGET_DIR),target)
# What this Makefile builds, and the tree that the tests use as installed.
OUT     := $(TARGET)/sysbpf$(addprefix -,$(RUST_TARGET))
STAGE   := $(TARGET)/stage$(addprefix -,$(RUST_TARGET))

SOLIB  := $(OUT)/libsysbpf.so.$(VERSION)
ALIB   := $(OUT)/libsysbpf.a
HEADERS := $(addprefix include/bpf/,bpf.h libbpf_common.h libbpf_legacy.h libbpf_version.h)
RUST_SOURCES := Cargo.toml Cargo.lock $(shell find src -name '*.rs')

.DELETE_ON_ERROR:

.PHONY: all
all: $(SOLIB) $(ALIB) $(OUT)/libbpf-rest.so ## release build: .so, .a (the headers are in include/)

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-22s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# ---- Building -------------------------------------------------------------------------------
# cargo builds static libraries; the linker makes of them what C programs link. There are two:
# the shared object looks for a real libbpf through the dynamic loader, the archive must not.

RUST_LIB    := $(TARGET)/$(addsuffix /,$(RUST_TARGET))release/libsysbpf.a
cargo_build  = $(CARGO) build --release --locked --target-dir $(TARGET) $(addprefix --target ,$(RUST_TARGET)) $(CARGOFLAGS)

$(OUT)/for-shared.a: $(RUST_SOURCES)
	@mkdir -p $(OUT)
	$(cargo_build) --features rtld-next
	cp $(RUST_LIB) $@

# After the other, because cargo puts both in the same place.
$(OUT)/for-static.a: $(RUST_SOURCES) | $(OUT)/for-shared.a
	$(cargo_build)
	cp $(RUST_LIB) $@

# The API is what is asked of the archives; only what that needs is taken from them.
$(OUT)/api: libsysbpf.symbols
	@mkdir -p $(OUT)
	sed 's/@@.*//' $< >$@
ask_for_api = $$(sed 's/^/-Wl,-u,/' $(OUT)/api)

# Nothing but libc: no start files (there is nothing to start), no libgcc.
$(SOLIB): $(OUT)/for-shared.a libsysbpf.map $(OUT)/api
	$(CC) -shared -nostdlib -o $@ $(ask_for_api) $< -lc \
		-Wl,-soname,$(SONAME) -Wl,--version-script=libsysbpf.map -Wl,--gc-sections -Wl,-O1 \
		-Wl,-Bsymbolic -Wl,--hash-style=gnu -Wl,-z,noseparate-code -Wl,-z,defs -Wl,-z,text -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack \
		-Wl,--as-needed -Wl,-S $(LDFLAGS)

# A member for each function, as in libc's own archive: a static program grows by what it calls.
# Functions that remember something of the process together are one member. In each member the
# API is global and all else of Rust local, so that a program can link another Rust library too.
TOGETHER := bpf_map_create bpf_prog_load bpf_btf_load libbpf_set_memlock_rlim

$(ALIB): $(OUT)/for-static.a $(OUT)/api
	rm -rf $@ $(OUT)/members
	mkdir -p $(OUT)/members
	set -e; for functions in "$(TOGETHER)" $(filter-out $(TOGETHER),$(shell sed 's/@@.*//' libsysbpf.symbols)); do \
		member=$(OUT)/members/$${functions%% *}.o; \
		$(CC) -r -nostdlib -o $$member -Wl,--gc-sections $$(printf -- ' -Wl,-u,%s' $$functions) $<; \
		$(OBJCOPY) $$(printf -- ' --keep-global-symbol=%s' $$functions) --remove-section='.debug*' \
			--remove-section='.rela.debug*' --remove-section=.llvmbc --remove-section=.llvmcmd \
			--remove-section=.comment $$member; \
	done
	$(AR) rcsD $@ $(OUT)/members/*.o

# What -lbpf finds beside us in the drop-in folder: a library without code that has the real
# one's name and the symbols that are not ours. A program that uses one of them comes to need
# libbpf.so.1, and gets the real one when it runs; any linker can do that.
$(OUT)/libbpf-rest.so: libbpf-rest.symbols libsysbpf.map
	@mkdir -p $(OUT)
	awk -F @@ '{ print ".globl " $$1 "\n.type " $$1 ", %function\n" $$1 ":" } END { print ".section .note.GNU-stack,\"\",%progbits" }' \
		libbpf-rest.symbols >$(OUT)/libbpf-rest.s
	awk -F @@ '{ names[$$2] = names[$$2] $$1 ";" } \
		END { for (n = split(nodes, node, " "); i < n; ) { i++; print node[i] " { " (names[node[i]] ? "global: " names[node[i]] : "") " }" (i > 1 ? node[i - 1] : "") ";" } }' \
		nodes="$$(awk '$$1 ~ /^LIBBPF_/ { print $$1 }' libsysbpf.map | tr '\n' ' ')" libbpf-rest.symbols >$(OUT)/libbpf-rest.map
	$(CC) -shared -nostdlib -o $@ -Wl,-soname,libbpf.so.1 -Wl,--version-script=$(OUT)/libbpf-rest.map $(OUT)/libbpf-rest.s $(LDFLAGS)

.PHONY: clean
clean: ## remove what was built
	$(CARGO) clean --target-dir $(TARGET)

# ---- Installing -----------------------------------------------------------------------------

DROPIN     := $(LIBDIR)/sysbpf
MANPAGES   := $(wildcard docs/man/man3/*.3sysbpf)
substitute  = sed -e 's|@PREFIX@|$(PREFIX)|g' -e 's|@LIBDIR@|$(LIBDIR)|g' -e 's|@INCLUDEDIR@|$(INCLUDEDIR)|g' \
	-e 's|@VERSION@|$(VERSION)|g'

.PHONY: install
install: all ## install (honours DESTDIR, PREFIX, LIBDIR, INCLUDEDIR, MANDIR)
	install -d $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(INCLUDEDIR)/sysbpf/bpf $(DESTDIR)$(BINDIR) \
		$(DESTDIR)$(DROPIN)/pkgconfig
	install -m 755 $(SOLIB) $(DESTDIR)$(LIBDIR)/
	ln -sf libsysbpf.so.$(VERSION) $(DESTDIR)$(LIBDIR)/$(SONAME)
	ln -sf $(SONAME) $(DESTDIR)$(LIBDIR)/libsysbpf.so
	install -m 644 $(ALIB) $(DESTDIR)$(LIBDIR)/
	install -m 644 $(HEADERS) $(DESTDIR)$(INCLUDEDIR)/sysbpf/bpf/
	$(substitute) pkgconfig/sysbpf.pc.in >$(DESTDIR)$(LIBDIR)/pkgconfig/sysbpf.pc
	$(substitute) pkgconfig/libbpf.pc.in >$(DESTDIR)$(DROPIN)/pkgconfig/libbpf.pc
	$(substitute) pkgconfig/libbpf.so.in >$(DESTDIR)$(DROPIN)/libbpf.so
	ln -sf ../libsysbpf.a $(DESTDIR)$(DROPIN)/libbpf.a
	install -m 644 $(OUT)/libbpf-rest.so $(DESTDIR)$(DROPIN)/
	$(substitute) scripts/sysbpf-run.in >$(DESTDIR)$(BINDIR)/sysbpf-run
	chmod 755 $(DESTDIR)$(BINDIR)/sysbpf-run
	install -d $(addprefix $(DESTDIR)$(MANDIR)/man,1 3 7)
	install -m 644 $(MANPAGES) $(DESTDIR)$(MANDIR)/man3/
	$(substitute) docs/man/sysbpf-run.1.in >$(DESTDIR)$(MANDIR)/man1/sysbpf-run.1
	$(substitute) docs/man/sysbpf.7.in >$(DESTDIR)$(MANDIR)/man7/sysbpf.7

.PHONY: uninstall
uninstall: ## remove what install put there
	rm -f $(DESTDIR)$(LIBDIR)/libsysbpf.so.$(VERSION) $(DESTDIR)$(LIBDIR)/$(SONAME) \
		$(DESTDIR)$(LIBDIR)/libsysbpf.so $(DESTDIR)$(LIBDIR)/libsysbpf.a \
		$(DESTDIR)$(LIBDIR)/pkgconfig/sysbpf.pc $(DESTDIR)$(BINDIR)/sysbpf-run \
		$(addprefix $(DESTDIR)$(MANDIR)/man3/,$(notdir $(MANPAGES))) \
		$(DESTDIR)$(MANDIR)/man1/sysbpf-run.1 $(DESTDIR)$(MANDIR)/man7/sysbpf.7
	rm -rf $(DESTDIR)$(INCLUDEDIR)/sysbpf $(DESTDIR)$(DROPIN)

# The tests and the demo use the library as installed here.
.PHONY: stage
stage: ## install into the build folder, for tests and demo
	@$(MAKE) --no-print-directory -s install DESTDIR= PREFIX=$(abspath $(STAGE)) \
		LIBDIR=$(abspath $(STAGE))/lib INCLUDEDIR=$(abspath $(STAGE))/include BINDIR=$(abspath $(STAGE))/bin \
		MANDIR=$(abspath $(STAGE))/share/man

# ---- Generated files ------------------------------------------------------------------------

HEADER   ?= include/bpf/bpf.h
BINDINGS ?= src/kernel/uapi.rs
MAN3     ?= docs/man/man3
PYTHON_BPF       ?= python/src/sysbpf/bpf.py
PYTHON_LINUX_BPF ?= python/src/sysbpf/linux_bpf.py

.PHONY: headers
headers: ## regenerate include/bpf/bpf.h from the documentation in src/api
	$(CARGO) run -q --locked -p generate -- headers . $(HEADER)

.PHONY: bindings
bindings: ## regenerate src/kernel/uapi.rs, and what Python has of it, from the newest kernel headers of Debian
	scripts/debian-get sid amd64 linux-libc-dev >$(TARGET)/linux-libc-dev
	$(CARGO) run -q --locked -p generate -- bindings "$$(cat $(TARGET)/linux-libc-dev)" $(BINDINGS)
	$(CARGO) run -q --locked -p generate -- python-linux "$$(cat $(TARGET)/linux-libc-dev)" $(PYTHON_LINUX_BPF)

.PHONY: python
python: ## regenerate the ctypes layer of the Python package from the documentation in src/api
	$(CARGO) run -q --locked -p generate -- python . $(PYTHON_BPF)

.PHONY: compat
compat: ## regenerate the tables of docs/compat.md, after make check
	tests-c/coverage libsysbpf.symbols $(TARGET)/tests-c/*/ >$(TARGET)/coverage
	$(CONFORMANCE) differences --markdown >$(TARGET)/differences
	scripts/compat $(TARGET)/coverage $(TARGET)/differences

.PHONY: manpages
manpages: ## regenerate docs/man/man3 from the documentation in src/api
	$(CARGO) run -q --locked -p generate -- manpages . $(MAN3)

# ---- Packaging ------------------------------------------------------------------------------

.PHONY: dist
dist: ## make the source archive, which builds offline, in target/dist
	@scripts/need build dist
	@packaging/dist $(TARGET)/dist

.PHONY: deb
deb: ## build the Debian packages in target/deb
	@scripts/need build dist deb
	@packaging/deb $(TARGET)/deb

.PHONY: wheel
wheel: stage ## build the Python wheel, which carries the library, into target/wheel
	@scripts/need python
	@scripts/wheel $(abspath $(TARGET))/wheel $(abspath $(STAGE))/lib/$(SONAME)

# ---- Trying and testing ---------------------------------------------------------------------

.PHONY: demo
demo: ## show a program loaded and run in this kernel, three ways
	@scripts/need build demo
	@$(MAKE) --no-print-directory stage
	@scripts/demo

.PHONY: check
check: ## every test that this machine can run, counted
	@scripts/need build demo check conformance programs python dist deb packages
	@$(MAKE) --no-print-directory stage
	@STAGE=$(abspath $(STAGE)) scripts/check \
		"Rust: lints, unit tests" tests/run-rust \
		"symbols of the libraries" tests/run-symbols \
		"headers" tests/run-headers \
		"install, pkg-config, drop-in" tests/run-install \
		"generated files" tests/run-generated \
		"C tests, shared library" "$(MAKE) -s -C tests-c check STAGE=$(abspath $(STAGE))" \
		"C tests, static library" "$(MAKE) -s -C tests-c check STAGE=$(abspath $(STAGE)) LINK=static" \
		"every function covered" "tests/run-coverage" \
		"Python with ctypes" tests/run-python \
		"Python package" tests/run-python-package \
		"demo" tests/run-demo \
		"sysbpf-run" tests/run-sysbpf-run \
		"manual pages" tests/run-manpages \
		"build systems" tests/run-build-systems \
		"source archive, Debian packages" tests/run-packages \
		$(if $(wildcard conformance),$(comparisons))

# Not in the source archive, which leaves the comparison with libbpf out.
comparisons = "costs that are not time" tests/run-costs \
	"against libbpf 1.7.0, briefly" "$(CONFORMANCE) run --cases 3000" \
	"headers against libbpf 1.7.0" "$(CONFORMANCE) headers" \
	"real programs on both libraries" conformance/programs/run

# Against the real libbpf, both loaded in one process.
CONFORMANCE = $(CARGO) run -q --locked --profile tool -p conformance --

.PHONY: conformance conformance-quick
conformance: CASES = 100000
conformance-quick: CASES = 2000
conformance: ## every function held against the real libbpf, 100,000 cases each, and the headers
conformance-quick: ## the same with 2,000 cases each
conformance conformance-quick:
	@scripts/need build conformance
	@$(MAKE) --no-print-directory stage
	@$(CONFORMANCE) headers --include $(STAGE)/include/sysbpf
	@$(CONFORMANCE) run --library $(STAGE)/lib/$(SONAME) --cases $(CASES)

.PHONY: bench
bench: ## what a call costs, beside libbpf and the bare call; writes docs/performance.md and its plot
	@scripts/need build conformance bench
	@$(MAKE) --no-print-directory stage
	@$(CARGO) run -q --locked --profile tool -p bench -- --stage $(STAGE) --reference "$$($(CONFORMANCE) reference)" \
		--write docs $(BENCH)

.PHONY: mutations
mutations: ## break the library in ten small ways, and see the comparison notice each
	@scripts/need build conformance
	@conformance/mutations/run

.PHONY: check-kernels
check-kernels: ## the C tests on this kernel and on booted ones, 5.10 to 7.2
	@scripts/need build kernels
	@kernels/check

.PHONY: check-arches
check-arches: ## build and check for eight targets, and run the C tests on booted arm64 and s390x
	@scripts/need build kernels arches
	@kernels/arches
	@kernels/check arm64 s390x

.PHONY: check-arch-kernels
check-arch-kernels: ## the C tests on booted arm64 and s390x alone
	@scripts/need build kernels arches
	@kernels/check arm64 s390x

.PHONY: check-msrv
check-msrv: ## build the workspace and run the unit tests with the oldest Rust that is promised
	@scripts/need build
	@scripts/check "the oldest Rust" tests/run-msrv

.PHONY: check-debian13
check-debian13: ## make demo and make check in a bare Debian 13, with its own Rust, in a chroot; takes root
	@PLAIN=yes scripts/in-debian trixie make demo
	@scripts/in-debian trixie make check
