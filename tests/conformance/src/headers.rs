// SPDX-License-Identifier: MIT OR Apache-2.0
//! Compares the headers with the reference's: the layout of every struct, the type of every member and prototype, the
//! value of every macro and enumerator. What only ours have is newer than the reference, and listed.
//!
//! Nothing is compared as text: the declarations of one side are read, and compiled with the other side's headers.

use std::{
    collections::BTreeSet,
    path::Path,
    process::{Command, ExitCode},
};

use crate::{
    count::{Count, NoResult, finish},
    declarations::{Compiler, HEAD, Member, Side, declarations, layout_program, own_text, values},
    functions::Table,
    interface::Interface,
    reference,
};

/// Prints the bytes of structs that the macros for opts structs have initialised.
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
    finish("headers", compare(include))
}

fn compare(include: &Path) -> Result<Count, NoResult> {
    if !include.join("bpf/bpf.h").exists() {
        return Err(NoResult::Skip(format!("{}/bpf/bpf.h does not exist; run make stage", include.display())));
    }
    if Command::new("cc").arg("--version").output().is_err() {
        return Err(NoResult::Skip("no C compiler (cc)".into()));
    }
    let built = reference::build().map_err(NoResult::Skip)?;
    let theirs = Compiler::new(&built.headers, &built.uapi, "reference")?;
    let ours = Compiler::new(include, &built.uapi, "ours")?;
    let (reference, own) = (theirs.side()?, ours.side()?);
    reference.check_complete()?;
    let table = Table::new(&Interface::of(&built.library)?)?;
    let mut count = Count::default();

    // The structs that have members which the reference's lack.
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
        // Only a newer member makes a struct larger.
        let grew = what.strip_prefix("size of struct ").is_some_and(|name| grown.contains(name));
        let holds = if grew { mine.parse::<usize>().ok() >= value.parse().ok() } else { mine == value };
        count.check(holds, || format!("{what}: reference {value}, ours {mine}"));
    }

    // The compiler compares types: a member with the other side's declaration of it, and a prototype by declaring it
    // again.
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

    // In C++, which has no forward declarations of enums, one prototype is different.
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
        count.skipped += 1;
    }

    // The macro that names the last member of each opts struct.
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

    // The effect of macros.
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
        count.check(!assembly.contains(".hidden\tf"), || format!("a function with LIBBPF_API of {whose} is hidden"));
    }
    for name in reference.macros.keys().filter(|n| !handled.contains(n.as_str())) {
        count.check(false, || format!("macro {name} is not compared"));
    }

    // The layouts that the runner's table computes.
    for opts in &table.opts {
        let mut c = String::from("#include <bpf/bpf.h>\n");
        let name = opts.name;
        c += &format!("_Static_assert(sizeof(struct {name}) == {}, \"size\");\n", opts.size);
        for m in &opts.members {
            c += &format!("_Static_assert(offsetof(struct {name}, {}) == {}, \"{0}\");\n", m.name, m.at);
            c += &format!("_Static_assert(sizeof(((struct {name} *)0)->{}) == {}, \"{0}\");\n", m.name, m.size);
        }
        let holds = ours.accepts(&c)?;
        count.check(holds, || format!("the runner's table and the header differ in struct {name}; run make generate"));
    }

    if !newer.is_empty() {
        println!("newer than 1.7.0: {}", newer.join(", "));
    }
    Ok(count)
}

/// Compiles declarations that must be compatible with the headers. The error messages name the declaration.
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
