# SPDX-License-Identifier: MIT OR Apache-2.0
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
# Accepts the same options as strip.
STRIP   ?= $(OBJCOPY)
# To build for another machine: the Rust target, and flags for cargo such as -Zbuild-std.
RUST_TARGET ?=
CARGOFLAGS  ?=
# Finds the libbpf that the drop-in directory is created for. Empty for another machine, whose libbpf it would not find.
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
# Where this Makefile builds, and where it installs for the tests.
OUT     := $(TARGET)/sysbpf$(addprefix -,$(RUST_TARGET))
STAGE   := $(TARGET)/stage$(addprefix -,$(RUST_TARGET))

SOLIB  := $(OUT)/libsysbpf.so.$(VERSION)
ALIB   := $(OUT)/libsysbpf.a
STUB   := $(OUT)/libsysbpf-stub.so
RUST_SOURCES := Cargo.toml Cargo.lock $(shell find src -name '*.rs')

# A text quoted for the shell, and an absolute path (make's own abspath does not support spaces).
quote    = '$(subst ','\'',$(1))'
absolute = $(if $(filter /%,$(1)),$(1),$(CURDIR)/$(1))

.DELETE_ON_ERROR:

.PHONY: all
all: $(SOLIB) $(ALIB) $(STUB) $(OUT)/sysbpf-run ## release build: .so, .a (the headers are in include/)

.PHONY: help
help: ## list the targets
	@# Under the headings of the makefiles, such as "# ---- Building ----".
	@awk -F ':.*## ' 'BEGIN { group = "Building" } /^# ---- / { group = $$0; gsub(/^# -+ | -+$$/, "", group) } \
		/^[a-z0-9-]+:.*## / { if (!(group in targets)) groups[++n] = group; targets[group] = targets[group] sprintf("  make %-22s %s\n", $$1, $$2) } \
		END { for (i = 1; i <= n; i++) print groups[i] ":\n" targets[groups[i]] }' $(MAKEFILE_LIST)
	@echo "Variables (docs/building.md):"
	@echo "  where to install: PREFIX LIBDIR INCLUDEDIR BINDIR MANDIR DESTDIR"
	@echo "  how to build: CC AR OBJCOPY STRIP PKG_CONFIG LIBBPF LDFLAGS CARGO RUSTFLAGS CARGO_TARGET_DIR"
	@echo "  for another machine: RUST_TARGET, its CC AR OBJCOPY, and CARGOFLAGS such as -Zbuild-std"

# ---- Building -------------------------------------------------------------------------------
# cargo builds two static libraries, from which the linker makes the shared object and the archive: the
# shared object looks for libbpf through the dynamic linker, the archive must not.
# Both are built with debug information, which `make install` strips unless STRIP=true is given.

# A change of these settings causes a rebuild, except in `make install`, which installs what was built
# last: `make CC=clang && sudo make install` must not rebuild. If it has to rebuild because a source is
# newer, it records its own settings.
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

# After the other one, because cargo writes both to the same file.
$(OUT)/for-static.a: $(RUST_SOURCES) $(OUT)/settings | $(OUT)/for-shared.a
	$(cargo_build)
	cp $(RUST_LIB) $@

# The linker is asked for the symbols of the API, and takes from the archive only what they need.
$(OUT)/api: abi/libsysbpf.symbols
	@mkdir -p $(OUT)
	sed 's/@@.*//' $< >$@
ask_for_api = $$(sed 's/^/-Wl,-u,/' $(OUT)/api)

# Only libc: no startup files, no libgcc. Before glibc 2.34, dlopen() and dlsym() are in libdl.
$(SOLIB): $(OUT)/for-shared.a abi/libsysbpf.map $(OUT)/api
	@$(record_settings)
	$(CC) -shared -nostdlib -o $@ $(ask_for_api) $< -Wl,--as-needed -lc -ldl \
		-Wl,-soname,$(SONAME) -Wl,--version-script=abi/libsysbpf.map -Wl,--gc-sections -Wl,-O1 \
		-Wl,-Bsymbolic -Wl,--hash-style=gnu -Wl,-z,defs -Wl,-z,text -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack \
		$(LDFLAGS)

# One member for each function, as in libc's archive, so that a static program contains only the functions
# it calls. Functions that share process-wide state are in one member. In each member only the API is
# global, so that a program can link other Rust libraries too.
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

# The stub in the drop-in directory, for linking only: it defines the functions of bpf.h without code, and
# its soname makes programs load libsysbpf.so.1.
$(STUB): abi/libsysbpf.map $(OUT)/api $(OUT)/settings
	awk '{ print ".globl " $$1 "\n.type " $$1 ", %function\n" $$1 ":" } END { print ".section .note.GNU-stack,\"\",%progbits" }' \
		$(OUT)/api >$(OUT)/stub.s
	$(CC) -shared -nostdlib -o $@ -Wl,-soname,$(SONAME) -Wl,--version-script=abi/libsysbpf.map $(OUT)/stub.s -Wl,-s $(LDFLAGS)

# Linked by the C compiler as well, so it builds wherever the library does.
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
uninstall: ## remove the installed files
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
# They are committed. CONTRIBUTING.md says what each is made from.

# What `make generate` writes.
GENERATED := abi/libsysbpf.symbols packaging/debian/libsysbpf1.symbols tests-c/noted.h src/api/fields.rs \
	src/kernel/uapi_check.rs include/bpf/bpf.h docs/man/man3 python/src/sysbpf/bpf.py
# What `make bindings` writes.
BOUND := src/kernel/uapi.rs python/src/sysbpf/linux_bpf.py

# Where these are written to, for whoever wants to compare them with what is committed.
HEADER   ?= include/bpf/bpf.h
BINDINGS ?= src/kernel/uapi.rs
MAN3     ?= docs/man/man3
NOTED    ?= tests-c/noted.h
PYTHON_BPF       ?= python/src/sysbpf/bpf.py
PYTHON_LINUX_BPF ?= python/src/sysbpf/linux_bpf.py

# $(call generate,WHAT,FROM,OUT). In the source archive, .cargo/config.toml allows only the vendored crates; it has no
# effect in another directory.
GENERATE = cd $(if $(wildcard vendor),/,.) && $(CARGO) run -q --locked --target-dir $(call quote,$(call absolute,$(TARGET))) \
	--manifest-path $(call quote,$(CURDIR)/tools/generate/Cargo.toml) --
generate = $(GENERATE) $(1) $(2) $(call quote,$(call absolute,$(3)))
# A file that does not change keeps its date, and nothing is built anew because of it.
exported = tools/exported $(1) <abi/libsysbpf.map >$(2).new && if cmp -s $(2).new $(2); then rm $(2).new; else mv $(2).new $(2); fi

.PHONY: generate
generate: symbols noted fields records headers manpages python ## regenerate all that is derived from src/api, the records and the version script

.PHONY: symbols
symbols: ## regenerate abi/libsysbpf.symbols and packaging/debian/libsysbpf1.symbols
	@$(call exported,symbols,abi/libsysbpf.symbols)
	@$(call generate,debian-symbols,$(call quote,$(CURDIR)),packaging/debian/libsysbpf1.symbols)

.PHONY: noted
noted: ## regenerate tests-c/noted.h
	@$(call exported,noted,$(NOTED))

.PHONY: fields
fields: ## regenerate src/api/fields.rs
	@$(call generate,fields,$(call quote,$(CURDIR)),src/api/fields.rs)

.PHONY: records
records: ## regenerate src/kernel/uapi_check.rs and the table of tests/kernels/records
	@$(call generate,records-check,$(call quote,$(CURDIR)),src/kernel/uapi_check.rs)

.PHONY: headers
headers: ## regenerate include/bpf/bpf.h
	@$(call generate,headers,$(call quote,$(CURDIR)),$(HEADER))

.PHONY: manpages
manpages: $(if $(filter generate,$(MAKECMDGOALS)),symbols) ## regenerate docs/man/man3
	@$(call generate,manpages,$(call quote,$(CURDIR)),$(MAN3))

.PHONY: python
python: ## regenerate the ctypes layer of the Python package
	@$(call generate,python,$(call quote,$(CURDIR)),$(PYTHON_BPF))

.PHONY: bindings
bindings: ## regenerate src/kernel/uapi.rs and python's linux_bpf.py from the newest kernel headers of Debian
	@mkdir -p $(TARGET)
	@tools/debian-get sid amd64 linux-libc-dev >$(TARGET)/linux-libc-dev
	@$(call generate,bindings,"$$(cat $(call quote,$(call absolute,$(TARGET))/linux-libc-dev))",$(BINDINGS))
	@$(call generate,python-linux,"$$(cat $(call quote,$(call absolute,$(TARGET))/linux-libc-dev))",$(PYTHON_LINUX_BPF))

.PHONY: generated-files
generated-files:
	@printf '%s\n' $(GENERATED)

.PHONY: release-abi
release-abi: ## record in abi/released what the version in Cargo.toml is the first to have; for a release
	@$(call generate,release-abi,$(call quote,$(CURDIR)),abi/released)

# ---- Testing and packaging ------------------------------------------------------------------
# Each directory defines its own targets. The source archive leaves out some of these files: see packaging/dist.

include $(wildcard tests/targets.mk tests/*/targets.mk python/targets.mk bench/targets.mk packaging/targets.mk)
