//! A subcommand that traces specs: its options, what its specs become, and what it can list. Its grammar is all that is its own.

use anyhow::{Context, Result, anyhow, ensure};
use libbpf_rs::OpenObject;

use super::hooked::Hooked;
use super::in_binary::InBinary;
use super::kinds::{FIRST_KIND, SPECS_MAX};
use super::tracer::SpecTracer;
use super::way::{Part, Subject, Wanted};
use super::{in_kernel, list as of_kernel, probe, stacks, totals, user};
use crate::error::Usage;
use crate::ffi::skeleton::constants;
use crate::load::plan::Plan;
use crate::load::session::Session;
use crate::spec::ast::{How, Spec, Target};
use crate::spec::parse::{Grammar, parse};
use crate::tracers::opening::Opening;
use crate::tracers::tracer::{Info, Tracer};

/// How hits are shown.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Shown {
    /// An event when a function is called and one when it returns, not one for both
    #[arg(long, conflicts_with_all = ["count_by", "sum", "hist"], help_heading = "Output")]
    pub entry: bool,
    /// An event when a function is called, with its arguments; nothing waits for its return
    #[arg(long, conflicts_with = "entry", help_heading = "Output")]
    pub entry_only: bool,
    /// Addresses, where structs that are known would be summed up
    #[arg(long, help_heading = "Output")]
    pub raw: bool,
    /// The calls that led there, innermost first: at most N of the kernel's and N of the program's (64, where no N is given)
    #[arg(
        long,
        value_name = "N",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "64",
        value_parser = clap::value_parser!(u8).range(1..=i64::from(stacks::FRAMES_MAX)),
        conflicts_with_all = ["count_by", "sum", "hist"],
        help_heading = "Output"
    )]
    pub stack: Option<u8>,
    /// What is added up in the kernel.
    #[command(flatten)]
    pub totals: totals::Options,
}

/// The tracers that these specs become on this host.
pub(crate) fn open(
    info: &'static Info,
    specs: &[String],
    shown: &Shown,
    grammar: Grammar,
    opening: &mut Opening<'_>,
) -> Result<Vec<Box<dyn Tracer>>> {
    let mut all: Vec<Box<dyn Tracer>> = Vec::new();
    let request = shown.totals.request()?;
    let targets: Vec<Target> = specs.iter().filter_map(|text| Some(parse(text, grammar).ok()?.target)).collect();
    for text in specs {
        let spec = match &request {
            Some(request) => request.spec(text, grammar)?,
            None => parse(text, grammar).context(Usage)?,
        };
        // Where a call is waited for to no end, its entry is enough.
        let counts_at_entry = request.is_some() && hooks_calls(&spec.target) && !totals::asks_for_return(&spec);
        let at_entry = counts_at_entry || (shown.entry_only && hooks_calls(&spec.target));
        let parts: &[Part] = match (shown.entry && is_function(&spec.target), at_entry) {
            (true, _) => &[Part::Entry, Part::Call],
            (false, true) => &[Part::Entry],
            (false, false) => &[Part::Call],
        };
        let most = SPECS_MAX.saturating_sub(opening.specs) / parts.len();
        ensure!(
            most > 0,
            anyhow!("a run has at most {SPECS_MAX} specs (with --entry, each function is two)").context(Usage)
        );
        // One for all tracepoints that a glob matches.
        let label = (grammar == Grammar::Probe).then(|| in_kernel::named(&spec.target));
        // Of specs that differ only in what they ask for, rows have to say which they are of.
        let is_one_of_several = targets.iter().filter(|target| **target == spec.target).count() > 1;
        let of_spec = is_one_of_several.then_some(text.as_str());
        for mut subject in subjects(spec, grammar, opening, most)? {
            for part in parts {
                let kind = FIRST_KIND + u32::try_from(opening.specs)?;
                opening.specs += 1;
                let watches_returns = *part == Part::Call && grammar == Grammar::Uprobe;
                let mut notes = if watches_returns { subject.notes_of_returns() } else { Vec::new() };
                notes.retain(|note| !opening.notes.contains(note));
                opening.notes.append(&mut notes);
                // Structs that are known are no values to add up by; their addresses are.
                let raw = shown.raw || request.is_some();
                let wanted = Wanted { part: *part, raw, frames: shown.stack.unwrap_or(0) };
                let mut tracer = SpecTracer::new(info, subject.as_ref(), kind, wanted, opening)?;
                request.iter().try_for_each(|request| tracer.aggregate(request, label.as_deref(), of_spec))?;
                all.push(Box::new(tracer));
            }
            opening.notes.extend(subject.take_notes());
        }
    }
    Ok(all)
}

/// What a spec names on this host, in at most `most` groups.
fn subjects(spec: Spec, grammar: Grammar, opening: &Opening<'_>, most: usize) -> Result<Vec<Box<dyn Subject>>> {
    fn boxed<S: Subject + 'static>(all: Vec<S>) -> Vec<Box<dyn Subject>> {
        all.into_iter().map(|one| -> Box<dyn Subject> { Box::new(one) }).collect()
    }
    match grammar {
        Grammar::Probe => Hooked::all(spec, opening, most).map(boxed),
        Grammar::Uprobe | Grammar::Usdt => InBinary::all(&spec, opening, most).map(boxed),
    }
}

/// Whether a target is called, and returns.
fn is_function(target: &Target) -> bool {
    matches!(target, Target::Function { .. } | Target::Syscall { .. } | Target::User { .. })
}

/// Whether a target means calls, from their entry to their return.
fn hooks_calls(target: &Target) -> bool {
    is_function(target) && !matches!(target, Target::Function { how, .. } if *how != How::Any)
}

/// Each way to hook in, on what is everywhere: for `check`, which is asked about no spec.
pub(crate) fn samples(kind: u32, grammar: Grammar) -> Vec<Plan> {
    match grammar {
        Grammar::Probe => in_kernel::samples(),
        Grammar::Uprobe | Grammar::Usdt => user::samples(kind),
    }
}

/// What can be probed, one on each line.
pub(crate) fn list(what: &str, grammar: Grammar, opening: &Opening<'_>) -> Result<Vec<String>> {
    match grammar {
        Grammar::Probe => of_kernel::list(what, opening),
        Grammar::Uprobe | Grammar::Usdt => user::list(what, grammar, opening),
    }
}

/// The constants of programs that are loaded to see whether they can be.
pub(crate) fn configure_sample(session: &Session, object: &mut OpenObject) -> Result<()> {
    constants!(probe, session, object, |rodata| {
        rodata.probe_kind = FIRST_KIND;
    })
}

/// The tracer of a spec in a recording.
pub(crate) fn replayed(info: &'static Info, recorded: &serde_json::Value) -> Result<Box<dyn Tracer>> {
    Ok(Box::new(SpecTracer::replayed(info, recorded)?))
}

/// The tracer of such specs, whose options have `specs`, `list` and `shown`.
macro_rules! spec_tracer {
    ($tracer:ident, $name:literal, $kind:expr, $grammar:expr, $about:literal) => {
        /// What is so of it whatever the options are.
        static INFO: $crate::tracers::tracer::Info = $crate::tracers::tracer::Info {
            embedded: $crate::load::source::Embedded { name: $name, ..$crate::tracers::specs::EMBEDDED },
            about: $about,
            layout: $crate::tracers::specs::LAYOUT,
        };

        impl $crate::event::decode::Decode for $tracer {
            fn decode<'a>(&'a self, _: &'a [u8]) -> anyhow::Result<$crate::event::Event<'a>> {
                Err(anyhow::anyhow!("an event of a spec that is not known"))
            }
        }

        impl $crate::load::source::Source for $tracer {
            fn embedded(&self) -> &'static $crate::load::source::Embedded {
                &INFO.embedded
            }

            fn plans(&self) -> Vec<$crate::load::plan::Plan> {
                $crate::tracers::specs::subcommand::samples($kind.id, $grammar)
            }

            fn configure(
                &self,
                session: &$crate::load::session::Session,
                _: &$crate::load::plan::Plan,
                object: &mut libbpf_rs::OpenObject,
            ) -> anyhow::Result<()> {
                $crate::tracers::specs::subcommand::configure_sample(session, object)
            }
        }

        impl $crate::tracers::tracer::Tracer for $tracer {
            fn info(&self) -> &'static $crate::tracers::tracer::Info {
                &INFO
            }

            fn kinds(&self) -> &[$crate::event::Kind] {
                std::slice::from_ref(&$kind)
            }

            fn takes_specs(&self) -> bool {
                true
            }

            fn aggregates(&self) -> bool {
                self.shown.totals.are_given()
            }

            fn list(&self, opening: &$crate::tracers::opening::Opening<'_>) -> anyhow::Result<Option<Vec<String>>> {
                let list = self.list.as_ref();
                list.map(|what| $crate::tracers::specs::subcommand::list(what, $grammar, opening)).transpose()
            }

            fn open(
                &self,
                opening: &mut $crate::tracers::opening::Opening<'_>,
            ) -> anyhow::Result<Option<Vec<Box<dyn $crate::tracers::tracer::Tracer>>>> {
                $crate::tracers::specs::subcommand::open(&INFO, &self.specs, &self.shown, $grammar, opening).map(Some)
            }

            fn replayed(
                &self,
                recorded: &serde_json::Value,
            ) -> anyhow::Result<Option<Box<dyn $crate::tracers::tracer::Tracer>>> {
                $crate::tracers::specs::subcommand::replayed(&INFO, recorded).map(Some)
            }

            fn table(&self, room: $crate::output::tables::Room) -> $crate::output::tables::Table {
                $crate::tracers::specs::table(room)
            }

            fn beat(&self, _: &$crate::load::session::Session) -> Option<$crate::flow::heartbeat::Beat> {
                None
            }
        }
    };
}
pub(crate) use spec_tracer;
