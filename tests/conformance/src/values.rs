// SPDX-License-Identifier: MIT OR Apache-2.0
//! The values of arguments and members, and how an opts struct is drawn.

use proptest::{collection::vec, option, prelude::*, sample::select};

use crate::functions::{Member, Opts};

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number, or an address at which nothing is mapped.
    Number(u64),
    Bytes(Vec<u8>),
    Opts(Box<OptsValue>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct OptsValue {
    pub sz: u64,
    /// One for each member, including those of unused alternatives.
    pub members: Vec<Value>,
    /// The alternative of the union that is filled. `None`: the one that goes with the attach type.
    pub alternative: Option<&'static str>,
    /// Only set members that can be set together.
    pub tidy: bool,
    /// The byte in the holes between members.
    pub hole: u8,
    /// A byte after the last member: its position (modulo the space there), and its value.
    pub tail: Option<(usize, u8)>,
}

pub fn null() -> Just<Value> {
    Just(Value::Number(0))
}

pub fn numbers(s: impl Strategy<Value = u64> + 'static) -> BoxedStrategy<Value> {
    s.prop_map(Value::Number).boxed()
}

pub fn one_of(values: &'static [u64]) -> BoxedStrategy<Value> {
    numbers(select(values))
}

pub fn bytes(len: impl Into<proptest::collection::SizeRange>) -> impl Strategy<Value = Value> {
    vec(any::<u8>(), len).prop_map(Value::Bytes)
}

/// Draws a member: the weight of zero against the weight 1 of the strategy, and the strategy.
pub type DrawMember = fn(&Member) -> (u32, BoxedStrategy<Value>);

/// An opts struct of every size from 0 to twice the struct.
pub fn opts(o: &'static Opts, draw: DrawMember) -> BoxedStrategy<Value> {
    let ends: Vec<u64> = o.members.iter().map(|m| m.end() as u64).chain([8]).collect();
    let sz = prop_oneof![
        6 => Just(o.size as u64),
        2 => Just(o.known() as u64),
        2 => Just(o.known_reference as u64),
        2 => select(ends),
        4 => 0..=2 * o.size as u64,
    ];
    let members: Vec<_> = o
        .members
        .iter()
        .map(|m| {
            let (zeros, drawn) = draw(m);
            prop_oneof![zeros => null(), 1 => drawn].boxed()
        })
        .collect();
    let alternative = match o.alternatives[..] {
        [] => Just(None).boxed(),
        _ => prop_oneof![4 => Just(None), 1 => select(o.alternatives.as_slice()).prop_map(Some)].boxed(),
    };
    let hole = prop_oneof![8 => Just(0u8), 1 => any::<u8>()];
    let tail = option::weighted(0.25, (any::<u16>().prop_map(usize::from), 1..=255u8));
    (sz, members, alternative, prop::bool::weighted(0.8), hole, tail)
        .prop_map(|(sz, members, alternative, tidy, hole, tail)| {
            Value::Opts(Box::new(OptsValue { sz, members, alternative, tidy, hole, tail }))
        })
        .boxed()
}

impl OptsValue {
    /// The members that are filled, with their values.
    pub fn filled<'a>(&'a self, o: &'static Opts, attach_type: u32) -> Vec<(&'static Member, &'a Value)> {
        let zero = &Value::Number(0);
        let chosen = self.alternative.unwrap_or_else(|| o.alternative(attach_type));
        let of_chosen = |m: &Member| m.of.is_empty() || m.of == chosen;
        let mut filled: Vec<_> = o.members.iter().zip(&self.members).filter(|(m, _)| of_chosen(m)).collect();
        if self.tidy {
            let set = |filled: &[(&Member, &Value)], name: &str| {
                filled.iter().any(|(m, v)| m.name == name && !matches!(v, Value::Number(0)))
            };
            let mut clear = Vec::new();
            for &(a, b) in &o.exclusive {
                if set(&filled, a) {
                    clear.push(b);
                }
            }
            for &(a, b) in &o.together {
                if !set(&filled, a) || !set(&filled, b) {
                    clear.extend([a, b]);
                }
            }
            for (member, value) in &mut filled {
                if clear.contains(&member.name) {
                    *value = zero;
                }
            }
        }
        filled
    }
}
