//! What has to be known of a spec to read its events: a recording carries it.

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::kinds::{FIELDS, FIRST_KIND, SPECS_MAX, of_subcommand};
use super::meaning::Meaning;
use super::probe::types::probe_event;
use super::stacks;
use crate::event::decode;
use crate::event::{Event, Group, Kind, Slots, Value};
use crate::host::addresses::Addresses;

/// What a spec's events mean.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Recorded {
    /// The spec, as it was written.
    pub spec: String,
    pub kind: u32,
    /// The name of its kind.
    pub name: String,
    /// What is hooked, as events name it.
    pub func: String,
    /// Of several functions, where each begins, in that order.
    pub functions: Vec<(u64, String)>,
    /// How an event says which of them it is.
    pub by: By,
    pub ways: Vec<Meaning>,
}

/// What an event knows of where it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum By {
    /// The address of the instruction.
    Code,
    /// What the probe was attached with.
    Cookie,
    /// The address of the instruction, in a file that is mapped anywhere: where it is in its page.
    Page,
}

impl Recorded {
    /// The kind that its events have.
    ///
    /// # Errors
    /// When the number is none of a spec.
    pub fn kind(&self) -> Result<Kind> {
        let number = self.kind.checked_sub(FIRST_KIND).and_then(|number| usize::try_from(number).ok());
        ensure!(number.is_some_and(|number| number < SPECS_MAX), "{} is no kind of a spec", self.kind);
        let generic = of_subcommand(&self.name).with_context(|| format!("{:?} is no kind of a spec", self.name))?;
        Kind::owned(self.kind, generic.name.to_string(), generic.doc.to_string(), FIELDS.to_vec())
    }

    /// Whether its values are a program's.
    pub fn is_of_program(&self) -> bool {
        self.name != super::kinds::PROBE.name
    }

    /// Whether addresses of the kernel are shown by the names that they have there.
    pub fn has_symbols(&self) -> bool {
        let shown = self.ways.iter().flat_map(|way| way.args.iter().chain(&way.ret));
        shown.into_iter().any(|shown| shown.kind.has_symbols())
    }

    /// An event of it. `symbols`: names for addresses.
    pub fn decode<'a>(&'a self, kind: &'a Kind, symbols: Option<&'a Addresses>, sample: &'a [u8]) -> Result<Event<'a>> {
        let (e, _) = decode::split::<probe_event>(sample)?;
        ensure!(e.head.kind == kind.id, "an event of the unknown kind {}", e.head.kind);
        let way = self.ways.get(usize::from(e.way)).context("a way to hook in that the spec does not have")?;
        let mut event = e.head.event(kind, sample)?;
        let slots = Slots::new(sample, std::mem::offset_of!(probe_event, value), e.slots.into(), e.unread);
        let slots = slots.with(symbols).of_program(self.is_of_program());
        event.push("func", Value::Str(self.func(e.ip).as_bytes()));
        event.push("args", Value::Group(Group::new(&way.args, slots)));
        if let Some(ret) = &way.ret {
            event.push("ret", slots.value(&ret.kind));
        }
        if way.timed {
            event.push("duration", Value::Span(e.duration_ns));
        }
        if way.stack > 0 {
            stacks::push(&mut event, way, &e, self.func(e.ip), sample)?;
        }
        e.head.add_above(&mut event, sample)?;
        Ok(event)
    }

    /// The function that all events are of, if there is one only.
    pub fn only_function(&self) -> Option<&str> {
        match self.functions.as_slice() {
            [] => Some(&self.func),
            [(_, name)] => Some(name),
            _ => None,
        }
    }

    /// The function that was called.
    pub fn func(&self, ip: u64) -> &str {
        let found = match self.by {
            By::Code => return self.func_of_code(ip),
            By::Cookie => {
                self.functions.binary_search_by_key(&ip, |(at, _)| *at).ok().and_then(|n| self.functions.get(n))
            }
            By::Page => self.functions.iter().find(|(at, _)| in_page(*at) == in_page(ip)),
        };
        found.map_or(&self.func, |(_, name)| name)
    }

    /// The function that an address is at the beginning of: behind what is there for tracing and for jumps.
    fn func_of_code(&self, ip: u64) -> &str {
        /// A call of ftrace's, `endbr64`, and a byte or two of a breakpoint.
        const BEHIND: u64 = 16;
        let before = self.functions.partition_point(|(address, _)| *address <= ip);
        let found = before.checked_sub(1).and_then(|at| self.functions.get(at));
        let found = found.filter(|(address, _)| ip.saturating_sub(*address) <= BEHIND);
        found.map_or(&self.func, |(_, name)| name)
    }
}

/// Where an address is in its page: the same in the file, and wherever that is mapped.
pub(super) fn in_page(at: u64) -> u64 {
    const PAGE: u64 = 4096;
    at % PAGE
}
