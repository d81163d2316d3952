//! Puts the programs of a loaded object on their hooks.

use std::borrow::Cow;
use std::cell::RefCell;

use anyhow::{Context, Result, ensure};
use libbpf_rs::{ErrorKind, Link, Object, ProgramMut, TracepointCategory, UprobeMultiOpts, UprobeOpts};
use nix::libc;

use crate::escape::shown;
use crate::load::diagnose::errno;
use crate::load::every_cpu::EveryCpu;
use crate::load::plan::{Binary, Program, Target, When};

/// The state of an object's programs after attaching.
#[derive(Debug, Default)]
pub(crate) struct Hooks {
    /// In the order in which they were attached.
    pub links: RefCell<Vec<Link>>,
    /// The hooks in use, as `SEC` names.
    pub taken: Vec<String>,
    /// Hooks that this kernel lacks.
    pub absent: Vec<String>,
    /// For programs that could go on one of several functions, the one chosen before the object was loaded.
    pub chosen: Vec<(String, String)>,
    /// The kernel keeps a number for each probe, which its program can read.
    pub cookies: bool,
    /// For hooks where the kernel needs a perf event on every CPU.
    pub every_cpu: Option<EveryCpu>,
}

impl Hooks {
    /// Records a hook that the kernel lacks: an error unless the program is optional.
    pub fn lacks(&mut self, what: &str, optional: bool) -> Result<()> {
        let missing = format!("the kernel has no {what}");
        ensure!(optional, "{missing}");
        self.absent.push(missing);
        Ok(())
    }

    /// Attaches those of these programs that were loaded.
    ///
    /// # Errors
    /// When a program that is not optional cannot be attached.
    pub fn attach<'p>(&mut self, programs: impl Iterator<Item = &'p Program>, object: &Object) -> Result<()> {
        for wanted in programs {
            let found = object.progs_mut().find(|p| p.name() == wanted.name.as_ref() && p.autoload());
            if let Some(program) = found {
                self.attach_one(wanted, &program)?;
            }
        }
        Ok(())
    }

    /// Attaches a program to functions that were not there before (src/load/modules.rs); what it had on an earlier load of
    /// their module ends with the run. Those that take no probe are left out.
    ///
    /// # Errors
    /// When it cannot be attached to any of them.
    pub fn attach_late(&self, wanted: &Program, object: &Object) -> Result<()> {
        let Some(program) = object.progs_mut().find(|p| p.name() == wanted.name.as_ref() && p.autoload()) else {
            return Ok(());
        };
        let (mut attached, mut failed) = (0, None);
        for (hook, link) in self.links_of(wanted, &program) {
            match link {
                Ok(link) => {
                    self.links.borrow_mut().push(link);
                    attached += 1;
                }
                Err(error) => failed = Some(anyhow::Error::from(error).context(format!("attaching to {hook}"))),
            }
        }
        failed.filter(|_| attached == 0 && !wanted.optional).map_or(Ok(()), Err)
    }

    fn attach_one(&mut self, wanted: &Program, program: &ProgramMut<'_>) -> Result<()> {
        match &wanted.target {
            Target::Each(functions, when) => return self.attach_each(functions, *when, program),
            Target::Together(functions, when) => return self.attach_together(functions, *when, program),
            Target::User { binary, when, together: true } => return self.attach_places(binary, *when, program),
            Target::User { binary, when, together: false } => return self.attach_each_place(binary, *when, program),
            Target::Called | Target::Iterator => return Ok(()),
            _ => {}
        }
        let all = self.links_of(wanted, program);
        let several = all.len() > 1;
        let tried: Vec<_> = all.iter().map(|(hook, _)| hook.clone()).collect();
        let before = self.links.get_mut().len();
        for (hook, link) in all {
            match link {
                Ok(link) => {
                    self.links.get_mut().push(link);
                    if let Some(every_cpu) = &mut self.every_cpu {
                        every_cpu.hold(&hook)?;
                    }
                    self.taken.push(hook);
                }
                // Missing, or under another name.
                Err(e) if e.kind() == ErrorKind::NotFound && (several || wanted.optional) => {}
                Err(e) => return Err(e).with_context(|| format!("attaching to {hook}")),
            }
        }
        if self.links.get_mut().len() > before { Ok(()) } else { self.lacks(&tried.join(" or "), wanted.optional) }
    }

    /// A probe on each of these functions. The kernel refuses some that tracers can hook (EINVAL, before 5.18 or so;
    /// EADDRNOTAVAIL: an instruction that cannot be moved).
    fn attach_each(&mut self, functions: &[Cow<'static, str>], when: When, program: &ProgramMut<'_>) -> Result<()> {
        let attached = self.those_that_take_it(on_each(functions, when, program))?;
        self.taken.push(format!("{}/{attached} functions", probe(when).1));
        Ok(())
    }

    /// Keeps the links of all these hooks but of those that take none, unless all are such; returns how many there are.
    fn those_that_take_it(&mut self, all: impl Iterator<Item = (String, libbpf_rs::Result<Link>)>) -> Result<usize> {
        let (mut attached, mut first) = (0, None);
        for (hook, link) in all {
            let error = match link {
                Ok(link) => {
                    self.links.get_mut().push(link);
                    attached += 1;
                    continue;
                }
                Err(error) => anyhow::Error::from(error).context(format!("attaching to {hook}")),
            };
            if is_full(&error) {
                return Err(error);
            }
            self.absent.push(format!("{hook}: {}", error.root_cause()));
            first.get_or_insert(error);
        }
        first.filter(|_| attached == 0).map_or(Ok(attached), Err)
    }

    /// One link for all of these functions; several where the kernel has no room for so many at once (6.7 to 6.11, for
    /// returns: ENOMEM).
    fn attach_together(&mut self, functions: &[Cow<'static, str>], when: When, program: &ProgramMut<'_>) -> Result<()> {
        let (returns, kind) = probe(when);
        let mut left = vec![functions];
        while let Some(part) = left.pop() {
            match program.attach_kprobe_multi(returns, part.to_vec()) {
                Ok(link) => self.links.get_mut().push(link),
                Err(error) if error.kind() == ErrorKind::OutOfMemory && part.len() > 1 => {
                    let (front, back) = part.split_at(part.len() / 2);
                    left.extend([back, front]);
                }
                // 5.18 has it (0dcac2725406: bpf: Add multi kprobe link), with CONFIG_FPROBE.
                Err(error) => {
                    let hook = format!("{kind}.multi of {} functions", part.len());
                    return Err(not_attached(error, &hook, "the kernel has no kprobe.multi (5.18, CONFIG_FPROBE)"));
                }
            }
        }
        self.taken.push(match functions {
            [one] => format!("{kind}.multi/{one}"),
            all => format!("{kind}.multi/{} functions", all.len()),
        });
        Ok(())
    }

    /// One link for all places of a binary.
    fn attach_places(&mut self, binary: &Binary, when: When, program: &ProgramMut<'_>) -> Result<()> {
        let hook = user_hook(binary, when, ".multi");
        let offsets = binary.places.iter().map(|place| usize::try_from(place.offset)).collect::<Result<Vec<_>, _>>()?;
        let counters =
            binary.places.iter().map(|place| usize::try_from(place.semaphore)).collect::<Result<Vec<_>, _>>()?;
        let options = UprobeMultiOpts {
            cookies: binary.places.iter().map(|place| place.offset).collect(),
            ref_ctr_offsets: if counters.iter().all(|at| *at == 0) { Vec::new() } else { counters },
            offsets,
            retprobe: when == When::Return,
            ..UprobeMultiOpts::default()
        };
        let link = program.attach_uprobe_multi_with_opts(ANY, &binary.path, "", options);
        // 6.6 has it (89ae89f53d20: bpf: Add multi uprobe link).
        let link = link.map_err(|error| not_attached(error, &hook, "the kernel has no uprobe.multi (6.6)"))?;
        self.links.get_mut().push(link);
        self.taken.push(hook);
        Ok(())
    }

    /// A link for each place of a binary.
    fn attach_each_place(&mut self, binary: &Binary, when: When, program: &ProgramMut<'_>) -> Result<()> {
        let hook = user_hook(binary, when, "");
        let places =
            binary.places.iter().map(|place| Ok((usize::try_from(place.offset)?, usize::try_from(place.semaphore)?)));
        let places: Vec<_> = places.collect::<Result<_>>()?;
        let cookies = self.cookies;
        let attach = |(offset, semaphore): (usize, usize)| {
            let options = UprobeOpts {
                ref_ctr_offset: semaphore,
                // Before 5.15 libbpf takes no other, and the program does not ask for it.
                cookie: if cookies { offset as u64 } else { 0 },
                retprobe: when == When::Return,
                ..UprobeOpts::default()
            };
            let link = program.attach_uprobe_with_opts(ANY, &binary.path, offset, options);
            (format!("{hook} at {offset:#x}"), link)
        };
        self.those_that_take_it(places.into_iter().map(attach))?;
        self.taken.push(hook);
        Ok(())
    }

    /// The function that was chosen for a program.
    fn chosen_for(&self, wanted: &Program) -> &str {
        self.chosen.iter().find(|(name, _)| *name == wanted.name).map_or("", |(_, function)| function)
    }

    /// Each hook that the program may go on, and the result of attaching it there.
    fn links_of(&self, wanted: &Program, program: &ProgramMut<'_>) -> Vec<(String, libbpf_rs::Result<Link>)> {
        match &wanted.target {
            Target::Section => vec![(program.section().to_string_lossy().into_owned(), program.attach())],
            Target::Exit(_) => vec![(format!("fexit/{}", self.chosen_for(wanted)), program.attach())],
            Target::TypedEntry(_) => vec![(format!("fentry/{}", self.chosen_for(wanted)), program.attach())],
            Target::TypedTracepoint(name) => vec![(format!("tp_btf/{name}"), program.attach())],
            Target::RawTracepoint(name) => {
                vec![(format!("raw_tp/{name}"), program.attach_raw_tracepoint(name.as_ref()))]
            }
            Target::Tracepoint(category, name) => {
                let of = TracepointCategory::Custom(category.to_string());
                vec![(format!("tp/{category}/{name}"), program.attach_tracepoint(of, name.as_ref()))]
            }
            Target::Each(functions, when) => on_each(functions, *when, program).collect(),
            Target::Together(..) | Target::User { .. } => Vec::new(),
            Target::Called | Target::Iterator => Vec::new(),
            Target::Entry(functions) => {
                let attach = |f: &str| (format!("kprobe/{f}"), program.attach_kprobe(false, without_module(f)));
                functions.iter().map(|f| attach(f)).collect()
            }
            Target::Return(functions) => {
                functions.iter().map(|f| (format!("kretprobe/{f}"), program.attach_kprobe(true, f.as_ref()))).collect()
            }
            Target::SyscallReturn(calls) => {
                let attach = |call: &str| program.attach_ksyscall(true, call);
                calls.iter().map(|call| (format!("kretsyscall/{call}"), attach(call))).collect()
            }
            Target::SyscallEvents(events) => {
                let attach = |event: &str| program.attach_tracepoint(TracepointCategory::Syscalls, event);
                events.iter().map(|event| (format!("tp/syscalls/{event}"), attach(event))).collect()
            }
        }
    }
}

/// The name of a function of a module (`module:function`) as the kernel's symbols have it.
fn without_module(function: &str) -> &str {
    function.rsplit_once(':').map_or(function, |(_, name)| name)
}

/// What a hook in a binary is called.
fn user_hook(binary: &Binary, when: When, multi: &str) -> String {
    let kind = if when == When::Return { "uretprobe" } else { "uprobe" };
    let places = match binary.places.as_slice() {
        [place] => format!("{:#x}", place.offset),
        all => format!("{} places", all.len()),
    };
    format!("{kind}{multi}/{}:{places}", shown(&binary.path))
}

/// In all processes: of one process, a perf event sees one thread alone. Filters are the programs'.
const ANY: i32 = -1;

/// A probe on each of these functions: how it is called, and the result.
fn on_each<'a>(
    functions: &'a [Cow<'static, str>],
    when: When,
    program: &'a ProgramMut<'_>,
) -> impl Iterator<Item = (String, libbpf_rs::Result<Link>)> {
    let (returns, kind) = probe(when);
    functions.iter().map(move |f| (format!("{kind}/{f}"), program.attach_kprobe(returns, f.as_ref())))
}

/// Whether it is a return probe, and what such a hook is called.
fn probe(when: When) -> (bool, &'static str) {
    match when {
        When::Entry => (false, "kprobe"),
        When::Return => (true, "kretprobe"),
    }
}

/// Why a link for many hooks is refused. `unknown`: what it means that the kernel does not know what is asked for.
fn not_attached(error: libbpf_rs::Error, hook: &str, unknown: &'static str) -> anyhow::Error {
    let error = anyhow::Error::from(error).context(format!("attaching to {hook}"));
    match errno(&error) {
        Some(libc::EINVAL | libc::EOPNOTSUPP) => error.context(unknown),
        _ => error,
    }
}

/// Nothing more can be attached, whatever the function.
fn is_full(error: &anyhow::Error) -> bool {
    matches!(errno(error), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::EPERM | libc::EACCES))
}
