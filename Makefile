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
# Takes the same options.
STRIP   ?= $(OBJCOPY)
# What cargo builds for, if not for this machine: a Rust target, and flags such as -Zbuild-std.
RUST_TARGET ?=
CARGOFLAGS  ?=
# Asked for the libbpf that the drop-in directory is put beside; this machine's is not another machine's.
PKG_CONFIG  ?= $(if $(RUST_TARGET),,pkg-config)

VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
SONAME  := libsysbpf.so.1
TARGET  := $(or $(CARGO_TARGET_DIR),target)
ifneq ($(words $(TARGET)),1)
$(error CARGO_TARGET_DIR must not have spaces in it: '$(TARGET)')
endif
ifdef CARGO_TARGET_DIR
# The tests run in other directories.
override CARGO_TARGET_DIR := $(abspath $(CARGO_TARGET_DIR))
export CARGO_TARGET_DIR
endif
# What this Makefile builds, and the tree that the tests use as installed.
OUT     := $(TARGET)/sysbpf$(addprefix -,$(RUST_TARGET))
STAGE   := $(TARGET)/stage$(addprefix -,$(RUST_TARGET))

SOLIB  := $(OUT)/libsysbpf.so.$(VERSION)
ALIB   := $(OUT)/libsysbpf.a
STUB   := $(OUT)/libsysbpf-stub.so
RUST_SOURCES := Cargo.toml Cargo.lock $(shell find src -name '*.rs')

# A text as one word of the shell, and a path from the root (make's own abspath cannot have spaces in it).
quote    = '$(subst ','\'',$(1))'
absolute = $(if $(filter /%,$(1)),$(1),$(CURDIR)/$(1))

.DELETE_ON_ERROR:

.PHONY: all
all: $(SOLIB) $(ALIB) $(STUB) $(OUT)/sysbpf-run ## release build: .so, .a (the headers are in include/)

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-22s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo; echo "variables (docs/building.md):"
	@echo "  where to install: PREFIX LIBDIR INCLUDEDIR BINDIR MANDIR DESTDIR"
	@echo "  how to build: CC AR OBJCOPY STRIP PKG_CONFIG LIBBPF LDFLAGS CARGO RUSTFLAGS CARGO_TARGET_DIR"
	@echo "  for another machine: RUST_TARGET, its CC AR OBJCOPY, and CARGOFLAGS such as -Zbuild-std"

# ---- Building -------------------------------------------------------------------------------
# cargo builds static libraries; the linker makes of them what C programs link. There are two:
# the shared object looks for a real libbpf through the dynamic loader, the archive must not.
# Both are built with debug information; `make install` strips them unless told STRIP=true.

# Builds with other settings are other builds. What is installed is what was built last, with
# whatever settings: `make CC=clang && sudo make install` must not build anew. If it has to,
# because a source is newer, it records that it did so with its own.
SETTINGS := $(foreach name,CARGO CC AR OBJCOPY LDFLAGS RUSTFLAGS CARGO_ENCODED_RUSTFLAGS RUSTC RUST_TARGET CARGOFLAGS,$(name)=$($(name)))
record_settings = mkdir -p $(OUT); echo $(call quote,$(SETTINGS)) | cmp -s - $(OUT)/settings || echo $(call quote,$(SETTINGS)) >$(OUT)/settings
$(OUT)/settings: $(if $(filter-out install uninstall,$(or $(MAKECMDGOALS),all)),always)
	@$(record_settings)
.PHONY: always
always:

CARGO_OUT  := $(OUT)/cargo
RUST_LIB   := $(CARGO_OUT)/$(addsuffix /,$(RUST_TARGET))release/libsysbpf.a
cargo_build = env -u CARGO_BUILD_TARGET SYSBPF_RUSTC_WRAPPER="$${RUSTC_WRAPPER-$$CARGO_BUILD_RUSTC_WRAPPER}" SYSBPF_SOURCES=/usr/src/sysbpf-$(VERSION) RUSTC_WRAPPER=$(call quote,$(CURDIR)/tools/rustc-without-paths) \
	$(CARGO) build --release --locked --target-dir $(CARGO_OUT) $(addprefix --target ,$(RUST_TARGET)) $(CARGOFLAGS)

$(OUT)/for-shared.a: $(RUST_SOURCES) $(OUT)/settings
	$(if $(filter cargo,$(CARGO)),@INSTALL_DEPS=never OBJCOPY=$(call quote,$(OBJCOPY)) tools/need build)
	@$(record_settings)
	$(cargo_build) --features tell-libbpf
	cp $(RUST_LIB) $@

# After the other, because cargo puts both in the same place.
$(OUT)/for-static.a: $(RUST_SOURCES) $(OUT)/settings | $(OUT)/for-shared.a
	$(cargo_build)
	cp $(RUST_LIB) $@

# The API is what is asked of the archives; only what that needs is taken from them.
$(OUT)/api: abi/libsysbpf.symbols
	@mkdir -p $(OUT)
	sed 's/@@.*//' $< >$@
ask_for_api = $$(sed 's/^/-Wl,-u,/' $(OUT)/api)

# Nothing but libc: no start files (there is nothing to start), no libgcc. Before glibc 2.34
# dlopen() and dlsym() are in a library of their own.
$(SOLIB): $(OUT)/for-shared.a abi/libsysbpf.map $(OUT)/api
	@$(record_settings)
	$(CC) -shared -nostdlib -o $@ $(ask_for_api) $< -Wl,--as-needed -lc -ldl \
		-Wl,-soname,$(SONAME) -Wl,--version-script=abi/libsysbpf.map -Wl,--gc-sections -Wl,-O1 \
		-Wl,-Bsymbolic -Wl,--hash-style=gnu -Wl,-z,defs -Wl,-z,text -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack \
		$(LDFLAGS)

# A member for each function, as in libc's own archive: a static program grows by what it calls.
# Functions that remember something of the process together are one member. In each member the
# API is global and all else of Rust local, so that a program can link another Rust library too.
TOGETHER := bpf_map_create bpf_prog_load bpf_btf_load libbpf_set_memlock_rlim

$(ALIB): $(OUT)/for-static.a $(OUT)/api
	rm -rf $@ $(OUT)/members
	mkdir -p $(OUT)/members
	set -e; for functions in "$(TOGETHER)" $(filter-out $(TOGETHER),$(shell sed 's/@@.*//' abi/libsysbpf.symbols)); do \
		member=$(OUT)/members/$${functions%% *}.o; \
		$(CC) -r -nostdlib -o $$member -Wl,--gc-sections $$(printf -- ' -Wl,-u,%s' $$functions) $<; \
		$(OBJCOPY) $$(printf -- ' --keep-global-symbol=%s' $$functions) --remove-section=.llvmbc --remove-section=.llvmcmd \
			--remove-section=.comment $$member; \
	done
	$(AR) rcsD $@ $(OUT)/members/*.o

# For linking in the drop-in directory: the names of bpf.h and the name of the library that has
# them when a program runs, but nothing that libbpf could be expected to have instead.
$(STUB): abi/libsysbpf.map $(OUT)/api $(OUT)/settings
	awk '{ print ".globl " $$1 "\n.type " $$1 ", %function\n" $$1 ":" } END { print ".section .note.GNU-stack,\"\",%progbits" }' \
		$(OUT)/api >$(OUT)/stub.s
	$(CC) -shared -nostdlib -o $@ -Wl,-soname,$(SONAME) -Wl,--version-script=abi/libsysbpf.map $(OUT)/stub.s -Wl,-s $(LDFLAGS)

# Linked by the C compiler too: it builds wherever the library does.
$(OUT)/sysbpf-run: Cargo.toml Cargo.lock run/Cargo.toml $(wildcard run/src/*.rs) $(OUT)/settings
	@mkdir -p $(OUT)
	SYSBPF_VERSION=$(VERSION) $(cargo_build) -p sysbpf-run
	$(CC) -o $@ $(dir $(RUST_LIB))libsysbpf_run.a -Wl,--gc-sections $(LDFLAGS)

.PHONY: clean
clean: ## remove what was built
	$(CARGO) clean --target-dir $(TARGET)

# ---- Installing -----------------------------------------------------------------------------

.PHONY: install uninstall
install: all ## install (honours DESTDIR, PREFIX, LIBDIR, INCLUDEDIR, BINDIR, MANDIR, STRIP)
uninstall: ## remove what install put there
install uninstall:
	@$(foreach name,DESTDIR PREFIX LIBDIR INCLUDEDIR BINDIR MANDIR OUT VERSION SONAME STRIP PKG_CONFIG LIBBPF LIBBPF_VERSION,$(name)=$(call quote,$($(name)))) \
		tools/install $@

# The tests and the demo use the library as installed here, with its debug information.
.PHONY: stage
stage: all ## install into the build directory, for tests and demo
	@$(MAKE) --no-print-directory -s install DESTDIR= STRIP=true PREFIX=$(call quote,$(call absolute,$(STAGE))) \
		LIBDIR=$(call quote,$(call absolute,$(STAGE))/lib) INCLUDEDIR=$(call quote,$(call absolute,$(STAGE))/include) \
		BINDIR=$(call quote,$(call absolute,$(STAGE))/bin) MANDIR=$(call quote,$(call absolute,$(STAGE))/share/man)

# ---- Generated files ------------------------------------------------------------------------

HEADER   ?= include/bpf/bpf.h
BINDINGS ?= src/kernel/uapi.rs
MAN3     ?= docs/man/man3
NOTED    ?= tests-c/noted.h
PYTHON_BPF       ?= python/src/sysbpf/bpf.py
PYTHON_LINUX_BPF ?= python/src/sysbpf/linux_bpf.py

# In the source archive .cargo names the crates of the library as all there are: not so for who starts elsewhere.
generate = cd $(if $(wildcard vendor),/,.) && $(CARGO) run -q --locked --target-dir $(call quote,$(call absolute,$(TARGET))) \
	--manifest-path $(call quote,$(CURDIR)/tools/generate/Cargo.toml) --

.PHONY: generate
generate: headers manpages python noted ## regenerate all that is made from the documentation in src/api and the list of symbols

.PHONY: headers
headers: ## regenerate include/bpf/bpf.h
	@$(generate) headers $(call quote,$(CURDIR)) $(call quote,$(call absolute,$(HEADER)))

.PHONY: manpages
manpages: ## regenerate docs/man/man3
	@$(generate) manpages $(call quote,$(CURDIR)) $(call quote,$(call absolute,$(MAN3)))

.PHONY: python
python: ## regenerate the ctypes layer of the Python package
	@$(generate) python $(call quote,$(CURDIR)) $(call quote,$(call absolute,$(PYTHON_BPF)))

.PHONY: noted
noted: ## regenerate tests-c/noted.h
	@tests-c/make-noted abi/libsysbpf.symbols >$(NOTED).new && mv $(NOTED).new $(NOTED)

.PHONY: bindings
bindings: ## regenerate src/kernel/uapi.rs and python's linux_bpf.py from the newest kernel headers of Debian
	@mkdir -p $(TARGET)
	@tools/debian-get sid amd64 linux-libc-dev >$(TARGET)/linux-libc-dev
	@$(generate) bindings "$$(cat $(call quote,$(call absolute,$(TARGET))/linux-libc-dev))" $(call quote,$(call absolute,$(BINDINGS)))
	@$(generate) python-linux "$$(cat $(call quote,$(call absolute,$(TARGET))/linux-libc-dev))" $(call quote,$(call absolute,$(PYTHON_LINUX_BPF)))

# ---- Packaging ------------------------------------------------------------------------------

.PHONY: wheel
wheel: ## build the Python wheel, which bundles the library, in target/wheel
	@tools/need build python
	@$(MAKE) --no-print-directory stage
	@tools/wheel $(call quote,$(call absolute,$(TARGET))/wheel) $(call quote,$(call absolute,$(STAGE))/lib/$(SONAME))

# ---- Trying and testing ---------------------------------------------------------------------
# INSTALL_DEPS=no: nothing is installed.

.PHONY: demo
demo: ## load and run a program in this kernel, in three ways
	@tools/need build demo
	@$(MAKE) --no-print-directory stage
	@STAGE=$(call quote,$(call absolute,$(STAGE))) tools/demo

.PHONY: check
check: ## run every test that this machine can run, and count them
	@tools/need build -- demo check conformance programs python dist deb packages
	@$(MAKE) --no-print-directory stage
	@STAGE=$(call quote,$(call absolute,$(STAGE))) tools/check \
		"Rust: lints, unit tests" tests/source/rust \
		"members left out of opts lists" tests/source/opts-lists \
		"README and the demo" tests/installed/readme \
		"symbols of the libraries" tests/installed/symbols \
		"headers" tests/installed/headers \
		"builds of the library" "tests/pytest tests/installed/test_builds.py" \
		"install, pkg-config, drop-in" tests/installed/install \
		"generated files" tests/source/generated \
		"C tests, shared library" "tests/source/c shared" \
		"C tests, static library" "tests/source/c static" \
		"every function covered" tests/source/coverage \
		"Python with ctypes" tests/installed/python \
		"Python package" tests/installed/python-package \
		"demo" tests/installed/demo \
		"sysbpf-run" tests/installed/sysbpf-run \
		"manual pages" tests/installed/manpages \
		"build systems" "tests/pytest tests/installed/test_build_systems.py" \
		"source archive, Debian packages" tests/installed/packages \
		"what is missing on a machine" "tests/pytest tests/source/test_need.py" \
		$(comparisons)

# What only the repository has: not in the source archive.
-include development.mk
