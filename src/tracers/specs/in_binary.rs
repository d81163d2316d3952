//! What a spec names in binaries: places, in groups that are hooked and read alike.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};

use super::hooked::{TOO_MANY_RESULTS, at_entry, is_result, result};
use super::kinds::room;
use super::missing;
use super::recorded::{By, Recorded, in_page};
use super::way::{self, Candidate, Half, Part, Read, Subject, refused};
use crate::binary::{Binary, Returns};
use crate::error::Usage;
use crate::load::plan::{self, Hook, Target};
use crate::names::glob::is_glob;
use crate::spec::ast;
use crate::spec::error::SpecError;
use crate::spec::resolve::user::{Site, sites};
use crate::spec::resolve::{self, Machine, ResolveError, Resolved, When, Words};
use crate::tracers::opening::Opening;
use crate::types::model::Types;

/// What is hooked in one binary for one spec, or for a part of what its glob matches.
#[derive(Debug)]
pub(super) struct InBinary {
    spec: ast::Spec,
    types: Rc<Types>,
    path: PathBuf,
    sites: Vec<Site>,
    /// Programs can read what their probe was attached with.
    cookies: bool,
    notes: Vec<String>,
    /// What watching returns there may do to the program.
    breaks: Vec<String>,
}

impl InBinary {
    /// What a spec names, in at most `most` groups.
    ///
    /// # Errors
    /// When there is none, or there are too many.
    pub fn all(spec: &ast::Spec, opening: &Opening<'_>, most: usize) -> Result<Vec<InBinary>> {
        let (ast::Target::User { binary: word, .. } | ast::Target::Static { binary: word, .. }) = &spec.target else {
            return Err(anyhow!("this names no binary").context(Usage));
        };
        let found = opening.binaries(&word.text).map_err(|wrong| refused(spec, &wrong.at(&word.span)))?;
        // For the head of an event (pid, comm): without them, it cannot be asked for. Reading them takes longer than all else.
        let asks_for_head = spec.expressions().iter().any(|expr| resolve::is_of_head(expr.root()));
        let kernel = asks_for_head.then(|| opening.types(None).ok()).flatten();
        let (mut all, mut first_error) = (Vec::new(), None);
        for binary in &found {
            let sites = match sites(spec, binary, kernel.as_ref().map(|kernel| &kernel.types)) {
                Ok(sites) => sites,
                // Of all that a process has mapped, one may have it.
                Err(error) => {
                    first_error.get_or_insert(refused(spec, &error));
                    continue;
                }
            };
            // A probe on a nop of 5 bytes is a call there.
            let may_be_lost = opening.optimizes_static_probes() && sites.each.iter().any(|site| site.in_red_zone);
            let note = "an argument is below the stack pointer: where the probe is a nop of 5 bytes, this kernel may overwrite it";
            let red_zone = may_be_lost.then(|| format!("{}: {note}", binary.name));
            let (path, types) = (binary.path.clone(), Rc::new(sites.types));
            let one = |site| InBinary {
                spec: spec.clone(),
                types: Rc::clone(&types),
                path: path.clone(),
                sites: vec![site],
                cookies: opening.cookies(),
                notes: Vec::new(),
                breaks: Vec::new(),
            };
            // A glob, or a name that several have, may be of some that have no such values.
            let is_named = matches!(&spec.target, ast::Target::User { place: ast::Place::Function(_), .. });
            let differs = |site: &Site| is_named || sites.each.first().is_some_and(|first| first.name != site.name);
            let several = sites.each.iter().skip(1).any(differs);
            let all_of_it = sites.each.into_iter().map(one).map(InBinary::with_result_too);
            let (mut groups, left_out) = match groups(all_of_it, several) {
                Ok(found) => found,
                Err(error) => {
                    first_error.get_or_insert(error);
                    continue;
                }
            };
            if groups.len() > most && is_quiet_glob(spec) {
                let apart = groups.into_iter().flat_map(InBinary::apart).map(InBinary::with_nothing);
                (groups, _) = self::groups(apart, false)?;
                groups.first_mut().into_iter().for_each(|first| first.notes.push(TOO_MANY_RESULTS.to_owned()));
            }
            if let Some(first) = groups.first_mut() {
                // What arguments would be is nothing to say where none are shown.
                first.notes.extend(sites.notes.into_iter().filter(|_| !is_quiet_glob(spec)));
                first.notes.extend(red_zone);
                let names: Vec<&str> = left_out.iter().map(String::as_str).collect();
                let what =
                    if matches!(spec.target, ast::Target::Static { .. }) { "static probes" } else { "functions" };
                first.notes.extend(missing::values(what, &names));
            }
            if let Some(call) = groups.iter_mut().find(|group| group.is_call(Part::Call)) {
                call.breaks = breaks(binary);
            }
            all.extend(groups);
        }
        match first_error {
            Some(error) if all.is_empty() => Err(error),
            _ if all.len() > most => Err(anyhow!(
                "what matches is read in {} different ways, each by programs of its own: {}",
                all.len(),
                room(most)
            )
            .context(Usage)),
            _ => Ok(all),
        }
    }

    /// What is returned is shown, too; of a glob that says nothing of values, that alone.
    fn with_result_too(mut self) -> Self {
        if is_quiet_glob(&self.spec) {
            self.spec.args = Some(Vec::new());
            return self.with_result();
        }
        // Beside arguments that are asked for, too.
        let says_it = |args: &[ast::Arg]| args.iter().any(is_result);
        if self.spec.args.as_deref().is_none_or(says_it) { self } else { self.with_result() }
    }

    /// Shows what is returned, if anything is known of that.
    fn with_result(mut self) -> Self {
        if !self.is_call(Part::Call) {
            return self;
        }
        let before = self.spec.args.clone();
        self.spec.args.get_or_insert_default().push(result(&self.spec.text));
        if way::reads(&self).is_err() {
            self.spec.args = before;
        }
        self
    }

    /// Calls that are shown at their entry alone, and why.
    fn note_of_returns_left_alone(&self) -> Option<String> {
        const LISTED: usize = 8;
        let mut whys: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for site in &self.sites {
            if let Some(why) = site.returns.why_not() {
                whys.entry(why).or_default().insert(&site.name);
            }
        }
        let each = whys.iter().map(|(why, names)| {
            let listed: Vec<&str> = names.iter().take(LISTED).copied().collect();
            let more = names.len() - listed.len();
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("{}{more} ({why})", listed.join(", "))
        });
        let each: Vec<String> = each.collect();
        let binary = self.path.file_name().unwrap_or_default().to_string_lossy();
        (!each.is_empty())
            .then(|| format!("{binary}: shown when they are called, not when they return: {}", each.join("; ")))
    }

    fn with_nothing(mut self) -> Self {
        self.spec.args = Some(Vec::new());
        self
    }

    /// A group of each place.
    fn apart(self) -> Vec<InBinary> {
        let InBinary { spec, types, path, sites, cookies, mut notes, breaks: _ } = self;
        let one = |site| InBinary {
            spec: spec.clone(),
            types: Rc::clone(&types),
            path: path.clone(),
            sites: vec![site],
            cookies,
            notes: std::mem::take(&mut notes),
            breaks: Vec::new(),
        };
        sites.into_iter().map(one).collect()
    }

    fn first(&self) -> Result<&Site> {
        self.sites.first().context("nothing is hooked")
    }

    /// Whether entry and return are both hooked.
    fn is_call(&self, part: Part) -> bool {
        part == Part::Call && self.sites.iter().all(|site| site.returns == Returns::Watched)
    }
}

/// What watching returns of a binary may do to its program.
fn breaks(binary: &Binary) -> Vec<String> {
    const EXCEPTIONS: &str =
        "an exception (of C++, a panic of Rust) that leaves a function whose return is watched ends the program";
    const STACKS: &str = "it has several stacks in a thread (makecontext, fibers): a function that is left for another stack, and \
                          whose return is watched, may end the program";
    let all = [(binary.has_exceptions(), EXCEPTIONS), (binary.switches_stacks(), STACKS)];
    let said = all.into_iter().filter(|(does, _)| *does);
    said.map(|(_, what)| format!("{}: {what}; --entry-only watches none", binary.name)).collect()
}

/// Whether a spec names functions by a glob, and no values.
fn is_quiet_glob(spec: &ast::Spec) -> bool {
    let names =
        matches!(&spec.target, ast::Target::User { place: ast::Place::Function(name), .. } if is_glob(&name.text));
    names && spec.args.is_none()
}

const REGISTERS: Words = Words::Registers(Machine::HERE);

/// Puts those together that are read alike, and whose events say which of them it was. `some`: those without the values
/// that are asked for are left out, and named, unless all are.
fn groups(all: impl Iterator<Item = InBinary>, some: bool) -> Result<(Vec<InBinary>, Vec<String>)> {
    let mut groups: Vec<(Vec<Read>, InBinary)> = Vec::new();
    let (mut left_out, mut first_error) = (Vec::new(), None);
    for mut one in all {
        let Some(site) = one.sites.first() else { continue };
        let reads = match way::reads(&one) {
            Ok(reads) => reads,
            Err(error) if some => {
                if !left_out.contains(&site.name) {
                    left_out.push(site.name.clone());
                }
                first_error.get_or_insert_with(|| of_function(error, &site.name));
                continue;
            }
            Err(error) => return Err(error),
        };
        let fits = |(of, group): &&mut (Vec<Read>, InBinary)| {
            let distinguished = |other: &Site| {
                group.cookies || in_page(other.offset) != in_page(site.offset) || other.name == site.name
            };
            let alike = |other: &Site| (other.returns == Returns::Watched) == (site.returns == Returns::Watched);
            *of == reads && group.sites.iter().all(|other| alike(other) && distinguished(other))
        };
        match groups.iter_mut().find(fits) {
            Some((_, group)) => group.sites.append(&mut one.sites),
            None => groups.push((reads, one)),
        }
    }
    match first_error {
        Some(error) if groups.is_empty() => Err(error),
        _ => Ok((groups.into_iter().map(|(_, group)| group).collect(), left_out)),
    }
}

/// An error that says which of the functions it is about, unless it does.
fn of_function(error: anyhow::Error, name: &str) -> anyhow::Error {
    match error.downcast_ref::<SpecError>() {
        Some(shown) if !shown.message.contains(name) => {
            let message = format!("{name}: {}", shown.message);
            anyhow!(SpecError { message, ..shown.clone() }).context(Usage)
        }
        _ => error,
    }
}

impl Subject for InBinary {
    fn candidates(&self, part: Part) -> Vec<Candidate> {
        let half = |program, when| Half { program, when };
        let call = |hook, returned, entered| {
            (hook, REGISTERS, vec![half(returned, When::ReturnOf), half(entered, When::EntryOf)])
        };
        let hit = |hook, program| (hook, REGISTERS, vec![half(program, When::Entry)]);
        match self.is_call(part) {
            true => vec![
                call(Hook::UprobeMulti, "uprobe_return_multi_sleepable", "uprobe_enter_multi_sleepable"),
                call(Hook::UprobeMulti, "uprobe_return_multi", "uprobe_enter_multi"),
                call(Hook::Uprobe, "uprobe_return_sleepable", "uprobe_enter_sleepable"),
                call(Hook::Uprobe, "uprobe_return", "uprobe_enter"),
            ],
            false => vec![
                hit(Hook::UprobeMulti, "uprobe_hit_multi_sleepable"),
                hit(Hook::UprobeMulti, "uprobe_hit_multi"),
                hit(Hook::Uprobe, "uprobe_hit_sleepable"),
                hit(Hook::Uprobe, "uprobe_hit"),
            ],
        }
    }

    fn resolved(&self, _: Hook, _: Words, when: When, raw: bool) -> Result<Resolved> {
        let scope = self.first()?.scope(when);
        let refused = |error: ResolveError| refused(&self.spec, &error);
        match when {
            When::Entry => resolve::resolve_as(&at_entry(&self.spec), &self.types, &scope, raw),
            _ => resolve::resolve_as(&self.spec, &self.types, &scope, raw),
        }
        .map_err(refused)
    }

    fn target(&self, half: &Half, hook: Hook) -> Target {
        let place = |site: &Site| plan::Place { offset: site.offset, semaphore: site.semaphore.unwrap_or(0) };
        let places = self.sites.iter().map(place).collect();
        let binary = plan::Binary { path: self.path.clone(), places };
        Target::User { binary: Arc::new(binary), when: half.when(), together: hook == Hook::UprobeMulti }
    }

    fn notes_of_returns(&mut self) -> Vec<String> {
        let mut notes = std::mem::take(&mut self.breaks);
        notes.extend(self.note_of_returns_left_alone());
        notes
    }

    fn begins_functions(&self) -> bool {
        self.sites.iter().all(|site| site.returns.is_called())
    }

    fn recorded(&self, kind: u32, name: &str) -> Recorded {
        let mut functions: Vec<_> = self.sites.iter().map(|site| (site.offset, site.name.clone())).collect();
        functions.sort();
        let func = match functions.as_slice() {
            [(_, name), others @ ..] if others.iter().all(|(_, other)| other == name) => name.clone(),
            _ => self.spec.text.clone(),
        };
        if functions.iter().all(|(_, name)| *name == func) {
            functions.clear();
        }
        let by = if self.cookies { By::Cookie } else { By::Page };
        Recorded { spec: self.spec.text.clone(), kind, name: name.to_owned(), func, functions, by, ways: Vec::new() }
    }

    fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }
}
