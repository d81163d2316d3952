//! Whether a tracer works on a kernel, as far as its types show: relocations, hooks, helpers.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::escape::shown;
use crate::flow::filter::kinds_mask;
use crate::host::arch::{Arch, NEEDED_BY_FENTRY, SYSCALL};
use crate::host::kallsyms::Symbols;
use crate::host::{Host, has_module_types, mounts};
use crate::load::plan::NO_KERNEL_BTF;
use crate::load::plan::{Hook, Plan, Program, Target as Place, When, in_order, preempts};
use crate::tracers::Tracer;
use crate::types::model::{Types, kind};
use crate::types::relo::{Object, Outcome, Target, Walk};

/// What types do not show.
pub(crate) const NOT_IN_TYPES: &str = "from types alone (?), which say nothing about rights, lockdown, tracefs, refused probes and the \
verifier's limits; where the kernel interrupts programs, other hooks are tried first";

/// The same of types that were minimized.
pub(crate) const NOT_IN_MINIMIZED: &str =
    "types without functions (minimized ones) do not show which functions, tracepoints and helpers the kernel has";

/// A plan on a kernel.
#[derive(Debug, Clone)]
pub(crate) struct Judged {
    pub plan: Plan,
    /// The hooks it takes.
    pub hooks: Vec<String>,
    /// Why it does not work.
    pub refused: Vec<String>,
}

/// The architecture that types are of, if they show it.
pub(crate) fn arch(target: &Target) -> Option<Arch> {
    let has = |member| target.types.has_member("pt_regs", member);
    let all = [Arch::X86, Arch::Arm];
    let named = all.into_iter().find(|arch| target.about.machine == Some(arch.name()));
    named.or_else(|| all.into_iter().find(|arch| has(arch.mark())))
}

/// Which binary knows about kernels of another architecture.
pub(crate) fn ask_that_of(arch: Arch) -> String {
    let (here, there) = (Arch::HERE.machine(), arch.machine());
    format!(
        "the programs in this coretrace are for the architecture {here}: ask the coretrace for {there}, in the same way"
    )
}

fn no_function(name: &str) -> String {
    format!("the kernel has no function {name}")
}

fn no_tracepoint(name: &str) -> String {
    format!("the kernel has no tracepoint {name}")
}

struct Judge<'a> {
    object: &'a Object,
    types: &'a Types,
    walk: &'a Walk,
    /// The running kernel, if it is the one.
    host: Option<&'a Host>,
    /// Types that are no more than fields: of hooks they say nothing.
    bare: bool,
    /// The running kernel's symbols, once they are asked for; nothing where it does not list them.
    symbols: OnceCell<Option<Symbols>>,
}

/// Every plan of a tracer that `--attach` allows, in the order in which they are tried; `walk` is that of its object
/// against these types.
pub(crate) fn judge(
    tracer: &dyn Tracer,
    (object, walk): (&Object, &Walk),
    types: &Types,
    host: Option<&Host>,
    hook: Option<Hook>,
) -> Vec<Judged> {
    let judge = Judge { object, types, walk, host, bare: !types.has_functions(), symbols: OnceCell::new() };
    let plans = in_order(tracer.plans(), hook, |hook| host.is_some_and(|host| preempts(host, hook)));
    let kinds = kinds_mask(&tracer.default_kinds(), tracer.kinds().iter()).unwrap_or(u64::MAX);
    plans.into_iter().map(|plan| judge.plan(plan, kinds)).collect()
}

impl Judge<'_> {
    fn plan(&self, plan: Plan, kinds: u64) -> Judged {
        let mut judged = Judged { plan: plan.clone(), hooks: Vec::new(), refused: Vec::new() };
        if plan.hook.needs_kernel_btf() && self.host.map_or(self.bare, |host| !host.has_btf) {
            judged.refused.push(NO_KERNEL_BTF.to_owned());
            return judged;
        }
        for program in plan.programs.iter().filter(|program| program.is_needed(kinds, false, false)) {
            let Some(function) = self.object.functions.iter().position(|f| f.name == program.name) else {
                judged.refused.push(format!("the object has no program {}", program.name));
                continue;
            };
            let section = self.object.functions.get(function).map_or("", |f| &f.section);
            match self.hooks(program, section) {
                Ok(mut hooks) => judged.hooks.append(&mut hooks),
                Err(_) if program.optional => continue,
                Err(why) => judged.refused.push(why),
            }
            judged.refused.extend(self.code(function));
        }
        judged.refused.dedup();
        judged
    }

    fn function(&self, name: &str) -> bool {
        match name.split_once(':') {
            Some((module, function)) => self.of_module(module, function),
            None => self.bare || self.types.find(kind::FUNC, name).is_some(),
        }
    }

    /// Which functions a module has, the kernel's own types do not say: of another kernel than the running one, it has them.
    fn of_module(&self, module: &str, function: &str) -> bool {
        let Some(host) = self.host else { return true };
        // Built in, it is the kernel's own.
        let is_own = !host.root.join("sys/module").join(module).join("initstate").exists();
        let is_there = |of: Option<&str>| of == Some(module) || (is_own && of.is_none());
        let has = |symbols: &Symbols| symbols.functions(function).any(|found| is_there(found.module));
        host.has_module(module) && self.symbols(host).is_none_or(has)
    }

    fn symbols(&self, host: &Host) -> Option<&Symbols> {
        self.symbols.get_or_init(|| Symbols::read(&host.root).ok()).as_ref()
    }

    /// Whether there is a function to probe: types may leave out some (those of arm64's 5.10 have no `do_sys_openat2`).
    fn symbol(&self, name: &str) -> bool {
        let symbols = || self.symbols(self.host?);
        self.function(name) || symbols().is_some_and(|all| all.functions(name).any(|found| found.module.is_none()))
    }

    /// Why none of these functions is there.
    fn none_of(&self, names: &[impl AsRef<str>]) -> String {
        let modules = names.iter().filter_map(|name| Some(name.as_ref().split_once(':')?.0));
        let mut missing = modules.filter(|module| self.host.is_some_and(|host| !host.has_module(module)));
        match missing.next() {
            Some(module) => format!("the module {module} is not loaded (modprobe {module})"),
            None => no_function(&names.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(" or ")),
        }
    }

    /// The hook of the first of these functions that there is and that has types.
    fn typed(&self, kind: &str, names: &[impl AsRef<str>]) -> Result<Vec<String>, String> {
        if NEEDED_BY_FENTRY.is_some_and(|function| !self.function(function)) {
            return Err("the kernel has no fentry and fexit (CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS)".to_owned());
        }
        // A kernel without types of modules does not know this one (kernel/bpf/btf.c, 5.11).
        let knows = self.bare || self.types.find(kind::STRUCT, "btf_module").is_some();
        let has_types = |module: &str| knows && self.host.is_none_or(|host| has_module_types(&host.root, module));
        let module = |name: &str| name.split_once(':').map(|(module, _)| module.to_owned());
        let there = || names.iter().map(AsRef::as_ref).filter(|name| self.function(name));
        match there().find(|name| module(name).is_none_or(|of| has_types(&of))) {
            Some(name) => Ok(vec![format!("{kind}/{name}")]),
            None => match there().find_map(module) {
                Some(module) => Err(format!("the kernel has no types of the module {module} (5.11)")),
                None => Err(self.none_of(names)),
            },
        }
    }

    /// Every tracepoint has a type of its arguments (include/trace/bpf_probe.h, since 5.2).
    fn tracepoint(&self, name: &str) -> Result<(), String> {
        let found = self.bare || self.types.find(kind::TYPEDEF, &format!("btf_trace_{name}")).is_some();
        if found { Ok(()) } else { Err(no_tracepoint(name)) }
    }

    fn tracefs(&self) -> Result<(), String> {
        match self.host.map(|host| &host.tracefs) {
            Some(None) => Err("tracefs is not mounted".to_owned()),
            Some(Some(tracefs)) if tracefs.elsewhere => Err(format!(
                "tracefs is mounted only at {}, but looked for at {}",
                shown(&tracefs.path),
                mounts::TRACEFS
            )),
            Some(Some(tracefs)) if !tracefs.readable => Err(format!("{} may not be read", shown(&tracefs.path))),
            _ => Ok(()),
        }
    }

    /// The hooks that a program takes, or why it has none.
    fn hooks(&self, program: &Program, section: &str) -> Result<Vec<String>, String> {
        match &program.target {
            Place::Exit(names) => self.typed("fexit", names),
            Place::TypedEntry(names) => self.typed("fentry", names),
            Place::TypedTracepoint(name) => self.section(&format!("tp_btf/{name}")),
            Place::RawTracepoint(name) => self.section(&format!("raw_tp/{name}")),
            Place::Tracepoint(category, name) => self.section(&format!("tp/{category}/{name}")),
            Place::Each(names, When::Entry) | Place::Entry(names) => self.probes("kprobe", names, ""),
            Place::Each(names, When::Return) => self.probes("kretprobe", names, ""),
            Place::User { together: true, .. } if !self.bare && !self.function("bpf_uprobe_multi_link_attach") => {
                Err("the kernel has no uprobe.multi (6.6)".to_owned())
            }
            Place::User { .. } if !self.bare && !self.function("uprobe_register") => {
                Err("the kernel has no uprobes (CONFIG_UPROBE_EVENTS)".to_owned())
            }
            Place::User { .. } => Ok(vec![section.to_owned()]),
            Place::Together(names, when) => self.together(names, *when),
            Place::Return(names) => self.probes("kretprobe", names, ""),
            Place::SyscallReturn(names) => self.probes("kretsyscall", names, SYSCALL),
            Place::SyscallEvents(events) => {
                self.tracefs()?;
                let there = events.iter().filter(|event| self.event(event));
                let hooks: Vec<_> = there.map(|event| format!("tp/syscalls/{event}")).collect();
                if hooks.is_empty() { Err(no_tracepoint(&events.join(" or "))) } else { Ok(hooks) }
            }
            Place::Section => self.section(section),
            Place::Called => Ok(Vec::new()),
            Place::Iterator => Ok(vec![section.to_owned()]),
        }
    }

    /// The same of a program whose section says it all: `tp_btf/sched_process_exec`.
    fn section(&self, section: &str) -> Result<Vec<String>, String> {
        let hook = vec![section.to_owned()];
        match section.split('/').collect::<Vec<_>>().as_slice() {
            ["tp", "syscalls", event] => {
                self.tracefs()?;
                if self.event(event) { Ok(hook) } else { Err(no_tracepoint(event)) }
            }
            ["tp", _, event] => self.tracefs().and_then(|()| self.tracepoint(event)).map(|()| hook),
            ["tp_btf" | "raw_tp", event] => self.tracepoint(event).map(|()| hook),
            [kind @ ("fentry" | "fexit"), name] => self.typed(kind, &[*name]),
            [kind @ ("kprobe" | "kretprobe"), name] => self.probes(kind, &[*name], ""),
            [kind @ ("ksyscall" | "kretsyscall"), name] => self.probes(kind, &[*name], SYSCALL),
            _ => Ok(hook),
        }
    }

    /// Probes of those functions that there are, whose names begin with `before`.
    fn probes(&self, kind: &str, names: &[impl AsRef<str>], before: &str) -> Result<Vec<String>, String> {
        if self.host.map_or(!self.function("register_kprobe"), |host| !host.kprobes) {
            return Err("the kernel has no kprobes (CONFIG_KPROBE_EVENTS)".to_owned());
        }
        let functions: Vec<_> = names.iter().map(|name| format!("{before}{}", name.as_ref())).collect();
        let there = names.iter().zip(&functions).filter(|(_, function)| self.symbol(function));
        let hooks: Vec<_> = there.map(|(name, _)| format!("{kind}/{}", name.as_ref())).collect();
        if hooks.is_empty() { Err(self.none_of(&functions)) } else { Ok(hooks) }
    }

    /// Probes of all functions by one link.
    fn together(&self, names: &[Cow<'static, str>], when: When) -> Result<Vec<String>, String> {
        if !self.bare && !self.function("register_fprobe_ips") {
            return Err("the kernel has no kprobe.multi (5.18, CONFIG_FPROBE)".to_owned());
        }
        let kind = if when == When::Entry { "kprobe.multi" } else { "kretprobe.multi" };
        self.probes(kind, names, "")
    }

    /// A tracepoint of a system call: there are types of its function alone.
    fn event(&self, event: &str) -> bool {
        let call = event.strip_prefix("sys_enter_").or_else(|| event.strip_prefix("sys_exit_"));
        call.is_none_or(|call| self.function(&format!("{SYSCALL}{call}")))
    }

    /// What a program and the functions that it may call need and the kernel does not have.
    fn code(&self, program: usize) -> Vec<String> {
        let mut lacks = Vec::new();
        let belongs = |n: usize| {
            n == program || self.object.functions.get(n).is_some_and(|function| &*function.section == ".text")
        };
        let sites = self.object.sites.iter().zip(&self.walk.answers);
        for (site, answer) in sites.filter(|(site, _)| belongs(site.function)) {
            match answer.outcome {
                Outcome::Missing => lacks.push(format!("the kernel has no {}", answer.spec())),
                Outcome::Error(errno) => {
                    lacks.push(format!("relocation {} of {} fails: error {errno}", site.index, site.kind().1));
                }
                Outcome::Value { .. } | Outcome::Guarded => {}
            }
        }
        let helpers = self.walk.reached.iter().enumerate().filter(|(n, _)| belongs(*n)).flat_map(|(_, r)| &r.helpers);
        for helper in helpers {
            if !self.bare && self.types.has_value("bpf_func_id", *helper) == Some(false) {
                lacks.push(format!("the kernel has no helper {helper}"));
            }
        }
        lacks
    }
}

/// All files below a directory, in order; the directories in it that cannot be read are returned.
///
/// # Errors
/// When it cannot be read itself.
pub(crate) fn files(path: &Path, found: &mut Vec<PathBuf>) -> anyhow::Result<Vec<(PathBuf, io::Error)>> {
    let mut closed = Vec::new();
    below(path, found, &mut closed).with_context(|| format!("reading {}", shown(path)))?;
    Ok(closed)
}

fn below(path: &Path, found: &mut Vec<PathBuf>, closed: &mut Vec<(PathBuf, io::Error)>) -> io::Result<()> {
    let mut inside = std::fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    inside.sort();
    for path in inside {
        if !path.is_dir() {
            found.push(path);
        } else if !path.is_symlink()
            && let Err(error) = below(&path, found, closed)
        {
            closed.push((path, error));
        }
    }
    Ok(())
}
