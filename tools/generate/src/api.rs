// SPDX-License-Identifier: MIT OR Apache-2.0
//! What several generators share: reading `src/api`, and writing files.

use std::fs;
use std::path::Path;

use syn::{Attribute, Expr, Item, Lit, Meta};

/// A module of `src/api`.
pub struct Module {
    pub name: String,
    pub file: syn::File,
}

/// The public modules of `src/api`, in the order of `src/api/mod.rs`.
pub fn modules(root: &Path) -> Result<Vec<Module>, String> {
    let list = read(root, "src/api/mod.rs")?;
    let names = list.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    names.map(|name| Ok(Module { name: name.into(), file: parse(root, &format!("src/api/{name}.rs"))? })).collect()
}

pub fn read(root: &Path, path: &str) -> Result<String, String> {
    fs::read_to_string(root.join(path)).map_err(|error| format!("{path}: {error}"))
}

pub fn parse(root: &Path, path: &str) -> Result<syn::File, String> {
    syn::parse_file(&read(root, path)?).map_err(|error| format!("{path}: {error}"))
}

/// The version in Cargo.toml.
pub fn version(root: &Path) -> Result<String, String> {
    read(root, "Cargo.toml")?
        .lines()
        .find_map(|line| Some(line.strip_prefix("version = \"")?.trim_end_matches('"').to_string()))
        .ok_or_else(|| "Cargo.toml: no version".into())
}

/// Writes a file, unless it has that content: a file that does not change causes no rebuild.
pub fn save(out: &Path, text: &str) -> Result<(), String> {
    if fs::read(out).is_ok_and(|old| old == text.as_bytes()) {
        return Ok(());
    }
    fs::write(out, text).map_err(|error| format!("{}: {error}", out.display()))
}

/// The function, if it is exported.
pub fn exported(item: &Item) -> Option<&syn::ItemFn> {
    match item {
        Item::Fn(item)
            if item.sig.abi.as_ref().is_some_and(|abi| abi.name.as_ref().is_some_and(|name| name.value() == "C")) =>
        {
            Some(item)
        }
        _ => None,
    }
}

/// Whether the type has the layout that C gives it.
pub fn is_repr_c(attrs: &[Attribute]) -> bool {
    let repr_c = |attr: &Attribute| attr.parse_args::<syn::Ident>().is_ok_and(|repr| repr == "C");
    attrs.iter().any(|attr| attr.path().is_ident("repr") && repr_c(attr))
}

/// The last word of a type's name.
pub fn last_segment(ty: &syn::Type) -> Option<String> {
    match ty {
        syn::Type::Path(path) => path.path.segments.last().map(|segment| segment.ident.to_string()),
        _ => None,
    }
}

/// A comment of Rust, as text.
pub fn doc(attrs: &[Attribute]) -> String {
    let lines: Vec<String> = attrs
        .iter()
        .filter_map(|attr| match &attr.meta {
            Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
                Expr::Lit(syn::ExprLit { lit: Lit::Str(text), .. }) => Some(text.value()),
                _ => None,
            },
            _ => None,
        })
        .map(|line| line.strip_prefix(' ').unwrap_or(&line).to_string())
        .collect();
    lines.join("\n").trim().to_string()
}
