//! What can be probed in binaries, for `--list` and for `check`.

use std::sync::Arc;

use anyhow::{Context, Result, anyhow};

use crate::error::Usage;
use crate::load::plan::{Binary, Hook, Needed, Place, Plan, Program, Target, When};
use crate::spec::parse::Grammar;
use crate::spec::resolve::user::{Listed, list_functions, list_statics};
use crate::tracers::opening::Opening;

/// Each way, on coretrace itself: for `check`, which is asked about no spec.
pub(super) fn samples(kind: u32) -> Vec<Plan> {
    // The header of the file, which is never executed.
    let binary = Arc::new(Binary { path: "/proc/self/exe".into(), places: vec![Place { offset: 0, semaphore: 0 }] });
    let plan = |hook, programs: [(&'static str, When); 2]| {
        let program = |(name, when)| {
            let target = Target::User { binary: Arc::clone(&binary), when, together: hook == Hook::UprobeMulti };
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
pub(super) fn list(what: &str, grammar: Grammar, opening: &Opening<'_>) -> Result<Vec<String>> {
    // Names of functions may have colons in them (C++, Rust).
    let mut words = what.splitn(if grammar == Grammar::Usdt { 3 } else { 2 }, ':');
    let (word, first, second) = (words.next().unwrap_or_default(), words.next(), words.next());
    let found = opening.binaries(word).context(Usage)?;
    let (mut lines, mut first_wrong) = (Vec::new(), None);
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
                Err(wrong) => {
                    first_wrong.get_or_insert(wrong);
                    Vec::new()
                }
            },
        };
        lines.extend(listed.iter().map(|one| listed_line(&binary.name, one)));
    }
    match first_wrong {
        Some(wrong) if lines.is_empty() => Err(anyhow!(wrong).context(Usage)),
        _ => Ok(lines),
    }
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
