//! Where the kernel's type information (BTF) comes from: a named file, the kernel itself, a side archive, a kernel
//! image on disk.

mod identity;

use std::error::Error;
use std::fmt;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, ensure};
use nix::sys::memfd::{MFdFlags, memfd_create};

use self::identity::suits;
use super::archive::Carrier;
use super::side::{INSTALLED, places};
use crate::escape::{printable, shown};
use crate::host::elevated::{elevated, of_root};
use crate::host::mounts::below;
use crate::host::{Host, KERNEL_BTF};
use crate::types::image::{self, Fault};
use crate::types::model::Types;

/// The type information to load programs with. Programs of the kinds `tp_btf`, `fentry` and `fexit` need the kernel's
/// own all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BtfSource {
    /// The running kernel's own: nothing to set.
    Kernel,
    /// Another's, checked. libbpf reads these very bytes, or some of them: the file may have changed since.
    Memory { name: String, bytes: Arc<[u8]> },
}

impl fmt::Display for BtfSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kernel => f.write_str("the kernel"),
            Self::Memory { name, .. } => f.write_str(name),
        }
    }
}

/// Types as a file in memory, for libbpf, which wants a path. The file is there as long as this is.
#[derive(Debug)]
pub(crate) struct TypesFile {
    path: PathBuf,
    _file: File,
}

impl TypesFile {
    /// Types from `name`.
    ///
    /// # Errors
    /// When there is no memory for them, or no /proc to name them by.
    pub fn new(name: &str, bytes: &[u8]) -> anyhow::Result<Self> {
        let what = || format!("keeping the types from {name} in memory");
        let mut file = File::from(memfd_create(c"btf", MFdFlags::MFD_CLOEXEC).with_context(what)?);
        file.write_all(bytes).with_context(what)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        ensure!(
            path.exists(),
            "giving the types from {name} to libbpf: /proc is not mounted\n  mount -t proc proc /proc"
        );
        Ok(Self { path, _file: file })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl BtfSource {
    /// What to give to libbpf as `btf_custom_path`; nothing, for the kernel's own.
    ///
    /// # Errors
    /// Those of [`TypesFile::new`].
    pub(crate) fn file(&self) -> anyhow::Result<Option<TypesFile>> {
        match self {
            Self::Kernel => Ok(None),
            Self::Memory { name, bytes } => TypesFile::new(name, bytes).map(Some),
        }
    }
}

/// Where the user wants it to come from.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted<'a> {
    /// This file, and no other (`--btf`).
    pub file: Option<&'a Path>,
    /// The first side archive to look into, where the kernel has none of its own (`--btf-dir`).
    pub dir: Option<&'a Path>,
}

#[derive(Debug)]
pub struct Found {
    pub source: BtfSource,
    /// What was found before it and cannot be used, and why.
    pub passed_over: Vec<String>,
}

/// Why there is no type information, and what to do about it.
#[derive(Debug)]
pub struct BtfError {
    /// What was looked for and not found, or what is wrong with the named file.
    pub cause: String,
    /// What to do, one way per line.
    pub hints: Vec<String>,
    /// What is wrong with the named file, if one was named.
    pub fault: Option<Fault>,
}

impl fmt::Display for BtfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.cause)?;
        self.hints.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

impl Error for BtfError {}

/// A kernel image with type information on disk, where libbpf looks too (`btf__load_vmlinux_btf()` in its btf.c).
fn images(release: &str) -> [String; 7] {
    [
        format!("/boot/vmlinux-{release}"),
        format!("/lib/modules/{release}/vmlinux-{release}"),
        format!("/lib/modules/{release}/build/vmlinux"),
        format!("/usr/lib/modules/{release}/kernel/vmlinux"),
        format!("/usr/lib/debug/boot/vmlinux-{release}"),
        format!("/usr/lib/debug/boot/vmlinux-{release}.debug"),
        format!("/usr/lib/debug/lib/modules/{release}/vmlinux"),
    ]
}

/// The kernel as it was booted.
fn booted(release: &str) -> [String; 3] {
    [
        format!("/boot/vmlinuz-{release}"),
        format!("/lib/modules/{release}/vmlinuz"),
        format!("/usr/lib/modules/{release}/vmlinuz"),
    ]
}

/// Chooses the type information: the named file if there is one, else the kernel's own, else that of a side archive,
/// else that of an image of this very release on disk.
///
/// # Errors
/// When the named file cannot be used, or when there are no types at all.
pub fn find(wanted: Wanted<'_>, host: &Host) -> Result<Found, BtfError> {
    let allowed = |path: &Path| if elevated() { of_root(path) } else { Ok(path.to_owned()) };
    if let Some(path) = wanted.file {
        let path = &allowed(path).map_err(|cause| not_allowed(path, &cause, host))?;
        let source = open(path, host).map_err(|fault| named(path, fault, host))?;
        return Ok(Found { source, passed_over: Vec::new() });
    }
    if host.has_btf {
        return Ok(Found { source: BtfSource::Kernel, passed_over: Vec::new() });
    }
    let mut passed_over = Vec::new();
    let first = |paths: Vec<PathBuf>, passed_over: &mut Vec<String>| {
        paths.iter().find_map(|path| {
            let opened = match allowed(path) {
                Ok(path) => {
                    open(&path, host).map_err(|fault| (!matches!(fault, Fault::Missing)).then(|| fault.to_string()))
                }
                Err(cause) => Err(Some(format!("may not be used: {cause}"))),
            };
            opened.map_err(|why| passed_over.extend(why.map(|why| format!("{}: it {why}", shown(path))))).ok()
        })
    };
    let installed = below(&host.root, Path::new(INSTALLED));
    let dirs = wanted.dir.into_iter().chain([installed.as_path()]);
    let aside = dirs.flat_map(|dir| places(dir, host)).collect();
    let images = images(&host.release);
    let source = first(aside, &mut passed_over).or_else(|| embedded(host, &mut passed_over)).or_else(|| {
        let packed = ["", ".zst", ".xz", ".gz"];
        let images = images.iter().flat_map(|path| packed.map(|end| format!("{path}{end}")));
        let all = images.chain(booted(&host.release)).map(|path| below(&host.root, Path::new(&path)));
        first(all.collect(), &mut passed_over)
    });
    match source {
        Some(source) => Ok(Found { source, passed_over }),
        None => Err(none(host, &passed_over, &images)),
    }
}

fn none(host: &Host, passed_over: &[String], images: &[String]) -> BtfError {
    let passed_over: String = passed_over.iter().map(|why| format!("; not used: {why}")).collect();
    BtfError {
        cause: format!(
            "no type information (BTF) of the running kernel {}: there is no {KERNEL_BTF} (CONFIG_DEBUG_INFO_BTF is off), \
             none in {INSTALLED}, none embedded in this program, and no image with a .BTF section in {}, {}{passed_over}",
            printable(&host.release),
            images.iter().map(|path| printable(path)).collect::<Vec<_>>().join(", "),
            booted(&host.release).map(|path| printable(&path)).join(", "),
        ),
        hints: advice(host),
        fault: None,
    }
}

/// A file of the running kernel's types.
fn open(path: &Path, host: &Host) -> Result<BtfSource, Fault> {
    let image = image::read(path)?;
    if image.about.module {
        return Err(Fault::Module);
    }
    suits(&image, host)?;
    Types::read(&image.btf)?;
    Ok(BtfSource::Memory { name: shown(path), bytes: image.btf.into() })
}

/// What this program carries.
fn embedded(host: &Host, passed_over: &mut Vec<String>) -> Option<BtfSource> {
    let carrier = Carrier::open(&host.root.join("proc/self/exe")).ok()?;
    let name = format!("the archive in {}", shown(&host.exe));
    match carrier.archive {
        Ok(archive) => {
            let archive = archive?;
            let (_, bytes) = archive.find(host)?;
            let checked = image::check_raw(bytes, bytes.len() as u64).and_then(|()| Types::read(bytes));
            let why = match checked {
                Ok(_) => return Some(BtfSource::Memory { name, bytes: bytes.into() }),
                Err(fault) => fault,
            };
            passed_over.push(format!("{name}: it {why}"));
        }
        Err(fault) => passed_over.push(format!("{name}: it {fault}")),
    }
    None
}

/// Ways to get type information for this kernel.
pub(crate) fn advice(host: &Host) -> Vec<String> {
    let release = printable(&host.release);
    vec![
        "boot a kernel built with CONFIG_DEBUG_INFO_BTF=y (most distributions since 2021)".into(),
        format!("or install the debug package of kernel {release} (linux-image-{release}-dbg, kernel-debuginfo)"),
        format!(
            "or take the BTF file of exactly {release} from elsewhere (BTFHub; `pahole --btf_encode_detached FILE vmlinux`; \
             `coretrace btf min`), or the kernel itself (vmlinux, vmlinuz, its deb or rpm) if it has BTF, and name it: \
             --btf FILE"
        ),
        format!(
            "or keep files for many hosts: {release}.btf below {INSTALLED} or --btf-dir DIR, or in the program itself: \
             `coretrace btf embed OUT DIR`"
        ),
    ]
}

/// A user whose only rights are those of this program may not choose any file.
fn not_allowed(path: &Path, cause: &str, host: &Host) -> BtfError {
    let mut hints = vec!["start it with sudo, or keep the file where only root may write".to_owned()];
    if host.has_btf {
        hints.push(format!("or leave it out: this kernel has its own in {KERNEL_BTF}"));
    }
    BtfError { cause: format!("BTF file {} may not be used: {cause}", shown(path)), hints, fault: None }
}

fn named(path: &Path, fault: Fault, host: &Host) -> BtfError {
    let release = printable(&host.release);
    let hint = match &fault {
        Fault::Missing => "check the name given by --btf or CORETRACE_BTF".into(),
        Fault::Unreadable(_) => "make it readable for this user, or name another".into(),
        Fault::Cut { .. } | Fault::EndsEarly | Fault::Damaged(_) | Fault::BadHeader(_) => {
            "fetch or make it again".into()
        }
        Fault::ForeignByteOrder | Fault::ForeignMachine(_) | Fault::OtherKernel { .. } => {
            format!("name the BTF file of kernel {release} on this machine")
        }
        Fault::Packed(_) => "unpack it first".into(),
        Fault::Module => format!("name the types of kernel {release} itself"),
        Fault::NewerKind(_) => "take a newer coretrace".into(),
        Fault::NotBtf | Fault::TooLarge | Fault::NoPayload | Fault::NoTypes | Fault::NoKernel => {
            format!("name a raw BTF file, or a vmlinux, vmlinuz or package with BTF, of kernel {release}")
        }
        Fault::NoSection => {
            "name a vmlinux with a .BTF section; `pahole -J vmlinux` makes one from DWARF debug information".into()
        }
    };
    let mut hints: Vec<String> = vec![hint];
    if host.has_btf {
        hints.push(format!("or leave it out: this kernel has its own in {KERNEL_BTF}"));
    }
    BtfError { cause: format!("BTF file {}: {fault}", shown(path)), hints, fault: Some(fault) }
}

#[cfg(test)]
mod tests;
