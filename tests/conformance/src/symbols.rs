// SPDX-License-Identifier: MIT OR Apache-2.0
//! Compares the dynamic symbols with those of the reference: each function of `bpf.h` must be exported at the version
//! node at which libbpf exports it, and nothing else at a node of libbpf.
//!
//! A function at a node that is newer than the reference is listed. A node that is not named LIBBPF_* is our own.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::{Command, ExitCode},
};

use crate::{
    count::{Count, NoResult, finish},
    declarations::Compiler,
    reference,
};

/// The functions of `libbpf_legacy.h` that need no object of libbpf.
const LEGACY: [&str; 2] = ["libbpf_set_strict_mode", "libbpf_get_error"];

/// The version nodes of libbpf start with this.
const LIBBPF: &str = "LIBBPF_";

/// What a shared object exports.
struct Exports {
    /// `name@@NODE`, or `name@NODE` if it is not the default version.
    symbols: BTreeSet<String>,
    /// The version nodes, each with the node that it inherits from.
    nodes: BTreeMap<String, String>,
}

pub fn run(library: &Path) -> ExitCode {
    finish("symbols", compare(library))
}

fn compare(library: &Path) -> Result<Count, NoResult> {
    if !library.exists() {
        return Err(NoResult::Skip(format!("{} does not exist; run make stage", library.display())));
    }
    let built = reference::build().map_err(NoResult::Skip)?;
    let headers = Compiler::new(&built.headers, &built.uapi, "reference")?.side()?;
    headers.check_complete()?;
    let (reference, ours) = (exports(&built.library)?, exports(library)?);
    let mut count = Count::default();

    for name in headers.functions_of("bpf.h")?.iter().map(String::as_str).chain(LEGACY) {
        let at = |symbols: &BTreeSet<String>| symbols.iter().find(|s| s.starts_with(&format!("{name}@@"))).cloned();
        let (there, here) = (at(&reference.symbols), at(&ours.symbols));
        count.check(there.is_some(), || format!("libbpf declares {name}() and does not export it"));
        count.check(there == here, || {
            let shown = |symbol: Option<String>| symbol.unwrap_or("nothing".into());
            format!("libbpf exports {}, this library {}", shown(there.clone()), shown(here.clone()))
        });
    }
    for (node, parent) in &reference.nodes {
        let here = ours.nodes.get(node);
        count.check(here == Some(parent), || match here {
            Some(here) => format!("{node} inherits from {parent:?} in libbpf, from {here:?} in this library"),
            None => format!("the node {node} is missing"),
        });
    }
    let last = reference.nodes.keys().filter_map(|node| release(node)).max().unwrap_or_default();
    let mut newer: Vec<&str> = Vec::new();
    for node in ours.nodes.keys().filter(|node| node.starts_with(LIBBPF) && !reference.nodes.contains_key(*node)) {
        let is_newer = release(node).is_some_and(|release| release > last);
        count.check(is_newer, || format!("libbpf has no node {node}"));
        newer.extend(is_newer.then_some(node.as_str()));
    }
    for symbol in &ours.symbols {
        let node = symbol.rsplit('@').next().unwrap_or_default();
        if reference.nodes.contains_key(node) {
            count.check(reference.symbols.contains(symbol), || format!("libbpf does not export {symbol}"));
        } else if newer.contains(&node) {
            newer.push(symbol);
        } else {
            count.check(ours.nodes.contains_key(node), || format!("{symbol} has no version node"));
        }
    }
    if !newer.is_empty() {
        println!("newer than 1.7.0: {}", newer.join(", "));
    }
    Ok(count)
}

/// The numbers of a node: `LIBBPF_1.7.0`.
fn release(node: &str) -> Option<Vec<u32>> {
    node.strip_prefix(LIBBPF)?.split('.').map(|number| number.parse().ok()).collect()
}

fn exports(library: &Path) -> Result<Exports, NoResult> {
    let output = |program: &str, flags: &[&str]| {
        let output = Command::new(program).args(flags).arg(library).env("LC_ALL", "C").output();
        let output = output.map_err(|e| NoResult::Skip(format!("{program}: {e}")))?;
        if !output.status.success() {
            return Err(NoResult::Broken(format!("{program}: {}", String::from_utf8_lossy(&output.stderr))));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let mut symbols = BTreeSet::new();
    for line in output("nm", &["-D", "--defined-only", "--with-symbol-versions"])?.lines() {
        // Nodes are absolute symbols.
        if let [_, kind, symbol] = line.split_whitespace().collect::<Vec<_>>()[..] {
            if kind != "A" {
                symbols.insert(symbol.to_string());
            }
        }
    }
    let mut nodes = BTreeMap::new();
    let mut last = String::new();
    let versions = output("readelf", &["-W", "-V"])?;
    let (definitions, _) = versions.split_once("Version needs section").unwrap_or((&versions, ""));
    for line in definitions.lines() {
        if let Some((_, name)) = line.split_once("Name: ").filter(|_| !line.contains("Flags: BASE")) {
            last = name.trim().to_string();
            nodes.insert(last.clone(), String::new());
        } else if let Some((_, parent)) = line.split_once("Parent 1: ") {
            nodes.insert(last.clone(), parent.trim().to_string());
        }
    }
    if symbols.is_empty() || nodes.is_empty() {
        return Err(NoResult::Broken(format!("{} has no symbols or no version nodes", library.display())));
    }
    Ok(Exports { symbols, nodes })
}
