//! A way to hook in what a spec names: the programs, what they read, and the object with the instructions for it.

use anyhow::{Context, Result, anyhow, ensure};
use libbpf_rs::OpenObject;

use super::meaning::Meaning;
use super::probe::types::{probe_event, probe_state};
use super::recorded::Recorded;
use super::stacks::{self, Stack};
use super::totals::Aggregation;
use super::{OBJECT, probe};
use crate::error::Usage;
use crate::event::Shown;
use crate::flow::filter::CommGlobs;
use crate::load::plan::{self, Hook, Needed, Plan, Program, Target};
use crate::spec::ast;
use crate::spec::code::{self, Layout};
use crate::spec::error::SpecError;
use crate::spec::ir;
use crate::spec::parse;
use crate::spec::resolve::{ResolveError, Resolved, When, Words};
use crate::spec::splice::{self, Holes};
use crate::tracers::tracer::NOT_SEEN_BY_FEXIT;

/// A way to hook in.
#[derive(Debug)]
pub(super) struct Way {
    pub plan: Plan,
    /// The object, with the instructions of this spec.
    pub object: Vec<u8>,
    pub constants: Constants,
    pub meaning: Meaning,
    /// Hits are added up.
    pub aggregation: Option<Aggregation>,
    /// What is not as one might expect it: for the user, once.
    pub notes: Vec<String>,
}

/// What the object's constants have to be.
#[derive(Debug, Default)]
pub(super) struct Constants {
    pub slots: u32,
    pub words: u32,
    /// The word that has what is returned; 0: none.
    pub ret_word: u32,
    /// Bytes of a frame: what is kept of a call until it returns; 0: nothing is.
    pub frame: u32,
    pub texts: Vec<Vec<u8>>,
    pub globs: Vec<Vec<u8>>,
    /// The most bytes of strings that an entry has.
    pub tail: u32,
    /// The programs may sleep, to bring in what is not in memory.
    pub sleepable: bool,
    /// There is a condition.
    pub tests: bool,
    pub stack: Stack,
}

impl Constants {
    /// Sizes the map of calls that have not returned.
    pub fn size_frames(&self, object: &mut OpenObject) -> Result<()> {
        /// Bytes of all of them together …
        const MEMORY: u32 = 4 << 20;
        /// … but at least and at most so many.
        const CALLS: (u32, u32) = (256, 4096);
        let mut map = object.maps_mut().find(|map| map.name() == "frames").context("the object has no frames")?;
        if self.frame == 0 {
            return map.set_autocreate(false).context("leaving out the frames");
        }
        map.set_value_size(self.frame).context("sizing the frames")?;
        map.set_max_entries((MEMORY / self.frame).clamp(CALLS.0, CALLS.1)).context("sizing the frames")
    }

    pub fn set(&self, rodata: &mut probe::types::rodata) -> Result<()> {
        rodata.probe_slots = self.slots;
        rodata.probe_words = self.words;
        rodata.probe_ret_word = self.ret_word;
        rodata.probe_sleepable = self.sleepable.into();
        rodata.probe_tests = self.tests.into();
        rodata.stack_frames = self.stack.frames;
        rodata.stack_kernel = self.stack.kernel;
        rodata.stack_caller = self.stack.caller.into();
        if self.frame > 0 {
            rodata.probe_frame_bytes = self.frame;
        }
        ensure!(self.texts.len() <= rodata.texts.len(), "a condition may have {} strings", rodata.texts.len());
        for (n, text) in self.texts.iter().enumerate() {
            let (Some(to), Some(len)) = (rodata.texts.get_mut(n), rodata.text_lens.get_mut(n)) else { continue };
            let room = to.len();
            let to = to.get_mut(..text.len());
            to.with_context(|| format!("a string of a condition has at most {room} bytes"))?.copy_from_slice(text);
            *len = u32::try_from(text.len())?;
        }
        ensure!(self.globs.len() <= rodata.glob_start.len(), "a condition may have {} globs", rodata.glob_start.len());
        for (n, glob) in self.globs.iter().enumerate() {
            let machine = CommGlobs::of_text(glob).context("a glob of a condition").context(Usage)?;
            let places = (rodata.glob_start.get_mut(n), rodata.glob_loop.get_mut(n), rodata.glob_accept.get_mut(n));
            let (Some(start), Some(stay), Some(accept)) = places else { continue };
            (*start, *stay, *accept) = (machine.start, machine.loops, machine.accept);
            rodata.glob_table.get_mut(n).into_iter().for_each(|table| *table = machine.table);
        }
        Ok(())
    }
}

/// An error that shows the place in the spec.
pub(super) fn refused(spec: &ast::Spec, error: &ResolveError) -> anyhow::Error {
    let shown = parse::refused(spec, error.span.clone(), error.message.clone());
    anyhow!(SpecError { hints: error.hints.clone(), ..shown }).context(Usage)
}

/// Bytes of a frame: of an event from `duration_ns` on, with its slots and the strings of the entry.
fn frame_bytes(constants: &Constants) -> Result<u32> {
    use std::mem::offset_of;
    let fixed = u32::try_from(offset_of!(probe_event, value) - offset_of!(probe_event, duration_ns))?;
    Ok((fixed + 8 * constants.slots + constants.tail + constants.stack.bytes()?).next_multiple_of(8))
}

/// One or two programs, and what they read.
pub(super) struct Half {
    pub program: &'static str,
    pub when: When,
}

impl Half {
    /// Whether it may wait for what is not in memory: its name says it.
    fn may_sleep(&self) -> bool {
        self.program.ends_with("_sleepable")
    }

    /// When the kernel runs it.
    pub fn when(&self) -> plan::When {
        match self.when {
            When::Return | When::ReturnOf | When::Both => plan::When::Return,
            When::Entry | When::EntryOf => plan::When::Entry,
        }
    }
}

/// A way that may be tried: the words that its programs are given, and the programs, in the order in which they are
/// attached.
pub(super) type Candidate = (Hook, Words, Vec<Half>);

/// What of a call is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Entry and return in one event, where both are asked for.
    Call,
    /// The entry alone (`--entry`).
    Entry,
}

/// How a spec's hits are shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub part: Part,
    /// Structs that are known are not summed up.
    pub raw: bool,
    /// The most calls of each stack; 0: none is taken.
    pub frames: u8,
}

/// What a spec names.
pub(super) trait Subject {
    /// The ways that may be tried, the best first.
    fn candidates(&self, part: Part) -> Vec<Candidate>;
    /// What a program reads there: of the first of them, where several are hooked.
    fn resolved(&self, hook: Hook, words: Words, when: When, raw: bool) -> Result<Resolved>;
    /// Where a program goes.
    fn target(&self, half: &Half, hook: Hook) -> Target;
    /// Whether its programs run where functions of a program begin: when the frame of the call is not made yet.
    fn begins_functions(&self) -> bool {
        false
    }
    /// What has to be known to read its events, but for what each way reads. `name`: that of its kind.
    fn recorded(&self, kind: u32, name: &str) -> Recorded;
    /// What watching returns may do to the program.
    fn notes_of_returns(&mut self) -> Vec<String> {
        Vec::new()
    }
    /// What is not as one might expect it.
    fn take_notes(&mut self) -> Vec<String>;
}

/// The ways to hook what a spec names, the best first.
///
/// # Errors
/// When it cannot be resolved in any way: why not in the first one.
pub(super) fn ways(subject: &dyn Subject, kind: u32, wanted: Wanted) -> Result<Vec<Way>> {
    let (mut found, mut first) = (Vec::new(), None);
    for (hook, words, halves) in subject.candidates(wanted.part) {
        // What is in registers needs nothing to be brought in.
        if halves.iter().any(Half::may_sleep) && !reads_user(subject, hook, words, &halves) {
            continue;
        }
        match way(subject, kind, hook, words, &halves, wanted) {
            Ok(way) => found.push(way),
            Err(error) => first = first.or(Some(error)),
        }
    }
    match first {
        Some(error) if found.is_empty() => Err(error),
        _ => Ok(found),
    }
}

/// Whether a program's own memory is read, which may not be there yet.
fn reads_user(subject: &dyn Subject, hook: Hook, words: Words, halves: &[Half]) -> bool {
    halves.iter().any(|half| {
        let resolved = subject.resolved(hook, words, half.when, false);
        resolved.is_ok_and(|resolved| resolved.program.slots.iter().any(ir::Slot::reads_user))
    })
}

/// What is read of a call, and what it means.
pub(super) type Read = (ir::Program, Vec<Shown>);

/// What is read of these functions' calls, when they are hooked by probes.
///
/// # Errors
/// When the spec cannot be resolved.
pub(super) fn reads(subject: &dyn Subject) -> Result<Vec<Read>> {
    let all = subject.candidates(Part::Call);
    let (hook, words, halves) = all.last().context("nothing is hooked")?;
    let read = |half: &Half| {
        let resolved = subject.resolved(*hook, *words, half.when, false)?;
        Ok((resolved.program, resolved.shown))
    };
    halves.iter().map(read).collect()
}

fn way(subject: &dyn Subject, kind: u32, hook: Hook, words: Words, halves: &[Half], wanted: Wanted) -> Result<Way> {
    let mut way = Way {
        plan: Plan { hook, programs: Vec::new(), not_seen: "".into() },
        object: OBJECT.bytes().to_vec(),
        constants: Constants::default(),
        meaning: Meaning::default(),
        aggregation: None,
        notes: Vec::new(),
    };
    way.constants.sleepable = halves.iter().any(Half::may_sleep);
    // The entry's slots come first, and it is attached last.
    for half in halves.iter().rev() {
        way.add(subject, hook, words, half.when, wanted.raw)?;
    }
    way.meaning.stack = wanted.frames;
    way.meaning.kernel_stack = wanted.frames > 0 && !hook.is_user();
    way.constants.stack = stacks::taken(&way.meaning, subject.begins_functions());
    way.meaning.itself = way.meaning.kernel_stack && hook == Hook::Fentry;
    for half in halves {
        let program = Program::new(half.program, Needed::Kinds(vec![kind]));
        way.plan.programs.push(program.on(subject.target(half, hook)));
    }
    if halves.len() > 1 {
        way.constants.frame = frame_bytes(&way.constants)?;
        way.meaning.timed = true;
        way.plan.not_seen = match hook {
            Hook::Fentry => NOT_SEEN_BY_FEXIT,
            Hook::Kprobe | Hook::KprobeMulti => NOT_SEEN_BY_KRETPROBE,
            _ => "",
        }
        .into();
    }
    Ok(way)
}

/// kernel/kprobes.c: register_kretprobe (maxactive); kernel/trace/fprobe.c.
const NOT_SEEN_BY_KRETPROBE: &str = "the returns of calls, where more are under way at once than the kernel watches (before 6.0: as many as there are CPUs)";

impl Way {
    /// Resolves one program, and puts its instructions into the object.
    fn add(&mut self, subject: &dyn Subject, hook: Hook, words: Words, when: When, raw: bool) -> Result<()> {
        let resolved = subject.resolved(hook, words, when, raw)?;
        let (first, program) = (self.constants.slots as usize, &resolved.program);
        let holes = if when == When::ReturnOf { splice::RETURN } else { splice::ENTRY };
        let generated = code::generate(program, &layout(&self.constants, holes)?)?;
        self.object = splice::splice(&self.object, holes, &generated)?;
        let constants = &mut self.constants;
        constants.slots += u32::try_from(program.slots.len())?;
        ensure!(constants.slots as usize <= ir::SLOTS_MAX, "more values than there is room for");
        constants.words = constants.words.max(program.words);
        constants.tests |= program.test.is_some();
        if when == When::EntryOf {
            constants.tail = program.slots.iter().map(|slot| slot.read.longest()).sum();
        }
        constants.texts.extend(generated.texts);
        constants.globs.extend(generated.globs);
        if when.has_result() && matches!(words, Words::Typed) {
            constants.ret_word = resolved.result_words.saturating_sub(1);
            constants.words = constants.words.max(resolved.result_words);
        }
        for shown in resolved.shown {
            let shown = shown.moved(first);
            let is_result = when.has_result() && shown.name == "ret";
            if is_result { self.meaning.ret = Some(shown) } else { self.meaning.args.push(shown) }
        }
        self.notes.extend(resolved.notes);
        Ok(())
    }
}

/// Where things are in `struct scratch`, for a program behind so much of the same record.
fn layout(before: &Constants, holes: Holes) -> Result<Layout> {
    use std::mem::offset_of;
    let record = offset_of!(probe::types::scratch, record);
    // STATE_AT of probe.bpf.h.
    let state = size_of::<probe::types::scratch>() - size_of::<probe_state>();
    let at = |offset: usize| u32::try_from(offset).context("the scratch space");
    let (test_room, fetch_room) = splice::room(OBJECT.bytes(), holes)?;
    Ok(Layout {
        words: at(state + offset_of!(probe_state, words))?,
        ret: at(state + offset_of!(probe_state, ret))?,
        duration: at(state + offset_of!(probe_state, duration))?,
        task: at(state + offset_of!(probe_state, task))?,
        values: at(record + offset_of!(probe_event, value))?,
        unread: at(record + offset_of!(probe_event, unread))?,
        undecided: at(state + offset_of!(probe_state, undecided))?,
        first: before.slots as usize,
        texts: before.texts.len(),
        globs: before.globs.len(),
        sleepable: before.sleepable,
        test_room,
        fetch_room,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_of_conditions_are_those_of_the_programs() {
        fn size<T, const ROWS: usize, const COLUMNS: usize>(
            _: fn(&probe::types::rodata) -> &[[T; COLUMNS]; ROWS],
        ) -> (usize, usize) {
            (ROWS, COLUMNS)
        }
        assert_eq!(size(|rodata| &rodata.texts), (ir::TEXTS_MAX, ir::TEXT_MAX));
        assert_eq!(size(|rodata| &rodata.glob_table).0, ir::GLOBS_MAX);
        assert!(CommGlobs::of_text(&[b'?'; ir::GLOB_MAX]).is_ok());
        assert!(CommGlobs::of_text(&[b'?'; ir::GLOB_MAX + 1]).is_err());
    }
}
