//! Opens, configures and loads one object, with the programs of one plan. They are attached later.

use std::borrow::Cow;
use std::path::Path;

use anyhow::{Context, Result, bail};
use libbpf_rs::{Object, ObjectBuilder, OpenObject, OpenProgramMut};

use crate::ffi::typed::set_number;
use crate::host::{has_module, has_module_types};
use crate::load::attach::Hooks;
use crate::load::callbacks;
use crate::load::every_cpu::EveryCpu;
use crate::load::plan::{Plan, Target};
use crate::load::proof::{self, Misfit};
use crate::load::session::Session;
use crate::load::shared::{self, Shared};
use crate::load::source::Source;
use crate::load::types::RunTypes;

/// A loaded object, not attached yet.
pub(crate) struct Loaded {
    pub object: Object,
    pub hooks: Hooks,
    /// Why its programs could not be tested on coretrace's own task (src/load/proof.rs).
    pub unproven: Option<String>,
}

/// Loads a plan's programs.
///
/// # Errors
/// When the kernel refuses them; [`Misfit`] when the types are another kernel's.
pub(crate) fn load(
    session: &Session,
    types: &RunTypes,
    source: &dyn Source,
    plan: &Plan,
    shared: Option<&Shared>,
) -> Result<Loaded> {
    let mut builder = ObjectBuilder::default();
    builder.name(source.name()).context("naming the BPF object")?;
    if let Some(types) = types.path() {
        builder.btf_custom_path(types).context("naming the BTF file")?;
    }
    let mut elf = source.made_for(plan);
    if !types.loops {
        elf = callbacks::called(&elf)?.0.into();
    }
    let mut open = builder.open_memory(&elf).context("opening the BPF object")?;
    source.configure(session, plan, &mut open)?;
    let every_cpu = session.entry_on_one_cpu.then(EveryCpu::default);
    let mut hooks = Hooks { every_cpu, cookies: session.cookies, ..Hooks::default() };
    choose(session, types, plan, &mut open, &mut hooks)?;
    for mut map in open.maps_mut() {
        shared::prepare(session, shared, &mut map)?;
    }
    let object = open.load().context("loading the BPF programs")?;
    let unproven = match proof::prove(&object, source.embedded().proof) {
        Err(error) if error.is::<Misfit>() => return Err(error),
        proven => proven.err().map(|error| format!("{error:#}")),
    };
    Ok(Loaded { object, hooks, unproven })
}

/// include/linux/bpf_verifier.h: the verifier reports how many instructions it processed.
const BPF_LOG_STATS: u32 = 4;

/// Chooses the programs to load, and for those with several functions, the one to attach to.
fn choose(session: &Session, types: &RunTypes, plan: &Plan, object: &mut OpenObject, hooks: &mut Hooks) -> Result<()> {
    let settings = &session.settings;
    for mut program in object.progs_mut() {
        let wanted = plan.programs.iter().find(|p| {
            program.name() == p.name.as_ref() && p.is_needed(settings.kinds, settings.follow, settings.filter_pids)
        });
        let mut there = wanted.is_some();
        match wanted.map(|wanted| (wanted, &wanted.target)) {
            Some((wanted, Target::Exit(functions))) => {
                let chosen = first(types, functions, &mut program)?;
                there = chosen.is_some();
                match chosen {
                    Some(function) => hooks.chosen.push((wanted.name.to_string(), function.to_owned())),
                    None => hooks.lacks(&typed(functions), wanted.optional)?,
                }
            }
            Some((_, Target::Section)) => {
                let number = program.section().to_str().and_then(|section| types.number(section));
                number.map_or(Ok(()), |number| set_number(&mut program, number))?;
            }
            Some((wanted, Target::TypedEntry(functions))) => {
                let chosen = first(types, functions, &mut program)?;
                there = chosen.is_some();
                match (chosen, functions.as_slice()) {
                    (Some(function), _) => hooks.chosen.push((wanted.name.to_string(), function.to_owned())),
                    (None, [name]) if !wanted.optional => {
                        bail!("finding {name} among the kernel's types: there is no such function")
                    }
                    (None, _) => hooks.lacks(&typed(functions), wanted.optional)?,
                }
            }
            // It is attached by the kernel's own types.
            Some((wanted, Target::Iterator)) if !session.kernel_btf => {
                there = false;
                hooks.lacks("BTF of its own, for iterators", wanted.optional)?;
            }
            Some((_, Target::TypedTracepoint(name))) => {
                let set = match types.number(&format!("tp_btf/{name}")) {
                    Some(number) => set_number(&mut program, number),
                    None => program.set_attach_target(0, Some(name.to_string())).map_err(Into::into),
                };
                set.with_context(|| format!("finding {name} among the kernel's types"))?;
            }
            _ => {}
        }
        program.set_autoload(there || program.name() == proof::PROGRAM);
        if session.verifier_stats {
            program.set_log_level(BPF_LOG_STATS);
        }
    }
    Ok(())
}

/// What a kernel lacks that has none of these functions among its types.
fn typed(functions: &[Cow<'static, str>]) -> String {
    let functions = || functions.iter().map(AsRef::as_ref);
    let module = functions().find_map(|name: &str| Some(name.split_once(':')?.0));
    match module.filter(|module| has_module(Path::new("/"), module) && !has_module_types(Path::new("/"), module)) {
        Some(module) => format!("types of the module {module} (5.11, CONFIG_DEBUG_INFO_BTF_MODULES)"),
        None => functions().collect::<Vec<_>>().join(" or "),
    }
}

/// Sets the first of these functions that the kernel has as what a program hooks.
fn first<'n>(
    types: &RunTypes,
    functions: &'n [Cow<'static, str>],
    program: &mut OpenProgramMut<'_>,
) -> Result<Option<&'n str>> {
    let mut names = functions.iter().map(AsRef::as_ref);
    // Those of modules have types of their own, which libbpf reads.
    let of_kernel = functions.iter().all(|name| !name.contains(':'));
    let Some(known) = types.first(names.clone()).filter(|_| of_kernel) else {
        return Ok(names.find(|name: &&str| program.set_attach_target(0, Some((*name).to_owned())).is_ok()));
    };
    if let Some((_, number)) = known {
        set_number(program, number)?;
    }
    Ok(known.map(|(name, _)| name))
}
