//! The reference's headers and ours, put to the same compiler: every struct must have the same layout, every
//! member and prototype the same type, every macro and enumerator the same value. What only ours
//! have is newer, and listed.
//!
//! Nothing is compared as text: the declarations of one side are read from the preprocessor's
//! output, and the compiler judges them against the other side's headers.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use crate::{functions::OPTS, reference, run::skip};

/// The files that make up the interface.
const FILES: [&str; 4] = ["bpf.h", "libbpf_common.h", "libbpf_legacy.h", "libbpf_version.h"];
/// What those bring in.
const AROUND: &str =
    "#include <linux/bpf.h>\n#include <stdbool.h>\n#include <stddef.h>\n#include <stdint.h>\n#include <string.h>\n";

struct Member {
    /// As one writes it behind a dot.
    path: String,
    /// Its declaration, the name replaced by `%`.
    declaration: String,
}

/// One side's declarations.
#[derive(Default)]
struct Side {
    structs: BTreeMap<String, Vec<Member>>,
    functions: BTreeMap<String, String>,
    enumerators: BTreeSet<String>,
    /// Macros by name; `true`: with parameters.
    macros: BTreeMap<String, bool>,
}

struct Compiler {
    include: PathBuf,
    uapi: PathBuf,
    work: PathBuf,
}

impl Compiler {
    fn run(&self, program: &str, name: &str, source: &str, flags: &[&str]) -> Result<std::process::Output, String> {
        let file = self.work.join(name);
        fs::write(&file, source).map_err(|e| format!("{}: {e}", file.display()))?;
        Command::new(program)
            .args(flags)
            // Our headers leave the version to libbpf's own, should those lie further down the path. Here they stand alone.
            .arg("-D__SYSBPF_VERSION_LOOKED_FURTHER")
            .arg("-I")
            .arg(&self.include)
            .arg("-I")
            .arg(&self.uapi)
            .arg(&file)
            .output()
            .map_err(|e| format!("{program}: {e}"))
    }

    /// Standard output of a successful run.
    fn output(&self, program: &str, name: &str, source: &str, flags: &[&str]) -> Result<String, String> {
        let output = self.run(program, name, source, flags)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(format!("{program} fails on {name}:\n{}", String::from_utf8_lossy(&output.stderr)))
    }

    fn accepts(&self, source: &str) -> Result<bool, String> {
        Ok(self.run("cc", "accepts.c", source, &["-std=gnu11", "-fsyntax-only", "-Werror"])?.status.success())
    }

    /// What a program built against these headers prints.
    fn prints(&self, name: &str, source: &str) -> Result<String, String> {
        let program = self.work.join(format!("{name}.out"));
        let to = program.to_string_lossy().into_owned();
        self.output("cc", &format!("{name}.c"), source, &["-std=gnu11", "-w", "-o", &to])?;
        let output = Command::new(&program).output().map_err(|e| format!("{name}: {e}"))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn side(&self) -> Result<Side, String> {
        let source = "#include <bpf/bpf.h>\n";
        let mut side = Side::default();
        for declaration in declarations(&own_text(&self.output("cc", "all.c", source, &["-std=gnu11", "-E"])?)) {
            side.add(&declaration);
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
        // Names with a leading underscore are each side's own.
        side.macros.retain(|name, _| !around.contains_key(name) && !name.starts_with('_'));
        Ok(side)
    }
}

/// Of the preprocessor's output, what comes from the interface's own files.
fn own_text(preprocessed: &str) -> String {
    let mut own = false;
    let mut text = String::new();
    for line in preprocessed.lines() {
        if let Some(marker) = line.strip_prefix("# ") {
            let path = Path::new(marker.split('"').nth(1).unwrap_or(""));
            let folder = path.parent().and_then(Path::file_name).is_some_and(|n| n == "bpf");
            own = folder && path.file_name().is_some_and(|n| FILES.iter().any(|f| n == *f));
        } else if own {
            text += line;
            text.push('\n');
        }
    }
    text
}

/// Splits at the semicolons that are in no brackets, and at the end of an `extern "C"` block.
fn declarations(text: &str) -> Vec<String> {
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

/// A declaration without its `__attribute__((...))`.
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
            continue; // a bit-field without a name: it pads
        }
        let array = declaration.find('[').unwrap_or(declaration.len());
        if let Some((at, name)) = last_name(&declaration[..array]) {
            let around = format!("{}%{}", &declaration[..at], &declaration[at + name.len()..]);
            found.push(Member { path: format!("{prefix}{name}"), declaration: around });
        }
    }
}

impl Side {
    fn add(&mut self, declaration: &str) {
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

/// Counts checks; those that fail are printed.
#[derive(Default)]
struct Count {
    passed: usize,
    failed: usize,
}

impl Count {
    fn check(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if holds {
            self.passed += 1;
        } else {
            self.failed += 1;
            println!("FAIL {}", what());
        }
    }
}

/// One line of a generated program's output for each thing: `name value`.
fn values(text: &str) -> BTreeMap<&str, &str> {
    text.lines().filter_map(|l| l.rsplit_once(": ")).collect()
}

const HEAD: &str = "#include <stdio.h>\n#include <bpf/bpf.h>\n";

/// A program that prints sizes, offsets and values.
fn layout_program(of: &Side, integers: &[&str]) -> String {
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

/// What the macros that make and remake an opts struct do to its bytes.
const OPTS_PROGRAM: &str = r#"
static void show(const char *what, const void *bytes, size_t size)
{
	printf("%s: ", what);
	for (size_t i = 0; i < size; i++)
		printf("%02x", ((const unsigned char *)bytes)[i]);
	printf("\n");
}

static void soil(void)
{
	volatile unsigned char stack[4096];

	for (size_t i = 0; i < sizeof(stack); i++)
		stack[i] = 0xa5;
}

static void opts(void)
{
	LIBBPF_OPTS(bpf_prog_attach_opts, given, .flags = 3, .relative_id = 7);
	show("LIBBPF_OPTS with members", &given, sizeof(given));
	LIBBPF_OPTS_RESET(given, .replace_fd = 5);
	show("LIBBPF_OPTS_RESET with a member", &given, sizeof(given));
	LIBBPF_OPTS_RESET(given);
	show("LIBBPF_OPTS_RESET", &given, sizeof(given));
	LIBBPF_OPTS(bpf_link_update_opts, empty);
	show("LIBBPF_OPTS", &empty, sizeof(empty));
	DECLARE_LIBBPF_OPTS(bpf_test_run_opts, declared, .repeat = 2, .data_in = (void *)9);
	show("DECLARE_LIBBPF_OPTS", &declared, sizeof(declared));
}

int main(void)
{
	soil();
	opts();
}
"#;

pub fn run(include: &Path) -> ExitCode {
    match compare(include) {
        Ok(code) => code,
        Err(Missing::Skip(why)) => skip("headers", &why),
        Err(Missing::Broken(why)) => {
            println!("FAIL {why}\nheaders: 0 passed, 1 failed, 0 skipped");
            ExitCode::FAILURE
        }
    }
}

enum Missing {
    Skip(String),
    Broken(String),
}
impl From<String> for Missing {
    fn from(why: String) -> Missing {
        Missing::Broken(why)
    }
}

/// The generated sources, in a folder that is removed with this value.
struct Work(PathBuf);
impl Drop for Work {
    fn drop(&mut self) {
        if let Err(e) = fs::remove_dir_all(&self.0) {
            eprintln!("conformance: {} stays behind: {e}", self.0.display());
        }
    }
}

fn compare(include: &Path) -> Result<ExitCode, Missing> {
    if !include.join("bpf/bpf.h").exists() {
        return Err(Missing::Skip(format!("{}/bpf/bpf.h is not there: `make stage` puts it there", include.display())));
    }
    if Command::new("cc").arg("--version").output().is_err() {
        return Err(Missing::Skip("no C compiler (cc)".into()));
    }
    let reference = reference::build().map_err(Missing::Skip)?;
    let work = Work(std::env::temp_dir().join(format!("sysbpf-conformance-headers-{}", std::process::id())));
    let compiler = |include: &Path, name: &str| -> Result<Compiler, String> {
        let work = work.0.join(name);
        fs::create_dir_all(&work).map_err(|e| format!("{}: {e}", work.display()))?;
        Ok(Compiler { include: include.to_path_buf(), uapi: reference.uapi.clone(), work })
    };
    let theirs = compiler(&reference.headers, "reference")?;
    let ours = compiler(include, "ours")?;
    let (reference, own) = (theirs.side()?, ours.side()?);
    let mut count = Count::default();
    if reference.structs.len() < 15 || reference.functions.len() < 58 {
        return Err(Missing::Broken("the reference's headers were not understood".into()));
    }

    // Which structs have members that the reference's have not.
    let mut newer = Vec::new();
    let mut grown = BTreeSet::new();
    for (name, members) in &own.structs {
        let Some(there) = reference.structs.get(name) else {
            newer.push(format!("struct {name}"));
            continue;
        };
        for member in members.iter().filter(|m| there.iter().all(|t| t.path != m.path)) {
            newer.push(format!("struct {name}.{}", member.path));
            grown.insert(name.as_str());
        }
    }
    newer.extend(own.functions.keys().filter(|f| !reference.functions.contains_key(*f)).map(|f| format!("{f}()")));
    newer.extend(own.macros.keys().filter(|m| !reference.macros.contains_key(*m)).cloned());

    // Layout and values.
    let is_integer = |name: &str| theirs.accepts(&format!("#include <bpf/bpf.h>\nlong long x[] = {{ ({name}) }};\n"));
    let mut integers = Vec::new();
    let mut handled = BTreeSet::new();
    for (name, with_parameters) in &reference.macros {
        count.check(own.macros.contains_key(name), || format!("macro {name} is missing"));
        if !with_parameters && own.macros.contains_key(name) && is_integer(name)? {
            integers.push(name.as_str());
            handled.insert(name.as_str());
        }
    }
    for name in reference.structs.keys() {
        count.check(own.structs.contains_key(name), || format!("struct {name} is missing"));
    }
    let program = layout_program(&reference, &integers);
    let (there, here) = (theirs.prints("layout", &program)?, ours.prints("layout", &program)?);
    let here = values(&here);
    for (what, value) in values(&there) {
        let mine = here.get(what).copied().unwrap_or("missing");
        // A struct grows with its newer members, and with nothing else.
        let grew = what.strip_prefix("size of struct ").is_some_and(|name| grown.contains(name));
        let holds = if grew { mine.parse::<usize>().ok() >= value.parse().ok() } else { mine == value };
        count.check(holds, || format!("{what}: reference {value}, ours {mine}"));
    }

    // The types, which the compiler compares: a member against the other side's declaration of it,
    // a prototype by declaring it a second time.
    let mut c = String::from("#include <bpf/bpf.h>\n");
    let mut checks = 0;
    for (name, members) in &reference.structs {
        for (i, Member { path, declaration }) in members.iter().enumerate() {
            let variable = format!("{name}__{i}");
            c += &format!(
                "#line 1 \"type of struct {name}.{path}\"\nextern {};\n_Static_assert(__builtin_types_compatible_p(\
                 __typeof__({variable}), __typeof__(((struct {name} *)0)->{path})), \"differs\");\n",
                declaration.replace('%', &variable)
            );
            checks += 1;
        }
    }
    for (name, prototype) in &reference.functions {
        count.check(own.functions.contains_key(name), || format!("{name}() is not declared"));
        c += &format!("#line 1 \"prototype of {name}\"\n{prototype};\n");
        checks += 1;
    }
    judge(&ours, "cc", "types.c", &c, &["-std=gnu11", "-fsyntax-only"], checks, &mut count)?;

    // In C++, where enums cannot be declared ahead and one prototype is therefore another.
    let mut skipped = 0;
    if Command::new("c++").arg("--version").output().is_ok() {
        let mut there = Side::default();
        let text = theirs.output("c++", "all.cpp", "#include <bpf/bpf.h>\n", &["-std=gnu++17", "-E"])?;
        let text = own_text(&text).replace("extern \"C\" {", ";");
        for declaration in declarations(&text) {
            there.add(&declaration);
        }
        let mut c = String::from("#include <bpf/bpf.h>\nextern \"C\" {\n");
        for (name, prototype) in &there.functions {
            c += &format!("#line 1 \"prototype of {name} in C++\"\n{prototype};\n");
        }
        count.check(there.functions.len() == reference.functions.len(), || {
            format!("{} prototypes read in C++, {} in C", there.functions.len(), reference.functions.len())
        });
        c += "}\n";
        judge(&ours, "c++", "types.cpp", &c, &["-std=gnu++17", "-fsyntax-only"], there.functions.len(), &mut count)?;
    } else {
        println!("SKIP prototypes in C++: no C++ compiler (c++)");
        skipped += 1;
    }

    // The last member of each opts struct, as the macro says.
    for name in reference.macros.keys() {
        let Some(of) = name.strip_suffix("__last_field") else { continue };
        handled.insert(name);
        let program = format!(
            "{HEAD}int main(void)\n{{\n\tprintf(\"%zu\", offsetof(struct {of}, {name}) + sizeof(((struct {of} *)0)->{name}));\n}}\n"
        );
        let (there, here) = (theirs.prints("last", &program)?, ours.prints("last", &program)?);
        let holds = there == here || grown.contains(of) && here.parse::<usize>().ok() > there.parse().ok();
        count.check(holds, || format!("{name} ends at {there} in the reference, at {here} in ours"));
    }

    // What macros do.
    let program = format!("{HEAD}{OPTS_PROGRAM}");
    let (there, here) = (theirs.prints("opts", &program)?, ours.prints("opts", &program)?);
    let here = values(&here);
    for (what, bytes) in values(&there) {
        let mine = here.get(what).copied().unwrap_or("missing");
        count.check(mine == bytes, || format!("{what}: reference {bytes}, ours {mine}"));
    }
    handled.extend(["LIBBPF_OPTS", "LIBBPF_OPTS_RESET", "DECLARE_LIBBPF_OPTS"]);
    for (name, attribute, refused) in [
        ("LIBBPF_DEPRECATED", "LIBBPF_DEPRECATED(\"why\")", true),
        ("LIBBPF_DEPRECATED_SINCE", "LIBBPF_DEPRECATED_SINCE(1, 0, \"why\")", true),
        ("LIBBPF_API", "LIBBPF_API", false),
    ] {
        handled.insert(name);
        let c = format!("#include <bpf/bpf.h>\n{attribute} void f(void);\nvoid g(void);\nvoid g(void) {{ f(); }}\n");
        let (there, here) = (theirs.accepts(&c)?, ours.accepts(&c)?);
        count.check(there == here && here != refused, || {
            format!("a call of a function marked {name} compiles: reference {there}, ours {here}")
        });
    }
    let visible = "#include <bpf/bpf.h>\nLIBBPF_API void f(void);\nvoid f(void) {}\n";
    for (compiler, whose) in [(&theirs, "the reference"), (&ours, "ours")] {
        let assembly = compiler.output("cc", "api.c", visible, &["-fvisibility=hidden", "-S", "-o", "-"])?;
        count.check(!assembly.contains(".hidden\tf"), || format!("LIBBPF_API of {whose} leaves a function hidden"));
    }
    for name in reference.macros.keys().filter(|n| !handled.contains(n.as_str())) {
        count.check(false, || format!("nothing here compares macro {name}"));
    }

    // The table of the runner itself describes the structs as the headers do.
    for opts in OPTS {
        let mut c = String::from("#include <bpf/bpf.h>\n");
        let size = opts.size;
        c += &format!("_Static_assert(sizeof(struct {}) == {size}, \"size\");\n", opts.name);
        for m in opts.members {
            c += &format!("_Static_assert(offsetof(struct {}, {}) == {}, \"{}\");\n", opts.name, m.name, m.at, m.name);
            c += &format!(
                "_Static_assert(sizeof(((struct {} *)0)->{}) == {}, \"{}\");\n",
                opts.name,
                m.name,
                m.size(),
                m.name
            );
        }
        count.check(ours.accepts(&c)?, || {
            format!("the runner's description of struct {} is not the header's", opts.name)
        });
    }

    if !newer.is_empty() {
        println!("newer than 1.7.0: {}", newer.join(", "));
    }
    println!("headers: {} passed, {} failed, {skipped} skipped", count.passed, count.failed);
    Ok(if count.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Compiles declarations that must agree with the headers; each complaint names its declaration.
fn judge(
    compiler: &Compiler,
    program: &str,
    name: &str,
    source: &str,
    flags: &[&str],
    checks: usize,
    count: &mut Count,
) -> Result<(), String> {
    let output = compiler.run(program, name, source, flags)?;
    let said = String::from_utf8_lossy(&output.stderr);
    let wrong: BTreeSet<&str> =
        said.lines().filter(|l| l.contains(": error: ")).filter_map(|l| l.split(':').next()).collect();
    if !output.status.success() && wrong.is_empty() {
        return Err(format!("{program} fails on {name}:\n{said}"));
    }
    count.passed += checks.saturating_sub(wrong.len());
    for what in wrong {
        let complaint = said.lines().find(|l| l.starts_with(what) && l.contains(": error: ")).unwrap_or(what);
        count.check(false, || format!("{what} differs ({complaint})"));
    }
    Ok(())
}
