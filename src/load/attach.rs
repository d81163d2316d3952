//! Puts the programs of a loaded object on their hooks.

use std::cell::RefCell;

use anyhow::{Context, Result, ensure};
use libbpf_rs::{ErrorKind, Link, Object, ProgramMut, TracepointCategory};

use crate::load::every_cpu::EveryCpu;
use crate::load::plan::{Program, Target};

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
    pub exits: Vec<(String, String)>,
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

    fn attach_one(&mut self, wanted: &Program, program: &ProgramMut<'_>) -> Result<()> {
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

    /// Each hook that the program may go on, and the result of attaching it there.
    fn links_of(&self, wanted: &Program, program: &ProgramMut<'_>) -> Vec<(String, libbpf_rs::Result<Link>)> {
        match &wanted.target {
            Target::Section => vec![(program.section().to_string_lossy().into_owned(), program.attach())],
            Target::Exit(_) => {
                let chosen = self.exits.iter().find(|(name, _)| *name == wanted.name);
                vec![(format!("fexit/{}", chosen.map_or("", |(_, function)| function)), program.attach())]
            }
            Target::Entry(functions) => {
                functions.iter().map(|f| (format!("kprobe/{f}"), program.attach_kprobe(false, f.as_ref()))).collect()
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
