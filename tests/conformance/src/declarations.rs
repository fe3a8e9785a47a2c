// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads C headers: the declarations and macros of one side's `bpf.h`, and programs compiled against it.
//!
//! Declarations are read from the output of the preprocessor; types and values are left to the compiler.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// The headers that declare the interface.
const FILES: [&str; 4] = ["bpf.h", "libbpf_common.h", "libbpf_legacy.h", "libbpf_version.h"];
/// What those headers include: the macros of these are not part of the interface.
const AROUND: &str =
    "#include <linux/bpf.h>\n#include <stdbool.h>\n#include <stddef.h>\n#include <stdint.h>\n#include <string.h>\n";

pub struct Member {
    /// The member as an expression names it: `tcx.relative_fd`.
    pub path: String,
    /// The declaration, with `%` for the name.
    pub declaration: String,
}

/// What one side's headers declare.
#[derive(Default)]
pub struct Side {
    pub structs: BTreeMap<String, Vec<Member>>,
    /// Prototypes by name.
    pub functions: BTreeMap<String, String>,
    pub enumerators: BTreeSet<String>,
    /// Macros by name; `true`: with parameters.
    pub macros: BTreeMap<String, bool>,
    /// The structs and functions that a plain search of each header file finds.
    searched: BTreeMap<&'static str, BTreeSet<String>>,
}

/// The compiler, with one side's headers.
pub struct Compiler {
    /// Contains `bpf/bpf.h`.
    include: PathBuf,
    /// Contains `linux/bpf.h`.
    uapi: PathBuf,
    /// For the generated sources; removed with this value.
    work: PathBuf,
}

impl Drop for Compiler {
    fn drop(&mut self) {
        if let Err(e) = fs::remove_dir_all(&self.work) {
            eprintln!("conformance: cannot remove {}: {e}", self.work.display());
        }
    }
}

impl Compiler {
    pub fn new(include: &Path, uapi: &Path, name: &str) -> Result<Compiler, String> {
        let work = std::env::temp_dir().join(format!("sysbpf-conformance-{name}-{}", std::process::id()));
        fs::create_dir(&work).map_err(|e| format!("{}: {e}", work.display()))?;
        Ok(Compiler { include: include.to_path_buf(), uapi: uapi.to_path_buf(), work })
    }

    pub fn run(&self, program: &str, name: &str, source: &str, flags: &[&str]) -> Result<Output, String> {
        let file = self.work.join(name);
        fs::write(&file, source).map_err(|e| format!("{}: {e}", file.display()))?;
        Command::new(program)
            .args(flags)
            // Otherwise libbpf_version.h of sysbpf takes the version from a libbpf further down the include path.
            .arg("-D__SYSBPF_VERSION_LOOKED_FURTHER")
            .arg("-I")
            .arg(&self.include)
            .arg("-I")
            .arg(&self.uapi)
            .arg(&file)
            .output()
            .map_err(|e| format!("{program}: {e}"))
    }

    /// The standard output of a successful run.
    pub fn output(&self, program: &str, name: &str, source: &str, flags: &[&str]) -> Result<String, String> {
        let output = self.run(program, name, source, flags)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(format!("{program} fails on {name}:\n{}", String::from_utf8_lossy(&output.stderr)))
    }

    pub fn accepts(&self, source: &str) -> Result<bool, String> {
        Ok(self.run("cc", "accepts.c", source, &["-std=gnu11", "-fsyntax-only", "-Werror"])?.status.success())
    }

    /// The output of a program that is built with these headers.
    pub fn prints(&self, name: &str, source: &str) -> Result<String, String> {
        let program = self.work.join(format!("{name}.out"));
        let to = program.to_string_lossy().into_owned();
        self.output("cc", &format!("{name}.c"), source, &["-std=gnu11", "-w", "-o", &to])?;
        let output = Command::new(&program).output().map_err(|e| format!("{name}: {e}"))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    pub fn side(&self) -> Result<Side, String> {
        let source = "#include <bpf/bpf.h>\n";
        let mut side = Side::default();
        for declaration in declarations(&own_text(&self.output("cc", "all.c", source, &["-std=gnu11", "-E"])?)) {
            side.add(&declaration);
        }
        for file in FILES {
            let path = self.include.join("bpf").join(file);
            let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
            side.searched.insert(file, searched(&text));
        }
        let macros = |source: &str| -> Result<BTreeMap<String, bool>, String> {
            let text = self.output("cc", "macros.c", source, &["-std=gnu11", "-E", "-dM"])?;
            let named = text.lines().filter_map(|l| l.strip_prefix("#define ")).map(|l| {
                let name: String = l.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let with_parameters = l[name.len()..].starts_with('(');
                (name, with_parameters)
            });
            Ok(named.collect())
        };
        let around = macros(AROUND)?;
        side.macros = macros(source)?;
        // A name with a leading underscore is internal.
        side.macros.retain(|name, _| !around.contains_key(name) && !name.starts_with('_'));
        Ok(side)
    }
}

/// The lines of the preprocessor's output that come from `FILES`.
pub fn own_text(preprocessed: &str) -> String {
    let mut own = false;
    let mut text = String::new();
    for line in preprocessed.lines() {
        if let Some(marker) = line.strip_prefix("# ") {
            let path = Path::new(marker.split('"').nth(1).unwrap_or(""));
            let directory = path.parent().and_then(Path::file_name).is_some_and(|n| n == "bpf");
            own = directory && path.file_name().is_some_and(|n| FILES.iter().any(|f| n == *f));
        } else if own {
            text += line;
            text.push('\n');
        }
    }
    text
}

/// Splits at semicolons outside of brackets, and at the end of an `extern "C"` block.
pub fn declarations(text: &str) -> Vec<String> {
    let mut depth = 0;
    let mut all = vec![String::new()];
    for c in text.chars() {
        let end_of_block = c == '}' && depth == 0;
        match c {
            '{' | '(' => depth += 1,
            '}' | ')' if !end_of_block => depth -= 1,
            _ => {}
        }
        if c == ';' && depth == 0 || end_of_block {
            all.push(String::new());
        } else {
            all.last_mut().expect("never empty").push(if c == '\n' { ' ' } else { c });
        }
    }
    all.iter().map(|s| s.split_whitespace().collect::<Vec<_>>().join(" ")).filter(|s| !s.is_empty()).collect()
}

/// Removes every `__attribute__((...))` from a declaration.
fn plain(declaration: &str) -> String {
    let mut text = declaration.to_string();
    while let Some(start) = text.find("__attribute__") {
        let mut depth = 0;
        let end = text[start..].char_indices().find(|(_, c)| {
            match c {
                '(' => depth += 1,
                ')' => depth -= 1,
                _ => return false,
            }
            depth == 0
        });
        let end = end.map_or(text.len(), |(i, _)| start + i + 1);
        text.replace_range(start..end, "");
    }
    text.trim().to_string()
}

fn last_name(text: &str) -> Option<(usize, &str)> {
    let end = text.rfind(|c: char| c.is_alphanumeric() || c == '_')? + 1;
    let start = text[..end].rfind(|c: char| !(c.is_alphanumeric() || c == '_')).map_or(0, |i| i + 1);
    Some((start, &text[start..end]))
}

fn members(body: &str, prefix: &str, found: &mut Vec<Member>) {
    for declaration in declarations(body) {
        if let (Some(open), Some(close)) = (declaration.find('{'), declaration.rfind('}')) {
            // A nested struct or union, with a name or without.
            let name = declaration[close + 1..].trim();
            let prefix = if name.is_empty() { prefix.to_string() } else { format!("{prefix}{name}.") };
            members(&declaration[open + 1..close], &prefix, found);
            continue;
        }
        if declaration.contains(':') {
            continue; // an unnamed bit-field, which is padding
        }
        let array = declaration.find('[').unwrap_or(declaration.len());
        if let Some((at, name)) = last_name(&declaration[..array]) {
            let around = format!("{}%{}", &declaration[..at], &declaration[at + name.len()..]);
            found.push(Member { path: format!("{prefix}{name}"), declaration: around });
        }
    }
}

/// The names of structs and functions that a search of a header's lines finds: `struct NAME {`, `LIBBPF_API ... NAME(`.
fn searched(header: &str) -> BTreeSet<String> {
    let structs = header.lines().filter_map(|l| l.strip_prefix("struct ")?.strip_suffix(" {")).map(String::from);
    let prototypes = header.split("\nLIBBPF_API ").skip(1).filter_map(|text| text.split('(').next());
    structs.chain(prototypes.filter_map(last_name).map(|(_, name)| name.to_string())).collect()
}

impl Side {
    /// Fails if a struct or function of the header files was not read.
    pub fn check_complete(&self) -> Result<(), String> {
        let read = |name: &String| self.structs.contains_key(name) || self.functions.contains_key(name);
        let lost: Vec<&str> = self.searched.values().flatten().filter(|name| !read(name)).map(String::as_str).collect();
        match (self.searched.values().all(BTreeSet::is_empty), lost.is_empty()) {
            (false, true) => Ok(()),
            (true, _) => Err("the headers declare no struct and no function".into()),
            _ => Err(format!("the headers declare what was not read: {}", lost.join(", "))),
        }
    }

    /// The functions that one of the header files declares.
    pub fn functions_of(&self, file: &str) -> Result<Vec<String>, String> {
        let searched = self.searched.get(file).ok_or(format!("{file} was not read"))?;
        Ok(searched.iter().filter(|name| self.functions.contains_key(*name)).cloned().collect())
    }

    pub fn add(&mut self, declaration: &str) {
        let text = plain(declaration);
        if let (Some(open), Some(close)) = (text.find('{'), text.rfind('}')) {
            let head = text[..open].trim();
            if let Some(name) = head.strip_prefix("struct ") {
                let mut found = Vec::new();
                members(&text[open + 1..close], "", &mut found);
                self.structs.insert(name.to_string(), found);
            } else if head.starts_with("enum ") {
                let names = text[open + 1..close].split(',').filter_map(|e| e.split('=').next()).map(str::trim);
                self.enumerators.extend(names.filter(|n| !n.is_empty()).map(String::from));
            }
        } else if let Some((_, name)) = text.find('(').and_then(|i| last_name(&text[..i])) {
            self.functions.insert(name.to_string(), text.clone());
        }
    }
}

/// The output of a generated program: a line `name: value` for each value.
pub fn values(text: &str) -> BTreeMap<&str, &str> {
    text.lines().filter_map(|l| l.rsplit_once(": ")).collect()
}

pub const HEAD: &str = "#include <stdio.h>\n#include <bpf/bpf.h>\n";

/// A program that prints sizes, offsets and values.
pub fn layout_program(of: &Side, integers: &[&str]) -> String {
    let mut c = format!("{HEAD}int main(void)\n{{\n");
    for (name, members) in &of.structs {
        c += &format!("\tprintf(\"size of struct {name}: %zu\\n\", sizeof(struct {name}));\n");
        c += &format!("\tprintf(\"alignment of struct {name}: %zu\\n\", _Alignof(struct {name}));\n");
        for Member { path, .. } in members {
            c += &format!(
                "\tprintf(\"struct {name}.{path}: %zu, %zu bytes\\n\", offsetof(struct {name}, {path}), \
                 sizeof(((struct {name} *)0)->{path}));\n"
            );
        }
    }
    for name in integers.iter().copied().chain(of.enumerators.iter().map(String::as_str)) {
        c += &format!("\tprintf(\"{name}: %lld, %zu bytes\\n\", (long long)({name}), sizeof({name}));\n");
    }
    c + "}\n"
}
