# SPDX-License-Identifier: MIT OR Apache-2.0
# The Python wheel.

# ---- Releasing ---------------------------------------------------------------------------------
.PHONY: wheel
wheel: ## build the Python wheel, which bundles the library, in target/wheel
	@tools/need build python
	@$(MAKE) --no-print-directory stage
	@tools/wheel $(call quote,$(call absolute,$(TARGET))/wheel) $(call quote,$(call absolute,$(STAGE))/lib/$(SONAME))
