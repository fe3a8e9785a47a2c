// SPDX-License-Identifier: MIT OR Apache-2.0
//! One case: the arguments of one call, the memory that its pointers lead to, and the answers of the scripted kernel.

use crate::{
    functions::{Function, Kind, Opts},
    interpose::{Records, Script},
    memory::Memory,
    values::{OptsValue, Value},
};

/// What a library remembers when the call begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Start {
    /// Nothing: this is the first call of the process.
    Cold,
    /// What earlier calls have learnt from the same kernel.
    Warm,
}

#[derive(Clone, Debug)]
pub struct Case {
    pub arguments: Vec<Value>,
    pub errno_before: i32,
    pub start: Start,
    pub script: Script,
}

/// A case that is laid out in memory.
#[derive(Default)]
pub struct Placed {
    pub arguments: [u64; 9],
    /// Of a program load: the addresses of the instructions, and of func_info and line_info.
    pub insns: Option<u64>,
    pub records: [Records; 2],
    /// The slot of the memory with the opts struct, and the one with the struct that a member of it points to.
    pub opts_slot: Option<usize>,
    pub nested_slot: Option<usize>,
}

impl Placed {
    fn value(&mut self, value: &Value, kind: Kind, attach_type: u32, memory: &mut Memory) -> u64 {
        match (value, kind) {
            (Value::Number(n), _) => *n,
            (Value::Bytes(b), Kind::Name | Kind::Str | Kind::License) => memory.place(b, 1),
            (Value::Bytes(b), Kind::At32(_)) => memory.place(b, 4),
            (Value::Bytes(b), _) => memory.place(b, 8),
            (Value::Opts(v), Kind::Opts(o)) => {
                let address = self.opts(v, o, attach_type, memory);
                self.opts_slot = Some(memory.last());
                address
            }
            (Value::Opts(v), Kind::Nested(o)) => {
                let address = self.opts(v, o, attach_type, memory);
                self.nested_slot = Some(memory.last());
                address
            }
            (Value::Opts(_), _) => unreachable!("only a pointer to an opts struct has such a value"),
        }
    }

    fn opts(&mut self, v: &OptsValue, o: &'static Opts, attach_type: u32, memory: &mut Memory) -> u64 {
        let sz = v.sz as usize;
        let mut bytes = vec![v.hole; sz.max(8)];
        bytes[..8].copy_from_slice(&v.sz.to_ne_bytes());
        let known = o.known();
        if sz > known {
            bytes[known..].fill(0);
            if let Some((at, byte)) = v.tail {
                bytes[known + at % (sz - known)] = byte;
            }
        }
        for (member, value) in v.filled(o, attach_type) {
            let number = self.value(value, member.kind, attach_type, memory);
            match member.name {
                "func_info" => self.records[0].at = number,
                "line_info" => self.records[1].at = number,
                "func_info_rec_size" => self.records[0].size = number,
                "line_info_rec_size" => self.records[1].size = number,
                _ => {}
            }
            for (i, byte) in number.to_ne_bytes()[..member.size].iter().enumerate() {
                if let Some(to) = bytes.get_mut(member.at + i).filter(|_| member.at + i < sz) {
                    *to = *byte;
                }
            }
        }
        memory.place(&bytes, 8)
    }
}

impl Case {
    /// The attach type among the arguments; 0 if there is none.
    pub fn attach_type(&self, function: &Function) -> u32 {
        let typed = function.params.iter().zip(&self.arguments);
        typed
            .filter_map(|(p, v)| match (p.kind, v) {
                (Kind::AttachType, Value::Number(n)) => Some(*n as u32),
                _ => None,
            })
            .next()
            .unwrap_or(0)
    }

    /// The opts argument, if there is one.
    pub fn opts(&self, function: &Function) -> Option<(&'static Opts, &OptsValue)> {
        function.params.iter().zip(&self.arguments).find_map(|(p, v)| match (p.kind, v) {
            (Kind::Opts(o), Value::Opts(v)) => Some((o, &**v)),
            _ => None,
        })
    }

    /// Lays the case out in memory that holds nothing else.
    pub fn place(&self, function: &Function, memory: &mut Memory) -> Placed {
        memory.clear();
        let attach_type = self.attach_type(function);
        let mut placed = Placed::default();
        for (i, (param, value)) in function.params.iter().zip(&self.arguments).enumerate() {
            let word = placed.value(value, param.kind, attach_type, memory);
            placed.arguments[i] = word;
            if let Kind::Insns = param.kind {
                placed.insns = Some(word);
            }
        }
        placed
    }
}
