// SPDX-License-Identifier: MIT OR Apache-2.0
//! The manual pages of section 3, one per function, from the headers.
//!
//! The headers contain the documentation of `src/api` with the prototypes and structs in C, so a page says what the header
//! says. With the suffix `3sysbpf`, the pages cannot conflict with pages of libbpf.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::api::{read, save, version};
use roff::{Inline, Roff, bold, italic, roman};

/// The section of the pages, and the suffix of the file names.
const SECTION: &str = "3sysbpf";
/// The date on which the pages were last reworded. Generating a page does not change it.
const DATE: &str = "2026-11-24";
/// In the source of a page, and for a prototype on the screen.
const LONGEST_LINE: usize = 76;

/// Writes a page for each function in `abi/libsysbpf.symbols`, and removes all other pages.
pub fn generate(root: &Path, out: &Path) -> Result<(), String> {
    let text = crate::headers::header(root)?;
    let version = version(root)?;
    let mut functions = Vec::new();
    let mut structs = Vec::new();
    for (header, text) in [("bpf/bpf.h", text), ("bpf/libbpf_legacy.h", read(root, "include/bpf/libbpf_legacy.h")?)] {
        parse(header, &text, &mut functions, &mut structs)?;
    }
    inherit(&mut functions)?;
    let symbols = read(root, "abi/libsysbpf.symbols")?;
    let mut written = BTreeSet::new();
    fs::create_dir_all(out).map_err(|error| format!("{}: {error}", out.display()))?;
    for (name, node) in symbols.lines().filter_map(|line| line.split_once("@@")) {
        let node = node.strip_prefix("LIBBPF_").ok_or_else(|| format!("{name}: {node} is not a release of libbpf"))?;
        let function = functions
            .iter()
            .find(|function| function.name == name)
            .ok_or_else(|| format!("{name} is exported, but no header documents it"))?;
        let page = Page { function, node, version: &version, functions: &functions, structs: &structs };
        let file = format!("{name}.{SECTION}");
        let path = out.join(&file);
        save(&path, &page.render()?)?;
        written.insert(file);
    }
    for entry in fs::read_dir(out).map_err(|error| error.to_string())?.flatten() {
        let file = entry.file_name().to_string_lossy().into_owned();
        if file.ends_with(SECTION) && !written.contains(&file) {
            fs::remove_file(entry.path()).map_err(|error| format!("{file}: {error}"))?;
        }
    }
    Ok(())
}

// ---- The headers ----------------------------------------------------------------------------

struct Function {
    header: &'static str,
    /// The heading above it in the header.
    group: String,
    name: String,
    /// The text before the name, such as `int `, and the parameters.
    returns: String,
    params: Vec<String>,
    doc: Doc,
}

/// The parts of a comment.
#[derive(Default)]
struct Doc {
    /// The first sentence, and the rest of the text.
    summary: String,
    body: Vec<String>,
    params: Vec<(String, String)>,
    /// The return value; then the text that introduces the errors, and the list of them.
    returns: String,
    errors: String,
    error_list: Vec<(String, String)>,
    /// The paragraphs at the end: the kernel release, and the reference to bpf(2).
    notes: Vec<String>,
}

struct Struct {
    name: String,
    doc: Vec<String>,
    members: Vec<Member>,
}

struct Member {
    doc: Vec<String>,
    /// Such as `__u32 flags`; with members, `union` or `struct perf_event`.
    declaration: String,
    members: Vec<Member>,
}

/// Collects the documented functions and structs of a header.
fn parse(
    header: &'static str,
    text: &str,
    functions: &mut Vec<Function>,
    structs: &mut Vec<Struct>,
) -> Result<(), String> {
    let text = as_c(text);
    let mut lines = text.lines().peekable();
    let mut comment = Vec::new();
    let mut group = String::new();
    while let Some(line) = lines.next() {
        if let Some(title) = line.strip_prefix("/* ---- ").and_then(|rest| rest.strip_suffix(" ---- */")) {
            group = title.trim_end_matches('.').into();
        } else if line.starts_with("/*") {
            comment = read_comment(line, &mut lines);
        } else if let Some(start) = line.strip_prefix("LIBBPF_API") {
            let mut declaration = start.trim().to_string();
            while !declaration.ends_with(';') {
                let next = lines.next().ok_or("a prototype does not end")?;
                declaration = format!("{declaration} {}", next.trim()).trim().to_string();
            }
            if !comment.is_empty() {
                functions.push(function(header, &group, &declaration, &comment)?);
            }
            comment.clear();
        } else if let Some(name) = line.strip_prefix("struct ").and_then(|rest| rest.strip_suffix(" {")) {
            let (members, end) = members(&mut lines)?;
            if end != "};" {
                return Err(format!("struct {name} ends with {end}"));
            }
            structs.push(Struct { name: name.into(), doc: paragraphs(&comment), members });
            comment.clear();
        } else {
            // A comment belongs to the declaration directly below it.
            comment.clear();
        }
    }
    Ok(())
}

/// The text that a C compiler sees, where C++ sees something else.
fn as_c(text: &str) -> String {
    let (mut out, mut cpp) = (String::new(), false);
    for line in text.lines() {
        match line {
            "#ifdef __cplusplus" => cpp = true,
            "#else" | "#endif" => cpp = false,
            // A forward declaration of an enum documents nothing.
            _ if cpp || (line.starts_with("enum ") && line.ends_with(';')) => {}
            _ => out = out + line + "\n",
        }
    }
    out
}

/// The lines of a comment, without its markers. The first line has been read already.
fn read_comment<'a>(first: &'a str, lines: &mut impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut out = Vec::new();
    let mut line = first.trim().trim_start_matches("/*").trim_start_matches('*');
    loop {
        let ends = line.ends_with("*/");
        let text = line.trim_end_matches("*/").trim_end();
        out.push(text.strip_prefix(' ').unwrap_or(text).to_string());
        if ends {
            break;
        }
        let Some(next) = lines.next() else { break };
        let next = next.trim();
        line = if next == "*/" { next } else { next.strip_prefix('*').unwrap_or(next) };
    }
    out
}

/// The paragraphs, each as one line.
fn paragraphs(lines: &[String]) -> Vec<String> {
    lines
        .split(|line| line.trim().is_empty())
        .filter(|paragraph| !paragraph.is_empty())
        .map(|paragraph| paragraph.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" "))
        .collect()
}

/// Reads members up to the line that closes them, and returns that line.
fn members<'a>(lines: &mut impl Iterator<Item = &'a str>) -> Result<(Vec<Member>, &'a str), String> {
    let (mut out, mut doc) = (Vec::new(), Vec::new());
    while let Some(line) = lines.next() {
        let line = line.trim();
        if line.starts_with('}') {
            return Ok((out, line));
        } else if line.starts_with("/*") {
            doc = paragraphs(&read_comment(line, lines));
        } else if let Some(kind) = line.strip_suffix(" {") {
            let (inner, end) = members(lines)?;
            let name = end.trim_start_matches('}').trim_end_matches(';').trim();
            let declaration = format!("{kind} {name}").trim().to_string();
            out.push(Member { doc: std::mem::take(&mut doc), declaration, members: inner });
        } else if let Some(declaration) = line.strip_suffix(';').filter(|line| !line.contains(':')) {
            out.push(Member { doc: std::mem::take(&mut doc), declaration: declaration.into(), members: Vec::new() });
        }
    }
    Err("a struct does not end".into())
}

fn function(header: &'static str, group: &str, declaration: &str, comment: &[String]) -> Result<Function, String> {
    let wrong = || format!("not understood: {declaration}");
    let (head, params) = declaration.trim_end_matches(");").split_once('(').ok_or_else(wrong)?;
    let at = head.rfind([' ', '*']).ok_or_else(wrong)? + 1;
    Ok(Function {
        header,
        group: group.into(),
        name: head[at..].into(),
        returns: head[..at].into(),
        params: params.split(',').map(|param| param.trim().to_string()).collect(),
        doc: doc(comment),
    })
}

/// "The parameters and the result are those of f()": copies them from f().
fn inherit(functions: &mut [Function]) -> Result<(), String> {
    for i in 0..functions.len() {
        if !functions[i].doc.returns.is_empty() {
            continue;
        }
        let Function { name, doc, params, .. } = &functions[i];
        let of = doc
            .body
            .iter()
            .find_map(|text| text.split_once("are those of ")?.1.split_once("()"))
            .ok_or_else(|| format!("{name}: the documentation does not say what is returned"))?
            .0;
        let other = functions.iter().find(|function| function.name == of).ok_or_else(|| format!("no {of}()"))?;
        let named = |(param, _): &&(String, String)| params.iter().any(|own| own.ends_with(param.as_str()));
        let inherited = other.doc.params.iter().filter(named).cloned().collect();
        let (returns, errors) = (other.doc.returns.clone(), format!("as {of}()"));
        let doc = &mut functions[i].doc;
        (doc.params, doc.returns, doc.errors) = (inherited, returns, errors);
    }
    Ok(())
}

/// Splits a comment into its parts.
fn doc(comment: &[String]) -> Doc {
    /// The part to which a continuation line belongs.
    enum At {
        Text,
        Param,
        Returns,
        Error,
        Notes,
    }
    let mut doc = Doc::default();
    let (mut text, mut notes) = (Vec::new(), Vec::new());
    let mut returns = String::new();
    let mut at = At::Text;
    let append = |to: &mut String, line: &str| *to = format!("{to} {}", line.trim()).trim().to_string();
    for line in comment {
        if let Some(param) = line.strip_prefix("@param ") {
            let (name, what) = param.split_once(' ').unwrap_or((param, ""));
            doc.params.push((name.into(), what.trim().into()));
            at = At::Param;
        } else if let Some(what) = line.strip_prefix("@return ") {
            append(&mut returns, what);
            at = At::Returns;
        } else if let Some((code, what)) = line.strip_prefix("  - ").and_then(|item| item.split_once(": ")) {
            doc.error_list.push((code.into(), what.into()));
            at = At::Error;
        } else if line.is_empty() && !matches!(at, At::Text) {
            notes.push(String::new());
            at = At::Notes;
        } else {
            match at {
                At::Text => text.push(line.clone()),
                At::Param => append(&mut doc.params.last_mut().expect("one").1, line),
                At::Returns => append(&mut returns, line),
                At::Error => append(&mut doc.error_list.last_mut().expect("one").1, line),
                At::Notes => notes.push(line.clone()),
            }
        }
    }
    doc.body = paragraphs(&text);
    // Without a marked part in between, only the first words tell the notes from the text.
    while doc.body.last().is_some_and(|paragraph| paragraph.starts_with("Since Linux ")) {
        notes.insert(0, doc.body.pop().expect("one"));
    }
    if !doc.body.is_empty() {
        let first = doc.body.remove(0);
        let (summary, rest) = first.split_once(". ").unwrap_or((first.trim_end_matches('.'), ""));
        doc.summary = summary.into();
        if !rest.is_empty() {
            doc.body.insert(0, rest.into());
        }
    }
    // "..., or a negative error code (also in errno): as ...": the errors start after the colon.
    let (what, errors) = returns.split_once("errno):").unwrap_or((&returns, ""));
    doc.returns = if what.len() < returns.len() { format!("{what}errno)") } else { returns.clone() };
    doc.errors = errors.trim().trim_end_matches(", and").into();
    doc.notes = paragraphs(&notes);
    doc
}

// ---- The page ---------------------------------------------------------------------------------

struct Page<'a> {
    function: &'a Function,
    node: &'a str,
    version: &'a str,
    functions: &'a [Function],
    structs: &'a [Struct],
}

impl Page<'_> {
    fn render(&self) -> Result<String, String> {
        let Function { name, doc, .. } = self.function;
        if doc.summary.is_empty() || doc.returns.is_empty() {
            return Err(format!("{name}: the documentation lacks a first sentence or @return"));
        }
        let structs = self.options();
        let mut roff = Roff::new();
        let manual = format!("sysbpf {}", self.version);
        roff.control("TH", [name.as_str(), SECTION, DATE, manual.as_str()]);
        // With names as long as these, adjusted lines have wide gaps. groff 1.23 restores the adjustment from the string
        // AD at each heading; others know only the request.
        roff.control("ad", ["l"]);
        roff.control("ds", ["AD", "l"]);
        roff.control("nr", ["HY", "0"]);
        roff.control("SH", ["NAME"]);
        roff.text([roman(format!("{name} - {}", lower_first(&doc.summary)))]);
        roff.control("SH", ["LIBRARY"]);
        roff.text([roman("BPF system call library ("), bold("libsysbpf"), roman(", "), bold("-lsysbpf"), roman(")")]);
        self.synopsis(&mut roff);

        roff.control("SH", ["DESCRIPTION"]);
        if doc.body.is_empty() {
            self.prose(&mut roff, &sentence(&doc.summary, &[]));
        }
        for (i, paragraph) in doc.body.iter().enumerate() {
            if i > 0 {
                roff.control("PP", []);
            }
            self.prose(&mut roff, paragraph);
        }
        for (param, what) in &doc.params {
            roff.control("TP", []);
            roff.text([italic(param)]);
            self.prose(&mut roff, &sentence(what, &[]));
        }
        for options in &structs {
            roff.control("SS", [format!("struct {}", options.name).as_str()]);
            for (i, paragraph) in options.doc.iter().enumerate() {
                if i > 0 {
                    roff.control("PP", []);
                }
                self.prose(&mut roff, &sentence(paragraph, &[]));
            }
            self.list_members(&mut roff, &options.members);
        }

        roff.control("SH", ["RETURN VALUE"]);
        self.prose(&mut roff, &sentence(&doc.returns, &[]));
        if !doc.errors.is_empty() || !doc.error_list.is_empty() {
            roff.control("SH", ["ERRORS"]);
            if !doc.errors.is_empty() {
                let also = if doc.error_list.is_empty() { "" } else { ", and:" };
                self.prose(&mut roff, &sentence(&format!("{}{also}", doc.errors), &doc.params));
            }
            for (code, what) in &doc.error_list {
                roff.control("TP", []);
                roff.text([bold(code)]);
                self.prose(&mut roff, &sentence(what, &doc.params));
            }
        }
        roff.control("SH", ["VERSIONS"]);
        for note in &doc.notes {
            self.prose(&mut roff, note);
        }
        self.prose(&mut roff, &format!("In libbpf since {}, which is the version of the symbol.", self.node));
        roff.control("SH", ["SEE ALSO"]);
        self.see_also(&mut roff);
        Ok(format!(
            ".\\\" SPDX-License-Identifier: MIT OR Apache-2.0\n.\\\" Generated by `make manpages` from the documentation in src/api; do not edit.\n{}",
            roff.to_roff()
        ))
    }

    /// The prototype, with its parameters' names in italics, no wider than a screen.
    fn synopsis(&self, roff: &mut Roff) {
        let Function { header, name, returns, params, .. } = self.function;
        roff.control("SH", ["SYNOPSIS"]);
        roff.control("nf", []);
        roff.text([bold(format!("#include <{header}>"))]);
        roff.control("PP", []);
        let indent = returns.len() + name.len() + 1;
        let mut line = vec![bold(format!("{returns}{name}("))];
        let mut width = indent;
        for (i, param) in params.iter().enumerate() {
            let end = if i + 1 == params.len() { ");" } else { "," };
            if i > 0 && width + param.len() + end.len() + 1 > LONGEST_LINE {
                roff.text(std::mem::take(&mut line));
                // What is narrower than the name's own indent would not fit after it either.
                let room = LONGEST_LINE.saturating_sub(params.iter().map(String::len).max().unwrap_or(0) + 2);
                width = indent.min(room);
                line.push(roman(" ".repeat(width)));
            } else if i > 0 {
                line.push(roman(" "));
                width += 1;
            }
            let at = param.rfind([' ', '*']).map_or(0, |at| at + 1);
            line.extend([bold(&param[..at]), italic(&param[at..]), bold(end)]);
            width += param.len() + end.len();
        }
        line.retain(|part| !matches!(part, Inline::Bold(text) | Inline::Roman(text) if text.is_empty()));
        roff.text(line);
        roff.control("fi", []);
    }

    /// The structs of options that the function takes, and those that their members point to.
    fn options(&self) -> Vec<&Struct> {
        let mut wanted: Vec<String> = self.function.params.clone();
        let mut found: Vec<&Struct> = Vec::new();
        while let Some(declaration) = wanted.pop() {
            let named = |candidate: &&Struct| {
                declaration.split([' ', '*']).any(|word| word == candidate.name) && candidate.name.ends_with("_opts")
            };
            if let Some(options) = self.structs.iter().find(named) {
                if !found.iter().any(|known| known.name == options.name) {
                    found.push(options);
                    wanted.extend(options.members.iter().map(|member| member.declaration.clone()));
                }
            }
        }
        found
    }

    fn list_members(&self, roff: &mut Roff, members: &[Member]) {
        for member in members {
            roff.control("TP", []);
            let at = match &member.members[..] {
                [] => member.declaration.rfind([' ', '*']).map_or(0, |at| at + 1),
                _ => member.declaration.find(' ').map_or(member.declaration.len(), |at| at + 1),
            };
            let (kind, name) = member.declaration.split_at(at);
            let mut tag = vec![bold(kind)];
            if !name.is_empty() {
                tag.push(italic(name));
            }
            roff.text(tag);
            let anonymous = if name.is_empty() { "One of:" } else { "" };
            for (i, paragraph) in member.doc.iter().enumerate() {
                if i > 0 {
                    roff.control("IP", []);
                }
                self.prose(roff, &sentence(paragraph, &[]));
            }
            if member.doc.is_empty() {
                roff.text([roman(anonymous)]);
            }
            if !member.members.is_empty() {
                roff.control("RS", []);
                self.list_members(roff, &member.members);
                roff.control("RE", []);
            }
        }
    }

    /// bpf(2), the functions named in the text, and those under the same heading.
    fn see_also(&self, roff: &mut Roff) {
        let Function { name, doc, group, .. } = self.function;
        let texts = doc.body.iter().chain([&doc.errors]).chain(&doc.notes);
        let mentioned: Vec<&str> = texts
            .flat_map(|text| text.split_whitespace())
            .filter_map(|word| Some(word.trim_start_matches('(').split_once("()")?.0))
            .collect();
        let near = |function: &&Function| {
            function.name != *name
                && (mentioned.contains(&function.name.as_str()) || (!group.is_empty() && function.group == *group))
        };
        let mut names: Vec<&str> = self.functions.iter().filter(near).map(|function| function.name.as_str()).collect();
        names.sort_unstable();
        roff.control("BR", ["bpf", "(2),"]);
        for other in names {
            roff.control("BR", [other, "(3),"]);
        }
        roff.control("BR", ["sysbpf", "(7)"]);
    }

    /// Running text: each sentence starts a line of source, and lines are no wider than a screen.
    fn prose(&self, roff: &mut Roff, text: &str) {
        let mut line: Vec<Inline> = Vec::new();
        let mut width = 0;
        let flush = |line: &mut Vec<Inline>, roff: &mut Roff| {
            if !line.is_empty() {
                roff.text(std::mem::take(line));
            }
        };
        for word in text.split_whitespace() {
            if width > 0 && width + 1 + word.len() > LONGEST_LINE {
                flush(&mut line, roff);
                width = 0;
            }
            if width > 0 {
                line.push(roman(" "));
                width += 1;
            }
            line.extend(self.word(word));
            width += word.len();
            if word.ends_with('.') && !word.ends_with("...") && !word.ends_with("e.g.") {
                flush(&mut line, roff);
                width = 0;
            }
        }
        flush(&mut line, roff);
    }

    /// A word as manual pages print it: functions and constants in bold, parameters and members in italics.
    fn word(&self, word: &str) -> Vec<Inline> {
        let start = word.len() - word.trim_start_matches('(').len();
        let mut core = &word[start..];
        loop {
            let shorter = core.trim_end_matches(['.', ',', ';', ':']);
            let shorter = match shorter.strip_suffix(')') {
                Some(inner) if !inner.contains('(') => inner,
                _ => shorter,
            };
            if shorter == core {
                break;
            }
            core = shorter;
        }
        let (before, after) = (&word[..start], &word[start + core.len()..]);
        let constant = |text: &str| {
            text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_' || c == '*')
                && (text.contains('_') || (text.starts_with('E') && text.len() > 3))
        };
        let styled = if let Some(quoted) = core.strip_prefix('`').and_then(|rest| rest.strip_suffix('`')) {
            vec![bold(quoted)]
        } else if let Some((name, section)) = core.strip_suffix(')').and_then(|rest| rest.split_once('(')) {
            vec![bold(name), roman(format!("({section})"))]
        } else if constant(core) {
            vec![bold(core)]
        } else if core.contains('_') && core.chars().all(|c| c.is_ascii_alphanumeric() || "_->".contains(c)) {
            vec![italic(core)]
        } else {
            vec![roman(core)]
        };
        let mut parts = vec![roman(before)];
        parts.extend(styled);
        parts.push(roman(after));
        parts.retain(|part| !matches!(part, Inline::Roman(text) if text.is_empty()));
        parts
    }
}

/// With a capital letter, unless the first word is one of these names, and with a full stop.
fn sentence(text: &str, names: &[(String, String)]) -> String {
    let mut chars = text.chars();
    let first_word = text.split([' ', ',', ';', ':']).next().unwrap_or_default();
    let capital = match chars.next() {
        Some(first)
            if !names.iter().any(|(name, _)| name == first_word)
                && first_word.chars().all(|c| c.is_ascii_alphabetic() || c == '\'') =>
        {
            first.to_uppercase().chain(chars).collect()
        }
        _ => text.to_string(),
    };
    if capital.ends_with(['.', ':', '?']) || capital.is_empty() { capital } else { capital + "." }
}

/// With a small first letter, for NAME; acronyms are unchanged.
fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    match (chars.next(), text.chars().nth(1)) {
        (Some(first), Some(second)) if !second.is_uppercase() => first.to_lowercase().chain(chars).collect(),
        _ => text.to_string(),
    }
}
