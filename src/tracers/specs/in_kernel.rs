//! The ways to hook functions and tracepoints of the kernel.

use anyhow::{Context, Result, bail};

use super::hooked::{Hooked, Named, at_entry};
use super::kinds::FIRST_KIND;
use super::recorded::{By, Recorded};
use super::way::{Candidate, Half, Part, Subject, refused};
use crate::host::arch::SYSCALL;
use crate::load::plan::{self, Hook, Needed, Plan, Program, Target};
use crate::spec::resolve::{self, Machine, ResolveError, Resolved, Scope, When, Words};
use crate::spec::{ast, ir};

impl Subject for Hooked {
    fn candidates(&self, part: Part) -> Vec<Candidate> {
        let half = |program, when| Half { program, when };
        let registers = Words::Registers(Machine::HERE);
        let entry = |hook, words, program| (hook, words, vec![half(program, When::Entry)]);
        let call = |hook, words, returned, entered| {
            (hook, words, vec![half(returned, When::ReturnOf), half(entered, When::EntryOf)])
        };
        let typed_call = || call(Hook::Fentry, Words::Typed, "probe_return_fexit", "probe_enter_fentry");
        let probed_call = || call(Hook::Kprobe, registers, "probe_return", "probe_enter");
        let how = match &self.spec.target {
            ast::Target::Function { how, .. } => *how,
            ast::Target::Syscall { .. } => ast::How::Any,
            ast::Target::TypedTracepoint { .. } => return vec![entry(Hook::Btf, Words::Typed, "probe_typed")],
            ast::Target::RawTracepoint { .. } => return vec![entry(Hook::Raw, Words::Plain, "probe_raw")],
            ast::Target::Tracepoint { .. } => return vec![entry(Hook::Tracepoint, Words::Plain, "probe_tracepoint")],
            ast::Target::User { .. } | ast::Target::Static { .. } => return Vec::new(),
        };
        let has_types = match &self.spec.target {
            // One that takes nothing has another name there.
            ast::Target::Syscall { name } => {
                resolve::function(&self.types.types, &format!("{SYSCALL}{}", name.text)).is_some()
            }
            _ => self.functions.iter().all(|function| function.typed.is_some()),
        };
        let typed = (self.functions.len() < 2 && has_types).then_some(());
        let many = (self.functions.len() > 1).then_some(());
        let fentry = || entry(Hook::Fentry, Words::Typed, "probe_fentry");
        let kprobe = || entry(Hook::Kprobe, registers, "probe_kprobe");
        let multi = || entry(Hook::KprobeMulti, registers, "probe_multi");
        let multi_call = || call(Hook::KprobeMulti, registers, "probe_return_multi", "probe_enter_multi");
        let ways: Vec<Option<Candidate>> = match (how, part) {
            (ast::How::Any, Part::Entry) => vec![typed.map(|()| fentry()), many.map(|()| multi()), Some(kprobe())],
            (ast::How::Kprobe, _) | (_, Part::Entry) => vec![many.map(|()| multi()), Some(kprobe())],
            (ast::How::Any, Part::Call) => {
                vec![typed.map(|()| typed_call()), many.map(|()| multi_call()), Some(probed_call())]
            }
            // At a return, the kernel does not say of which function: what is kept of its entry does.
            (ast::How::Kretprobe, Part::Call) => match many {
                Some(()) => vec![Some(multi_call()), Some(probed_call())],
                None => vec![Some((Hook::Kprobe, registers, vec![half("probe_kretprobe", When::Return)]))],
            },
            (ast::How::Fentry, Part::Call) => vec![Some(fentry())],
            (ast::How::Fexit, Part::Call) => {
                vec![Some((Hook::Fentry, Words::Typed, vec![half("probe_fexit", When::Both)]))]
            }
        };
        ways.into_iter().flatten().collect()
    }

    fn resolved(&self, hook: Hook, words: Words, when: When, raw: bool) -> Result<Resolved> {
        let types = &self.types.types;
        let on = resolve::Hook { words, when };
        let refused = |error: ResolveError| refused(&self.spec, &error);
        let scope = match self.functions.first() {
            Some(Named { typed: Some(function), .. }) => Scope::function(types, function, on),
            Some(Named { name, .. }) if hook == Hook::Fentry => bail!("the kernel's types do not have {name}"),
            Some(Named { name, .. }) => Scope::untyped(name, when, Machine::HERE, ir::Space::ByAddress),
            None => {
                let scopes = resolve::scopes(&self.spec.target, types, on, self.format.as_deref()).map_err(refused)?;
                scopes.into_iter().next().context("nothing is hooked")?
            }
        };
        match when {
            When::Entry => resolve::resolve_as(&at_entry(&self.spec), types, &scope, raw),
            _ => resolve::resolve_as(&self.spec, types, &scope, raw),
        }
        .map_err(refused)
    }

    fn target(&self, half: &Half, hook: Hook) -> Target {
        let when = half.when();
        let returns = when == plan::When::Return;
        let function = |name: String| match hook {
            Hook::Fentry if returns => Target::Exit(vec![name.into()]),
            Hook::Fentry => Target::TypedEntry(vec![name.into()]),
            _ if returns => Target::Return(vec![name.into()]),
            _ => Target::Entry(vec![name.into()]),
        };
        let name = |word: &ast::Word| word.text.clone();
        match (&self.spec.target, self.functions.as_slice()) {
            (ast::Target::Syscall { name }, _) => function(format!("{SYSCALL}{}", name.text)),
            (ast::Target::TypedTracepoint { name: of }, _) => Target::TypedTracepoint(name(of).into()),
            (ast::Target::RawTracepoint { name: of }, _) => Target::RawTracepoint(name(of).into()),
            (ast::Target::Tracepoint { category, name: of }, _) => {
                Target::Tracepoint(name(category).into(), name(of).into())
            }
            (_, [one]) => function(one.name.clone()),
            (_, all) => {
                let names = all.iter().map(|one| one.name.clone().into()).collect();
                if hook == Hook::KprobeMulti { Target::Together(names, when) } else { Target::Each(names, when) }
            }
        }
    }

    fn recorded(&self, kind: u32, name: &str) -> Recorded {
        let mut functions: Vec<_> = match self.functions.as_slice() {
            [_] => Vec::new(),
            all => all.iter().map(|function| (function.address, function.name.clone())).collect(),
        };
        functions.sort();
        let func = match self.functions.as_slice() {
            [function] => function.name.clone(),
            _ => named(&self.spec.target),
        };
        let (spec, name) = (self.spec.text.clone(), name.to_owned());
        Recorded { spec, kind, name, func, functions, by: By::Code, ways: Vec::new() }
    }

    fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }
}

/// What a spec names.
pub(super) fn named(target: &ast::Target) -> String {
    match target {
        ast::Target::Function { name, .. }
        | ast::Target::RawTracepoint { name }
        | ast::Target::TypedTracepoint { name }
        | ast::Target::Syscall { name }
        | ast::Target::Static { name, .. } => name.text.clone(),
        ast::Target::Tracepoint { category, name } => format!("{}:{}", category.text, name.text),
        ast::Target::User { binary, .. } => binary.text.clone(),
    }
}

/// Each way on what every kernel has.
pub(super) fn samples() -> Vec<Plan> {
    let on = |name, target| Program::new(name, Needed::Kinds(vec![FIRST_KIND])).on(target);
    let plan = |hook, programs| Plan { hook, programs, not_seen: "".into() };
    let (function, event) = ("vfs_unlink", "sched_process_exit");
    let names = || plan::names(&[function]);
    vec![
        plan(
            Hook::Fentry,
            vec![
                on("probe_return_fexit", Target::Exit(names())),
                on("probe_enter_fentry", Target::TypedEntry(names())),
            ],
        ),
        plan(
            Hook::Kprobe,
            vec![on("probe_return", Target::Return(names())), on("probe_enter", Target::Entry(names()))],
        ),
        plan(Hook::Btf, vec![on("probe_typed", Target::TypedTracepoint(event.into()))]),
        plan(Hook::Raw, vec![on("probe_raw", Target::RawTracepoint(event.into()))]),
        plan(
            Hook::KprobeMulti,
            vec![
                on("probe_return_multi", Target::Together(names(), plan::When::Return)),
                on("probe_enter_multi", Target::Together(names(), plan::When::Entry)),
            ],
        ),
        plan(Hook::Tracepoint, vec![on("probe_tracepoint", Target::Tracepoint("sched".into(), event.into()))]),
    ]
}
