# Targets of the repository that the source archive has not: they take git, crates and kernels that are not in it.

# ---- Packaging ------------------------------------------------------------------------------

.PHONY: dist
dist: ## make the source archive, which builds offline, in target/dist
	@tools/need build dist
	@packaging/dist $(TARGET)/dist

.PHONY: deb
deb: ## build the Debian packages in target/deb
	@tools/need build dist deb
	@packaging/deb $(TARGET)/deb

# ---- Comparing with libbpf ------------------------------------------------------------------

# What `make check` has beside the library's own tests.
comparisons = "costs that are not time" "tests/pytest tests/installed/test_costs.py" \
	"against libbpf 1.7.0, briefly" "tests/source/conformance run --cases 3000" \
	"headers against libbpf 1.7.0" "tests/source/conformance headers" \
	"real programs on both libraries" tests/programs/run

# Both loaded in one process.
CONFORMANCE = $(CARGO) run -q --locked --profile tool -p conformance --

.PHONY: conformance conformance-quick
conformance: CASES = 100000
conformance-quick: CASES = 2000
conformance: ## compare every function with libbpf 1.7.0, 100,000 cases each, and the headers
conformance-quick: ## the same with 2,000 cases each
conformance conformance-quick:
	@tools/need build conformance
	@$(MAKE) --no-print-directory stage
	@$(CONFORMANCE) headers --include $(STAGE)/include/sysbpf
	@$(CONFORMANCE) run --library $(STAGE)/lib/$(SONAME) --cases $(CASES)

.PHONY: mutations
mutations: ## introduce ten small bugs, and check that the comparison detects each
	@tools/need build conformance
	@tests/conformance/mutations/run

.PHONY: compat
compat: ## regenerate the tables of docs/compat.md, after make check
	tests-c/coverage abi/libsysbpf.symbols $(TARGET)/tests-c/*/ >$(TARGET)/coverage
	$(CONFORMANCE) differences --markdown >$(TARGET)/differences
	tools/compat $(TARGET)/coverage $(TARGET)/differences

.PHONY: bench
bench: ## measure calls against libbpf and the bare system call; writes docs/performance.md and its plot
	@tools/need build conformance bench
	@$(MAKE) --no-print-directory stage
	@$(CARGO) run -q --locked --profile tool -p bench -- --stage $(STAGE) --reference "$$($(CONFORMANCE) reference)" \
		--write docs $(BENCH)

# ---- Other kernels, other architectures -----------------------------------------------------

.PHONY: check-kernels
check-kernels: ## run the C tests on this kernel and on booted ones, 5.10 to 7.2
	@tools/need build -- kernels
	@tests/kernels/check

.PHONY: check-kernel-failures
check-kernel-failures: ## what check-kernels does without a network, with a tampered mirror, with a kernel that hangs
	@tools/need build -- kernels
	@tests/kernels/check-failures

.PHONY: update-kernels
update-kernels: ## write tests/kernels/lock anew: the newest packages that the mirror has
	@tests/kernels/update

.PHONY: check-arches
check-arches: ## build and check for eight targets, and run the C tests on booted arm64 and s390x
	@tools/need build -- kernels arches
	@tests/kernels/arches
	@tests/kernels/check arm64 s390x

.PHONY: check-arch-kernels
check-arch-kernels: ## run the C tests on booted arm64 and s390x only
	@tools/need build -- kernels arches
	@tests/kernels/check arm64 s390x

.PHONY: check-msrv
check-msrv: ## build the workspace and run the unit tests with the oldest Rust that is promised
	@tools/need build
	@tools/check "the oldest Rust" tests/source/msrv

.PHONY: check-debian13
check-debian13: ## make demo and make check in a bare Debian 13, with its own Rust, in a chroot; takes root
	@PLAIN=yes tools/in-debian trixie make demo
	@tools/in-debian trixie make check
