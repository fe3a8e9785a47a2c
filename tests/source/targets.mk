# SPDX-License-Identifier: MIT OR Apache-2.0
# The oldest supported Rust, and another Debian. Not in the source archive: these need git and the whole workspace.

more_checks += "the tree, its map and its files" tests/source/map \
	"SPDX lines and white space" tests/source/style

# ---- Testing -----------------------------------------------------------------------------------
.PHONY: check-msrv
check-msrv: ## build the workspace and run the unit tests with the oldest Rust that is supported
	@tools/need build -- fetch
	@tools/check "the oldest Rust" tests/source/msrv

.PHONY: check-debian13
check-debian13: ## make demo and make check in a bare Debian 13, with its own Rust, in a chroot; needs root
	@tools/need fetch
	@PLAIN=yes tools/in-debian trixie make demo
	@tools/in-debian trixie make check

.PHONY: check-anchors
check-anchors: ## add a made-up member and a made-up function in a copy, and check that little is edited by hand
	@tools/need build -- check conformance
	@$(MAKE) --no-print-directory stage
	@STAGE=$(call quote,$(call absolute,$(STAGE))) tools/check "a member and a function are added" "tests/pytest tests/source/test_anchors.py"
