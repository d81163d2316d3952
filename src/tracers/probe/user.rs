//! What `uprobe` and `usdt` have in common: all but their grammars.

use std::sync::Arc;

use anyhow::{Context, Result, anyhow, ensure};

use super::hit::Hit;
use super::in_binary::InBinary;
use super::way::{Part, ways};
use super::{FIRST_KIND, SPECS_MAX, totals};
use crate::binary::find::{Scene, binaries};
use crate::error::Usage;
use crate::load::plan::{self as load, Binary, Hook, Needed, Place, Plan, Program, When};
use crate::spec::ast::Target;
use crate::spec::parse::{Grammar, parse};
use crate::spec::resolve::user::{Listed, list_functions, list_statics};
use crate::tracers::{Info, Opening, Tracer};

/// The options that both have.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Specs {
    /// An event when a function is called and one when it returns, not one for both
    #[arg(long, help_heading = "Output")]
    pub entry: bool,
    /// Addresses, where structs that are known would be summed up
    #[arg(long, help_heading = "Output")]
    pub raw: bool,
    /// List what can be probed in BINARY, or with -p in a process, and end; BINARY:GLOB: what matches
    #[arg(long, value_name = "BINARY", num_args = 0..=1, default_missing_value = "", conflicts_with = "specs",
        help_heading = "Output")]
    pub list: Option<String>,
    #[command(flatten)]
    pub totals: totals::Options,
}

/// The tracers that these specs become on this host.
pub(crate) fn open(
    info: &'static Info,
    specs: &[String],
    options: &Specs,
    grammar: Grammar,
    opening: &mut Opening<'_>,
) -> Result<Vec<Box<dyn Tracer>>> {
    let mut all: Vec<Box<dyn Tracer>> = Vec::new();
    let asked = options.totals.asked()?;
    for text in specs {
        let spec = match &asked {
            Some(asked) => asked.spec(text, grammar)?,
            None => parse(text, grammar).context(Usage)?,
        };
        let is_function = matches!(spec.target, Target::User { .. });
        let at_entry = asked.is_some() && is_function && !totals::asks_for_return(&spec);
        let parts: &[Part] = match (options.entry && is_function, at_entry) {
            (true, _) => &[Part::Entry, Part::Call],
            (false, true) => &[Part::Entry],
            (false, false) => &[Part::Call],
        };
        let most = SPECS_MAX.saturating_sub(opening.specs) / parts.len();
        ensure!(most > 0, anyhow!("at most {SPECS_MAX} specs can be given").context(Usage));
        for one in InBinary::all(&spec, opening, most)? {
            for part in parts {
                let kind = FIRST_KIND + u32::try_from(opening.specs)?;
                opening.specs += 1;
                let ways = ways(&one, kind, *part, options.raw || asked.is_some())?;
                let recorded = one.recorded(kind, info.embedded.name);
                let label = recorded.func.clone();
                let mut hit = Hit::new(info, recorded, ways, opening)?;
                if let Some(asked) = &asked {
                    hit.add_up(asked, &label)?;
                }
                all.push(Box::new(hit));
            }
            opening.notes.extend(one.notes);
        }
    }
    Ok(all)
}

/// Each way, on coretrace itself: for `check`, which is asked about no spec.
pub(crate) fn samples(kind: u32) -> Vec<Plan> {
    // The header of the file, which is never executed.
    let binary = Arc::new(Binary { path: "/proc/self/exe".into(), places: vec![Place { offset: 0, semaphore: 0 }] });
    let plan = |hook, programs: [(&'static str, When); 2]| {
        let program = |(name, when)| {
            let target = load::Target::User { binary: Arc::clone(&binary), when, together: hook == Hook::UprobeMulti };
            Program::new(name, Needed::Kinds(vec![kind])).on(target)
        };
        Plan { hook, programs: programs.map(program).to_vec(), not_seen: "".into() }
    };
    vec![
        plan(Hook::UprobeMulti, [("uprobe_return_multi", When::Return), ("uprobe_enter_multi", When::Entry)]),
        plan(Hook::Uprobe, [("uprobe_return", When::Return), ("uprobe_enter", When::Entry)]),
    ]
}

/// What can be probed in a binary, or in all that a process has mapped.
pub(crate) fn list(what: &str, grammar: Grammar, opening: &Opening<'_>) -> Result<Vec<String>> {
    let mut words = what.split(':');
    let (word, first, second) = (words.next().unwrap_or_default(), words.next(), words.next());
    let path = std::env::var_os("PATH");
    let scene = opening.process.map_or(Scene::Host { path: path.as_deref() }, Scene::Process);
    let found = binaries(word, scene).map_err(|fault| {
        let hints: String = fault.hints.iter().map(|hint| format!("\n  {hint}")).collect();
        anyhow!("{}{hints}", fault.message).context(Usage)
    })?;
    let mut lines = Vec::new();
    for binary in &found {
        let listed = match grammar {
            Grammar::Usdt => {
                let (provider, name) = match (first, second) {
                    (Some(provider), Some(name)) => (provider, name),
                    (Some(name), None) => ("", name),
                    _ => ("", ""),
                };
                list_statics(binary, provider, name)
            }
            // Of all that a process has mapped, one may have it.
            _ => match list_functions(binary, first.unwrap_or_default()) {
                Ok(listed) => listed,
                Err(_) if found.len() > 1 => Vec::new(),
                Err(wrong) => return Err(anyhow!(wrong.message).context(Usage)),
            },
        };
        lines.extend(listed.iter().map(|one| listed_line(&binary.name, one)));
    }
    Ok(lines)
}

/// `libc.so.6:malloc  0x9d4a0  void *malloc(size_t size)`
fn listed_line(binary: &str, one: &Listed) -> String {
    let mut line = format!("{binary}:{}", one.name);
    line.push_str(&one.offset.map_or_else(|| "  (not in the file)".to_owned(), |offset| format!("  {offset:#x}")));
    one.text.iter().filter(|text| !text.is_empty()).for_each(|text| line.push_str(&format!("  {text}")));
    one.note.iter().filter(|note| !note.is_empty()).for_each(|note| line.push_str(&format!("  [{note}]")));
    if one.semaphore {
        line.push_str("  (semaphore)");
    }
    line
}

/// A tracer of specs in binaries.
macro_rules! user_tracer {
    ($tracer:ident, $name:literal, $kind:literal, $grammar:expr, $doc:literal, $about:literal) => {
        pub(crate) static KINDS: [$crate::event::Kind; 1] =
            [$crate::event::Kind::new($kind, $name, $doc, $crate::tracers::probe::FIELDS)];

        /// What is so of it whatever the options are.
        static INFO: $crate::tracers::Info = $crate::tracers::Info {
            embedded: $crate::load::source::Embedded { name: $name, ..$crate::tracers::probe::EMBEDDED },
            about: $about,
            layout: $crate::tracers::probe::LAYOUT,
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
                $crate::tracers::probe::user::samples($kind)
            }

            fn configure(
                &self,
                session: &$crate::load::session::Session,
                _: &$crate::load::plan::Plan,
                object: &mut libbpf_rs::OpenObject,
            ) -> anyhow::Result<()> {
                $crate::tracers::probe::configure_sample(session, object)
            }
        }

        impl $crate::tracers::Tracer for $tracer {
            fn info(&self) -> &'static $crate::tracers::Info {
                &INFO
            }

            fn kinds(&self) -> &[$crate::event::Kind] {
                &KINDS
            }

            fn takes_specs(&self) -> bool {
                true
            }

            fn adds_up(&self) -> bool {
                self.shared.totals.are_given()
            }

            fn list(&self, opening: &$crate::tracers::Opening<'_>) -> anyhow::Result<Option<Vec<String>>> {
                let list = self.shared.list.as_ref();
                list.map(|what| $crate::tracers::probe::user::list(what, $grammar, opening)).transpose()
            }

            fn open(
                &self,
                opening: &mut $crate::tracers::Opening<'_>,
            ) -> anyhow::Result<Option<Vec<Box<dyn $crate::tracers::Tracer>>>> {
                $crate::tracers::probe::user::open(&INFO, &self.specs, &self.shared, $grammar, opening).map(Some)
            }

            fn replayed(
                &self,
                recorded: &serde_json::Value,
            ) -> anyhow::Result<Option<Box<dyn $crate::tracers::Tracer>>> {
                $crate::tracers::probe::replayed(&INFO, recorded).map(Some)
            }

            fn table(&self, room: $crate::output::tables::Room) -> $crate::output::tables::Table {
                $crate::tracers::probe::table(room)
            }

            fn beat(&self, _: &$crate::load::session::Session) -> Option<$crate::flow::heartbeat::Beat> {
                None
            }
        }
    };
}
pub(crate) use user_tracer;
