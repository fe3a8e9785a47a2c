# SPDX-License-Identifier: MIT OR Apache-2.0
# `make demo` and `make check`. They install the packages that they need, unless INSTALL_DEPS=no is given.

# ---- Testing -----------------------------------------------------------------------------------
.PHONY: demo
demo: ## load and run a program on this kernel, in three ways
	@tools/need build demo
	@$(MAKE) --no-print-directory stage
	@STAGE=$(call quote,$(call absolute,$(STAGE))) tools/demo

# Checks that other targets.mk files add to `make check`: pairs of a name and a command.
more_checks :=

.PHONY: check
check: ## run every test that this machine can run, and count them
	@tools/need build -- demo check conformance programs python dist deb rpm packages
	@$(MAKE) --no-print-directory stage
	@STAGE=$(call quote,$(call absolute,$(STAGE))) tools/check \
		"Rust: lints, unit tests" tests/source/rust \
		"shell scripts" tests/source/shellcheck \
		"members left out of opts lists" tests/source/opts-lists \
		"addresses only through unsafe calls" tests/source/addresses \
		"README and the demo" tests/installed/readme \
		"symbols of the libraries" tests/installed/symbols \
		"headers" "tests/pytest tests/installed/test_headers.py" \
		"builds of the library" "tests/pytest tests/installed/test_builds.py" \
		"install, pkg-config, drop-in" "tests/pytest tests/installed/test_install.py" \
		"generated files" "tests/pytest tests/source/test_generated.py" \
		"C tests, shared library" "tests/source/c shared" \
		"C tests, static library" "tests/source/c static" \
		"every function covered" tests/source/coverage \
		"Python with ctypes" "tests/pytest tests/installed/test_ctypes.py" \
		"Python package" "tests/pytest tests/installed/test_python_package.py" \
		"demo" tests/installed/demo \
		"sysbpf-run" "tests/pytest tests/installed/test_sysbpf_run.py" \
		"manual pages" tests/installed/manpages \
		"build systems" "tests/pytest tests/installed/test_build_systems.py" \
		"what is missing on a machine" "tests/pytest tests/source/test_need.py" \
		$(more_checks)
