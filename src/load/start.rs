//! From tracers to attached programs: of each object, the first plan that works on this kernel.

use std::fmt;
use std::ops::Range;

use anyhow::{Result, anyhow};
use nix::errno::Errno;

use crate::error::Usage;
use crate::ffi::log::{blame, log_len, mark_log};
use crate::load::attached::{Attached, Part};
use crate::load::diagnose::errno;
use crate::load::kin::{self, Kin};
use crate::load::labels::Labels;
use crate::load::object;
use crate::load::plan::{Hook, NO_KERNEL_BTF, Plan, Program, in_order};
use crate::load::proof::Misfit;
use crate::load::session::Session;
use crate::load::shared::Shared;
use crate::load::source::Source;
use crate::load::types::RunTypes;

/// Loads and attaches the first source, then the others as extras. `refused` is called for each extra that cannot be
/// attached, and returns an error if the run must end.
///
/// # Errors
/// When the first source cannot be attached, with the cause for each plan tried.
pub fn start(
    session: &Session,
    sources: &[&dyn Source],
    refused: &mut dyn FnMut(&str, anyhow::Error) -> Result<()>,
) -> Result<Attached> {
    // Another plan would fail as well.
    session.settings.labels.as_ref().map_or(Ok(()), Labels::check)?;
    let kin: &[&dyn Source] = if session.settings.filter_pids { &[&Kin] } else { &[] };
    let types = RunTypes::of(&session.btf, kin.iter().chain(sources).copied())?;
    let mut starter = Starter { session, types, shared: None };
    let mut kin = None;
    if session.settings.filter_pids {
        // Independent of --attach: hooks on which the kernel does not interrupt it are best, as what it misses is never
        // seen.
        let before = |program: &&Program| !kin::is_last(program);
        kin = Some(starter.first_that_works(&Kin, None, &before)?);
    }
    let mut parts = Vec::new();
    for (n, source) in sources.iter().enumerate() {
        // An extra may not have the way that --attach names.
        let has = |hook: &Hook| n == 0 || source.plans().iter().any(|plan| plan.hook == *hook);
        match starter.first_that_works(*source, session.hook.filter(has), &|_| true) {
            Ok(mut part) => {
                part.source = n;
                parts.push(part);
            }
            Err(error) if n > 0 && !error.is::<Misfit>() => refused(source.name(), error)?,
            Err(error) => return Err(error),
        }
    }
    if let Some(kin) = &mut kin {
        kin.attach(&kin::is_last)?;
    }
    // The object that has the maps.
    if let Some(first) = kin.iter_mut().chain(&mut parts).next() {
        first.pin_labels(session)?;
    }
    let shared = starter.shared.ok_or_else(|| anyhow!("there is nothing to trace"))?;
    Ok(Attached { shared, parts, kin })
}

/// How often it is begun again because modules were loaded or unloaded meanwhile.
const MODULES_CHANGE: usize = 3;

/// What all objects of a run are loaded with.
struct Starter<'a> {
    session: &'a Session,
    types: RunTypes,
    /// The maps, once there is an object that works.
    shared: Option<Shared>,
}

impl Starter<'_> {
    /// Tries the plans of a source in order, and attaches the programs that `meant` selects.
    fn first_that_works(
        &mut self,
        source: &dyn Source,
        hook: Option<Hook>,
        meant: &dyn Fn(&&Program) -> bool,
    ) -> Result<Part> {
        let session = self.session;
        let mut refused: Vec<Refused> = Vec::new();
        for plan in in_order(source.plans(), hook, |hook| session.preempted.contains(&hook)) {
            let hook = plan.hook;
            if hook.needs_kernel_btf() && !session.kernel_btf {
                refused.push(Refused { hook, tried: None, why: anyhow!(NO_KERNEL_BTF) });
                continue;
            }
            let log_start = mark_log();
            match self.attempt(source, plan, meant) {
                Ok(mut part) => {
                    part.refused = refused.iter().map(ToString::to_string).collect();
                    return Ok(part);
                }
                // The types are wrong, not the way to attach.
                Err(error) if error.is::<Misfit>() => return Err(error),
                Err(why) => refused.push(Refused { hook, tried: Some(log_start..log_len()), why }),
            }
        }
        Err(if refused.is_empty() { anyhow!(no_such_way(source)).context(Usage) } else { none_works(refused) })
    }

    /// Where a module comes or goes meanwhile, once more: it would not be known what of it is hooked.
    fn attempt(&mut self, source: &dyn Source, plan: Plan, meant: &dyn Fn(&&Program) -> bool) -> Result<Part> {
        let mut part = self.attempt_once(source, plan.clone(), meant)?;
        for _ in 0..MODULES_CHANGE {
            if part.is_settled() {
                break;
            }
            drop(part);
            part = self.attempt_once(source, plan.clone(), meant)?;
        }
        Ok(part)
    }

    fn attempt_once(&mut self, source: &dyn Source, plan: Plan, meant: &dyn Fn(&&Program) -> bool) -> Result<Part> {
        let session = self.session;
        let loaded = object::load(session, &self.types, source, &plan, self.shared.as_ref())?;
        // Made for the first object; kept only once its programs are attached, as another plan may be the one that works.
        let made = self.shared.is_none().then(|| Shared::of(session, &loaded.object)).transpose()?;
        let notes = source.notes(&plan).to_vec();
        let mut part = Part::new(source.name(), plan, loaded);
        part.notes = notes;
        part.attach(&|program| meant(&program))?;
        if made.is_some() {
            self.shared = made;
        }
        Ok(part)
    }
}

/// A plan that does not work.
struct Refused {
    hook: Hook,
    /// The range of libbpf's messages about it; none: it was not tried.
    tried: Option<Range<usize>>,
    why: anyhow::Error,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:#}", self.hook.name(), self.why)
    }
}

/// No plan is of the way that `--attach` asks for.
pub(crate) fn no_such_way(source: &dyn Source) -> String {
    let mut there: Vec<&str> = source.plans().iter().map(|plan| plan.hook.name()).collect();
    there.dedup();
    let (watched, there) = (source.watched(), there.join(", "));
    let of = if watched.is_empty() { source.name() } else { watched };
    format!("--attach: {of} has no such way; it has {there}")
}

/// Memory or files, as error numbers.
const SHORT: [i32; 3] = [Errno::EMFILE as i32, Errno::ENFILE as i32, Errno::ENOMEM as i32];

/// The failure of the best way that was tried: the first thing to fix. (If none was tried, the best of all.)
fn none_works(mut refused: Vec<Refused>) -> anyhow::Error {
    // What there is too little of is missing for any way.
    let short = |plan: &Refused| errno(&plan.why).is_some_and(|errno| SHORT.contains(&errno));
    let first = refused.iter().position(short).or_else(|| refused.iter().position(|plan| plan.tried.is_some()));
    let best = refused.remove(first.unwrap_or(0));
    if let Some(messages) = best.tried {
        blame(messages);
    }
    if refused.is_empty() {
        return best.why;
    }
    // Last, because its explanation follows.
    let others: String = refused.iter().map(|plan| format!("\n  {plan}")).collect();
    best.why.context(format!("no way to hook in works here:{others}\n  {}", best.hook.name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_way_says_why_it_failed_not_the_last() {
        let refused = |hook, tried, why: &str| Refused { hook, tried, why: anyhow!("{why}") };
        let all = vec![
            refused(Hook::Btf, None, NO_KERNEL_BTF),
            refused(Hook::Fentry, Some(1..2), "not permitted"),
            refused(Hook::Tracepoint, Some(2..3), "no tracefs"),
        ];
        let error = format!("{:#}", none_works(all));
        assert!(error.ends_with("\n  fentry: not permitted"), "{error}");
        assert_eq!(error.matches("no tracefs").count(), 1, "{error}");
        assert!(error.starts_with("no way to hook in works here:\n  btf: "), "{error}");
        let files = "failed to attach kprobe: Too many open files (os error 24)";
        let all = vec![
            refused(Hook::KprobeMulti, Some(1..2), "no kprobe.multi (os error 95)"),
            refused(Hook::Kprobe, Some(2..3), files),
        ];
        let error = format!("{:#}", none_works(all));
        assert!(error.ends_with(&format!("\n  kprobe: {files}")), "what there is too little of comes first: {error}");
        let only = none_works(vec![refused(Hook::Btf, None, NO_KERNEL_BTF)]);
        assert_eq!(format!("{only:#}"), NO_KERNEL_BTF);
    }
}
