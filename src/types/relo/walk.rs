//! What a load would make of each relocation of an object, against the types of a kernel.

use std::collections::{HashMap, HashSet};

use nix::errno::Errno;

use super::object::{Function, Object, Site};
use super::reach::{Reached, reached};
use super::target::Target;
use crate::ffi::relo::{self, Insns, Matched};

/// The kinds of relocations (`enum bpf_core_relo_kind`): what libbpf calls them, and what people do.
const KINDS: [(&str, &str); relo::KINDS] = [
    ("byte_off", "field offset"),
    ("byte_sz", "field size"),
    ("field_exists", "field exists"),
    ("signed", "field signed"),
    ("lshift_u64", "bits left"),
    ("rshift_u64", "bits right"),
    ("local_type_id", "type id, local"),
    ("target_type_id", "type id"),
    ("type_exists", "type exists"),
    ("type_size", "type size"),
    ("enumval_exists", "enum value exists"),
    ("enumval_value", "enum value"),
    ("type_matches", "type matches"),
];

/// What a load would make of a relocation.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// The instruction gets a value.
    Value {
        /// As compiled.
        local: u64,
        /// As patched.
        target: u64,
        /// Bytes that it reads or writes, before and after, where these differ.
        size: Option<(u8, u8)>,
    },
    /// There is nothing for it in the target, and the verifier refuses the program …
    Missing,
    /// … unless a check stands before it, so that it is never reached.
    Guarded,
    /// The load ends, with this error number.
    Error(i32),
}

/// A relocation against a target.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub outcome: Outcome,
    pub(super) matched: Option<Matched>,
}

/// An instruction's value that a relocation is for, by its class (include/uapi/linux/bpf_common.h).
fn value(insns: &Insns) -> u64 {
    let [code, _, off_low, off_high, a, b, c, d, _, _, _, _, e, f, g, h] = insns.0;
    let imm = i32::from_ne_bytes([a, b, c, d]);
    match code & 7 {
        // BPF_LDX, BPF_ST, BPF_STX
        1..=3 => i64::from(i16::from_ne_bytes([off_low, off_high])).cast_unsigned(),
        // BPF_LD: 64 bits in two instructions
        0 => u64::from(imm.cast_unsigned()) | u64::from(u32::from_ne_bytes([e, f, g, h])) << 32,
        _ => i64::from(imm).cast_unsigned(),
    }
}

/// Which part of the instruction holds it.
fn part(insns: &Insns) -> &'static str {
    match insns.0[0] & 7 {
        1..=3 => "off",
        0 => "imm64",
        _ => "imm",
    }
}

/// Bytes that a load or a store moves (BPF_SIZE); none of others.
fn moved(insns: &Insns) -> Option<u8> {
    let sizes = [4, 2, 1, 8];
    matches!(insns.0[0] & 7, 1..=3).then(|| sizes[usize::from(insns.0[0] >> 3 & 3)])
}

/// An object against a target.
#[derive(Debug)]
pub(crate) struct Walk {
    /// Of each relocation.
    pub answers: Vec<Answer>,
    /// Of each function.
    pub reached: Vec<Reached>,
}

impl Walk {
    /// Numbers of the helpers that programs call.
    pub fn helpers(&self) -> impl Iterator<Item = u32> {
        self.reached.iter().flat_map(|reached| reached.helpers.iter().copied())
    }
}

/// Walks all relocations of an object, in their order.
pub(crate) fn walk(object: &Object, target: &Target) -> Walk {
    let mut walker = Walker { object, target, candidates: HashMap::new(), spreads: HashMap::new(), left: WORK };
    let mut answers: Vec<Answer> = object.sites.iter().map(|site| walker.answer(site)).collect();
    let mut by_function: HashMap<usize, Vec<(&Site, &Answer)>> = HashMap::new();
    for both in object.sites.iter().zip(&answers) {
        by_function.entry(both.0.function).or_default().push(both);
    }
    let code = |(n, function): (usize, &Function)| {
        let mut code = function.code.clone();
        let mut sites = HashSet::new();
        for (site, answer) in by_function.get(&n).into_iter().flatten() {
            let at = site.insn(&object.functions) as usize;
            let patched = answer.matched.as_ref().map_or(site.insns, |matched| matched.insns);
            let place = code.get_mut(at * 8..).unwrap_or_default();
            place.iter_mut().zip(patched.0).for_each(|(to, from)| *to = from);
            sites.insert(at);
        }
        reached(&code, |at| sites.contains(&at))
    };
    let reached: Vec<Reached> = object.functions.iter().enumerate().map(code).collect();
    for (site, answer) in object.sites.iter().zip(&mut answers) {
        let at = site.insn(&object.functions) as usize;
        let runs = reached.get(site.function).is_none_or(|reached| reached.runs(at));
        if matches!(answer.outcome, Outcome::Missing) && !runs {
            answer.outcome = Outcome::Guarded;
        }
    }
    Walk { answers, reached }
}

/// What comparing an object's relocations with a kernel's types may cost: bytes of names, and some for each. Those of
/// coretrace come to a hundredth of it.
const WORK: u64 = 8 << 30;
/// The same of what one relocation follows from type to type.
const SPREAD: u64 = 1 << 24;

struct Walker<'a> {
    object: &'a Object,
    target: &'a Target,
    /// Of each local type, what can stand in for it.
    candidates: HashMap<u32, Vec<u32>>,
    /// Of each local type, how much of it libbpf follows, also into its members.
    spreads: HashMap<(u32, bool), u64>,
    /// What is left of the work that it may cost.
    left: u64,
}

impl Walker<'_> {
    fn answer(&mut self, site: &Site) -> Answer {
        let (object, target, id) = (self.object, self.target, site.relo.type_id);
        let failed = |errno| Answer { outcome: Outcome::Error(errno), matched: None };
        let found = self
            .candidates
            .entry(id)
            .or_insert_with(|| object.types.get(id).map(|local| target.types.candidates(&local)).unwrap_or_default());
        let steps = if site.asks_for_types() {
            const MATCHES: u32 = 12;
            let members = site.relo.kind == MATCHES;
            *self.spreads.entry((id, members)).or_insert_with(|| object.types.spread(id, members, SPREAD)) / 16
        } else {
            // Numbers with colons between them.
            object.access(&site.relo).map_or(1, |text| text.len() as u64)
        };
        let widest = u64::from(target.types.widest);
        let cost = steps.saturating_add(1).saturating_mul(widest).saturating_mul(found.len() as u64);
        let Some(left) = self.left.checked_sub(cost) else { return failed(Errno::E2BIG as i32) };
        self.left = left;
        let matched = match relo::resolve(&site.relo, &object.types.btf, &target.types.btf, found, site.insns) {
            Err(errno) => return failed(errno),
            Ok(matched) => matched,
        };
        let size = moved(&site.insns).zip(moved(&matched.insns)).filter(|(a, b)| a != b);
        let outcome = match matched.poisoned {
            true => Outcome::Missing,
            false => Outcome::Value { local: value(&site.insns), target: value(&matched.insns), size },
        };
        Answer { outcome, matched: Some(matched) }
    }
}

impl Site {
    /// The kind, in libbpf's word and in people's.
    pub fn kind(&self) -> (&'static str, &'static str) {
        KINDS.get(self.relo.kind as usize).copied().unwrap_or(("unknown", "unknown"))
    }

    /// It compares whole types, not the way to a member or a value.
    fn asks_for_types(&self) -> bool {
        matches!(self.relo.kind, 6..=9 | 12)
    }

    /// It asks whether something is there.
    pub fn asks(&self) -> bool {
        matches!(self.relo.kind, 2 | 8 | 10 | 12)
    }

    /// The value that was compiled, and how many bytes the instruction moves.
    pub fn local(&self) -> (u64, Option<u8>) {
        (value(&self.insns), moved(&self.insns))
    }

    /// Which part of its instruction is patched.
    pub fn part(&self) -> &'static str {
        part(&self.insns)
    }
}

impl Answer {
    /// What is asked for, in C: `struct task_struct.tgid`.
    pub fn spec(&self) -> String {
        self.matched.as_ref().map_or_else(String::new, |matched| in_c(&matched.local).to_owned())
    }

    /// The same of the target, with all that libbpf knows.
    pub fn target(&self) -> Option<&str> {
        self.matched.as_ref()?.target.as_deref()
    }

    /// Whether there is something in the target that answers to it (to an id of a local type, the object itself).
    pub fn is_there(&self) -> bool {
        self.target().is_some() || self.matched.as_ref().is_some_and(|matched| matched.local.starts_with("<local"))
    }

    /// Whether both mean the same.
    pub fn same(&self, other: &Answer) -> bool {
        match (&self.outcome, &other.outcome) {
            (Outcome::Value { target: a, size: s, .. }, Outcome::Value { target: b, size: t, .. }) => a == b && s == t,
            (Outcome::Missing, Outcome::Missing) | (Outcome::Guarded, Outcome::Guarded) => true,
            (Outcome::Error(a), Outcome::Error(b)) => a == b,
            _ => false,
        }
    }
}

/// `<byte_off> [42] struct cred.uid.val (0:1:0 @ offset 4)` → `struct cred.uid.val`
pub(super) fn in_c(spec: &str) -> &str {
    let from = spec.split_once("] ").map_or(spec, |(_, rest)| rest);
    from.rsplit_once(" (").map_or(from, |(name, _)| name)
}
