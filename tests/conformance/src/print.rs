// SPDX-License-Identifier: MIT OR Apache-2.0
//! Prints a case as C.

use std::fmt::Write as _;

use crate::{
    case::{Case, Start},
    functions::{Function, Kind},
    interpose::{Answer, PERSONAS},
    values::Value,
};

/// A block of C that makes the call of a case. The answers of the scripted kernel are in comments.
pub fn print(function: &Function, case: &Case, scripted: bool) -> String {
    let mut c = String::from("{\n");
    let mut call = Vec::new();
    let attach_type = case.attach_type(function);
    for (param, value) in function.params.iter().zip(&case.arguments) {
        call.push(print_value(&mut c, param.name, param.ctype, param.kind, value, attach_type));
    }
    let _ = writeln!(c, "\terrno = {};", case.errno_before);
    let _ = writeln!(
        c,
        "\t{} result = {}({});",
        if function.returns_long { "long" } else { "int" },
        function.name,
        call.join(", ")
    );
    if scripted {
        let persona = &PERSONAS[case.script.persona];
        let _ = writeln!(
            c,
            "\t/* {} call of a process, on a kernel like {} */",
            if case.start == Start::Cold { "first" } else { "later" },
            persona.name
        );
        for (i, a) in case.script.answers.iter().enumerate() {
            let _ = writeln!(c, "\t/* bpf(2) call {}: {} */", i + 1, print_answer(a));
        }
        let _ = writeln!(c, "\t/* later bpf(2) calls: {} */", print_answer(&case.script.rest));
        let _ = writeln!(c, "\t/* fcntl() returns {}, close() returns {} */", case.script.dup, case.script.close);
    }
    c.push_str("}\n");
    c
}

fn print_answer(answer: &Answer) -> String {
    let mut s = format!("returns {}", answer.result);
    for (at, value) in &answer.writes {
        let _ = write!(s, ", writes {value:#x} at offset {at} of the attribute");
    }
    s
}

fn hex(bytes: &[u8]) -> String {
    let mut s = String::new();
    for b in bytes {
        let _ = write!(s, "{b:#x}, ");
    }
    s.trim_end_matches(", ").to_string()
}

fn print_value(c: &mut String, name: &str, ctype: &str, kind: Kind, value: &Value, attach_type: u32) -> String {
    let name = name.replace('.', "_");
    match value {
        Value::Number(0) if kind.is_pointer() => "NULL".into(),
        Value::Number(n) if kind.is_pointer() => format!("(void *){n:#x}"),
        Value::Number(n) if matches!(kind, Kind::Fd | Kind::Pid | Kind::Attempts) => format!("{}", *n as i32),
        Value::Number(n) => {
            let cast = if ctype.starts_with("enum") { format!("({ctype})") } else { String::new() };
            format!("{cast}{n:#x}")
        }
        Value::Bytes(b) if matches!(kind, Kind::Name | Kind::Str | Kind::License) => {
            let mut s = String::from("\"");
            for &byte in b.strip_suffix(&[0]).unwrap_or(b) {
                match byte {
                    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'_' | b'.' | b' ' => s.push(byte as char),
                    _ => {
                        let _ = write!(s, "\\{byte:03o}");
                    }
                }
            }
            s + "\""
        }
        Value::Bytes(b) => {
            let _ = writeln!(c, "\tunsigned char {name}[{}] = {{ {} }};", b.len(), hex(b));
            format!("(void *){name}")
        }
        Value::Opts(v) => {
            let (Kind::Opts(o) | Kind::Nested(o)) = kind else {
                unreachable!("only a pointer to an opts struct has such a value")
            };
            let mut set = format!("\t\t.sz = {},\n", v.sz);
            for (member, value) in v.filled(o, attach_type) {
                if *value == Value::Number(0) {
                    continue;
                }
                let shown = print_value(c, &format!("{name}_{}", member.name), "", member.kind, value, attach_type);
                let past = if member.end() > v.sz as usize { " /* after sz: must not be read */" } else { "" };
                let _ = writeln!(set, "\t\t.{} = {shown},{past}", member.name);
            }
            let room = (v.sz as usize).max(o.size);
            let _ = writeln!(
                c,
                "\tunion {{ struct {} o; unsigned char bytes[{room}]; }} {name} = {{ .o = {{\n{set}\t}} }};",
                o.name
            );
            if v.hole != 0 {
                let _ = writeln!(c, "\t/* all holes between members are {:#x} */", v.hole);
            }
            let known = o.known();
            if let Some((at, byte)) = v.tail.filter(|_| v.sz as usize > known) {
                let _ = writeln!(c, "\t{name}.bytes[{}] = {byte:#x};", known + at % (v.sz as usize - known));
            }
            format!("&{name}.o")
        }
    }
}
