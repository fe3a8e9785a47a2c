# SPDX-License-Identifier: MIT OR Apache-2.0
# The comparison with libbpf 1.7.0.

more_checks += "costs that are not time" "tests/pytest tests/installed/test_costs.py" \
	"against libbpf 1.7.0, briefly" "tests/source/conformance run --cases 3000" \
	"headers against libbpf 1.7.0" "tests/source/conformance headers" \
	"symbols against libbpf 1.7.0" "tests/source/conformance symbols"

# ---- Testing -----------------------------------------------------------------------------------
CONFORMANCE = $(CARGO) run -q --locked --profile tool -p conformance --

.PHONY: conformance conformance-quick
conformance: CASES = 100000
conformance-quick: CASES = 2000
conformance: ## compare every function with libbpf 1.7.0, 100,000 cases each, the headers and the symbols
conformance-quick: ## the same with 2,000 cases each
conformance conformance-quick:
	@tools/need build conformance
	@$(MAKE) --no-print-directory stage
	@$(CONFORMANCE) headers --include $(STAGE)/include/sysbpf
	@$(CONFORMANCE) symbols --library $(STAGE)/lib/$(SONAME)
	@$(CONFORMANCE) run --library $(STAGE)/lib/$(SONAME) --cases $(CASES)

.PHONY: mutations
mutations: ## introduce ten small bugs, and check that the comparison detects each
	@tools/need build conformance
	@tests/conformance/mutations/run

# ---- Generated files ---------------------------------------------------------------------------
.PHONY: compat
compat: ## regenerate the tables of docs/compat.md, after the C tests
	tests-c/coverage abi/libsysbpf.symbols $(TARGET)/tests-c/*/ >$(TARGET)/coverage
	$(CONFORMANCE) differences --markdown >$(TARGET)/differences
	tools/compat $(TARGET)/coverage $(TARGET)/differences

# The functions and structs of src/api; part of `make generate`.
GENERATED += tests/conformance/src/table.rs
generate: conformance-table
.PHONY: conformance-table
conformance-table: ## regenerate the table of the conformance runner
	@$(call generate,conformance,$(call quote,$(CURDIR)),tests/conformance/src/table.rs)
