# SPDX-License-Identifier: MIT OR Apache-2.0
# Real programs, run with both libraries.

more_checks += "real programs on both libraries" tests/programs/run
