# SPDX-License-Identifier: MIT OR Apache-2.0
# Other kernels and other architectures.

# ---- Testing -----------------------------------------------------------------------------------
.PHONY: check-kernels
check-kernels: ## run the C tests on this kernel and on booted ones, 5.10 to 7.2
	@tools/need build -- kernels
	@tests/kernels/check

.PHONY: check-kernel-failures
check-kernel-failures: ## test how check-kernels fails: without a network, with a tampered mirror, with a kernel that hangs
	@tools/need build -- kernels
	@tests/kernels/check-failures

.PHONY: update-kernels
update-kernels: ## update tests/kernels/lock to the newest packages of the mirror
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

# The library's records, by the names that a kernel's BTF has for them; part of `make records`.
GENERATED += tests/kernels/records/src/table.rs
records: records-table
.PHONY: records-table
records-table:
	@$(call generate,records-table,$(call quote,$(CURDIR)),tests/kernels/records/src/table.rs)
