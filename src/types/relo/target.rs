//! A kernel whose types are looked into: where they come from, and what is known of it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::escape::shown;
use crate::ffi::kernel_file::KernelFile;
use crate::host::{Host, KERNEL_BTF};
use crate::types::btf::BtfSource;
use crate::types::image::{self, About, Fault, Image};
use crate::types::model::Types;

/// A kernel's types, and where they are from.
#[derive(Debug)]
pub(crate) struct Target {
    pub path: PathBuf,
    pub types: Types,
    pub about: About,
}

impl Target {
    /// Reads a file.
    ///
    /// # Errors
    /// When it holds none, with the file's name.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        Self::load(path).map_err(|fault| described(path, &fault))
    }

    /// The same, with what is wrong.
    pub fn load(path: &Path) -> Result<Self, Fault> {
        let Image { btf, about, .. } = image::read(path)?;
        if about.module {
            return Err(Fault::Module);
        }
        Ok(Self { path: path.to_owned(), types: Types::read(&btf)?, about })
    }

    /// Reads a file that may be a module's: then with the types of its kernel, which are those of `base`, or those that it
    /// brings along, or those beside it (as in /sys/kernel/btf), or the running kernel's where it is for that.
    ///
    /// # Errors
    /// When it holds no types, or a module's and there are none of its kernel.
    pub fn read_with(path: &Path, base: Option<&Path>) -> anyhow::Result<Self> {
        let named = |fault| described(path, &fault);
        let Image { btf, about, base: brought } = image::read(path).map_err(named)?;
        if !about.module {
            return Ok(Self { path: path.to_owned(), types: Types::read(&btf).map_err(named)?, about });
        }
        let sibling = path.with_file_name("vmlinux");
        let of_kernel = match (base, brought) {
            (Some(base), _) => Self::read(base)?.types,
            (None, Some(base)) => Types::read(&base).map_err(named)?,
            (None, None) if sibling.is_file() && sibling != path => Self::read(&sibling)?.types,
            (None, None) if about.release == Some(Host::read(Path::new("/")).release) => {
                Self::read(Path::new(KERNEL_BTF))?.types
            }
            _ => return Err(named(Fault::Module)),
        };
        let types = Types::of_module(&btf, of_kernel).map_err(named)?;
        Ok(Self { path: path.to_owned(), types, about })
    }

    /// What a run loads with, to be looked into, not to be matched with. Unlike [`Target::of`] it does not look whether
    /// the running kernel's own types make sense, which takes as long as all else of a start.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of_run(source: &BtfSource) -> anyhow::Result<Self> {
        if *source != BtfSource::Kernel {
            return Self::of(source);
        }
        let path = PathBuf::from(KERNEL_BTF);
        let read = || match KernelFile::map(&path) {
            Some(mapped) => Types::trusted(mapped.bytes()),
            None => Types::trusted(&fs::read(&path)?),
        };
        let types = read().map_err(|fault| described(&path, &fault))?;
        Ok(Self { path, types, about: About::default() })
    }

    /// What a run loads with.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of(source: &BtfSource) -> anyhow::Result<Self> {
        match source {
            BtfSource::Kernel => Self::read(Path::new(KERNEL_BTF)),
            BtfSource::Memory { name, bytes } => {
                let types = Types::read(bytes).map_err(|fault| anyhow::anyhow!("BTF of {name}: {fault}"))?;
                Ok(Self { path: PathBuf::from(name), types, about: About::default() })
            }
        }
    }

    /// Its name in a line of output.
    pub fn name(&self) -> String {
        shown(&self.path)
    }
}

/// What is wrong with a file, and what to do about a module's.
pub(crate) fn described(path: &Path, fault: &Fault) -> anyhow::Error {
    let what = match fault {
        Fault::Module => {
            "\n  name the types of its kernel (/sys/kernel/btf/vmlinux, a vmlinux, a vmlinuz), or to look into the module: \
             `coretrace btf show --base KERNEL` and `btf dump --base KERNEL`, or keep the kernel's beside it, as `vmlinux`"
        }
        Fault::NewerKind(_) => "\n  take a newer coretrace",
        _ => "",
    };
    anyhow::anyhow!("BTF file {}: {fault}{what}", shown(path))
}
