# SPDX-License-Identifier: MIT OR Apache-2.0
# Measuring.

# ---- Testing -----------------------------------------------------------------------------------
.PHONY: bench
bench: ## measure calls against libbpf and the bare system call; writes docs/performance.md and its plot
	@tools/need build conformance bench
	@$(MAKE) --no-print-directory stage
	@$(CARGO) run -q --locked --profile tool -p bench -- --stage $(STAGE) --reference "$$($(CONFORMANCE) reference)" \
		--write docs $(BENCH)
