// SPDX-License-Identifier: MIT OR Apache-2.0
//! Counting checks, and skipping what this machine cannot check.

use std::process::ExitCode;

/// Counts checks, and prints those that fail.
#[derive(Default)]
pub struct Count {
    pub passed: usize,
    pub failed: usize,
    pub skipped: usize,
}

impl Count {
    pub fn check(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if holds {
            self.passed += 1;
        } else {
            self.failed += 1;
            println!("FAIL {}", what());
        }
    }

    /// Prints the counting line.
    pub fn finish(&self, name: &str) -> ExitCode {
        println!("{name}: {} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped);
        if self.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// Why a comparison has no result.
pub enum NoResult {
    /// This machine lacks something.
    Skip(String),
    Broken(String),
}

impl From<String> for NoResult {
    fn from(why: String) -> NoResult {
        NoResult::Broken(why)
    }
}

/// Prints the result of a whole command.
pub fn finish(name: &str, result: Result<Count, NoResult>) -> ExitCode {
    match result {
        Ok(count) => count.finish(name),
        Err(NoResult::Skip(why)) => skip(name, &why),
        Err(NoResult::Broken(why)) => {
            println!("FAIL {why}");
            Count { failed: 1, ..Count::default() }.finish(name)
        }
    }
}

pub fn in_ci() -> bool {
    std::env::var("CI").is_ok_and(|ci| ci == "true")
}

/// Reports that nothing was checked, and why. This is a failure in CI.
pub fn skip(name: &str, why: &str) -> ExitCode {
    println!("SKIP {name}: {why}");
    let ci = usize::from(in_ci());
    Count { failed: ci, skipped: 1 - ci, ..Count::default() }.finish("conformance")
}
