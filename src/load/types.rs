//! The kernel types that the objects of a run are loaded with: the few that they ask for, in one file for all of them, and
//! the numbers of what typed programs hook. Without it, libbpf reads all types of the kernel again for each object.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::Path;

use anyhow::Result;

use crate::ffi::kernel_file::KernelFile;
use crate::ffi::typed::take_numbers;
use crate::host::KERNEL_BTF;
use crate::load::modules::modules;
use crate::load::plan::Target;
use crate::load::source::Source;
use crate::types::btf::{BtfSource, TypesFile};
use crate::types::relo::{Few, Hook, Needs, few, function, hook_of, joined};

/// Types for all objects of a run.
#[derive(Debug)]
pub(crate) struct RunTypes {
    /// What libbpf gets as `btf_custom_path`; nothing, for the kernel's own. The file is there as long as this is.
    file: Option<TypesFile>,
    /// The numbers of what typed programs hook, among the running kernel's types, if these were read.
    hooks: Option<HashMap<Hook, u32>>,
    /// Whether the kernel has bpf_loop, which programs call where it has.
    pub loops: bool,
}

/// The value of `enum bpf_func_id` whose presence shows that the kernel has bpf_loop.
const LOOP: &[u8] = b"\0BPF_FUNC_loop\0";

impl RunTypes {
    /// The few types that these objects need; where they cannot be picked out, all types, as libbpf itself reads them.
    ///
    /// # Errors
    /// When types that libbpf does not find itself cannot be given to it.
    pub fn of<'a>(btf: &BtfSource, objects: impl Iterator<Item = &'a dyn Source>) -> Result<Self> {
        let picked = picked(btf, objects);
        let loops = picked.as_ref().is_none_or(|few| few.btf.windows(LOOP.len()).any(|name| name == LOOP));
        let file = picked.as_ref().and_then(|few| TypesFile::new(&btf.to_string(), &few.btf).ok());
        let hooks = picked.map(|few| few.hooks).filter(|_| *btf == BtfSource::Kernel);
        if hooks.is_some() {
            take_numbers();
        }
        Ok(Self { file: if file.is_some() { file } else { btf.file()? }, hooks, loops })
    }

    pub fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(TypesFile::path)
    }

    /// The number of what the program of a section hooks. None where it is not known: libbpf looks for it.
    pub fn number(&self, section: &str) -> Option<u32> {
        self.hooks.as_ref()?.get(&hook_of(section)?).copied()
    }

    /// The first of these functions that the kernel has, and its number. None where that is not known.
    pub fn first<'n>(&self, names: impl Iterator<Item = &'n str>) -> Option<Option<(&'n str, u32)>> {
        let hooks = self.hooks.as_ref()?;
        let mut found = names.filter_map(|name| Some((name, *hooks.get(&function(name))?)));
        Some(found.next())
    }
}

/// All that the objects ask for, out of the types of that source.
fn picked<'a>(btf: &BtfSource, objects: impl Iterator<Item = &'a dyn Source>) -> Option<Few> {
    let mut needs = Needs::default();
    let mut of_modules = BTreeSet::new();
    for source in objects {
        needs.add(source.object())?;
        for program in source.plans().into_iter().flat_map(|plan| plan.programs) {
            of_modules.extend(modules(&program).map(str::to_owned));
            match program.target {
                Target::Exit(functions) | Target::TypedEntry(functions) => {
                    functions.iter().for_each(|name| needs.add_hook(function(name)));
                }
                Target::TypedTracepoint(name) => {
                    hook_of(&format!("tp_btf/{name}")).into_iter().for_each(|hook| needs.add_hook(hook));
                }
                _ => {}
            }
        }
    }
    match btf {
        BtfSource::Memory { bytes, .. } => few(&needs, bytes),
        BtfSource::Kernel => match KernelFile::map(Path::new(KERNEL_BTF)) {
            Some(mapped) => of_kernel(&needs, mapped.bytes(), &of_modules),
            None => of_kernel(&needs, &fs::read(KERNEL_BTF).ok()?, &of_modules),
        },
    }
}

/// The same out of the running kernel's own types, and where these do not have all, of the types of modules, too: a struct
/// that the kernel proper does not use is among those of its module alone.
fn of_kernel(needs: &Needs, btf: &[u8], of_modules: &BTreeSet<String>) -> Option<Few> {
    let mut found = few(needs, btf)?;
    for module in of_modules {
        // What is damaged or not there does not keep the rest from loading.
        let types = fs::read(Path::new(KERNEL_BTF).with_file_name(module)).ok().filter(|_| found.lacking > 0);
        let more = types.and_then(|types| few(needs, &joined(btf, &types)?));
        if let Some(more) = more.filter(|more| more.lacking < found.lacking) {
            // Numbers of what is hooked are the kernel's: libbpf finds those of modules.
            found = Few { hooks: found.hooks, ..more };
        }
    }
    Some(found)
}
