//! Where the kernel's type information (BTF) comes from: a named file, the kernel itself, a kernel image on disk.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::btf_file::check;
use super::mounts::below;
use super::{Host, printable};

/// Where the kernel itself shows it (since 5.4, `CONFIG_DEBUG_INFO_BTF`).
pub(crate) const KERNEL: &str = "/sys/kernel/btf/vmlinux";

/// The type information to load programs with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BtfSource {
    /// The running kernel's own: nothing to set.
    Kernel,
    /// A file, checked: hand it to `btf_custom_path`. Programs of the kinds `tp_btf`, `fentry` and `fexit` need the
    /// kernel's own all the same.
    File(PathBuf),
}

/// What is wrong with a file of type information.
#[derive(Debug)]
pub enum Fault {
    /// There is no such file.
    Missing,
    /// It cannot be read.
    Unreadable(io::Error),
    /// It ends early.
    Cut {
        /// Its size in bytes.
        size: u64,
        /// The size that its header promises.
        wanted: u64,
    },
    /// It comes from a machine of the other byte order.
    ForeignByteOrder,
    /// It is something else.
    NotBtf {
        /// It is a compressed file, which may hold what is wanted.
        compressed: bool,
    },
    /// It begins like BTF, and what follows makes no sense.
    BadHeader(&'static str),
    /// It is an ELF file without a `.BTF` section.
    NoSection,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => write!(f, "there is no such file"),
            Self::Unreadable(error) => write!(f, "cannot be read: {error}"),
            Self::Cut { size, wanted } => write!(f, "is cut: {size} bytes of {wanted}"),
            Self::ForeignByteOrder => write!(f, "is of the other byte order: it comes from another kind of machine"),
            Self::NotBtf { compressed: true } => write!(f, "is compressed"),
            Self::NotBtf { compressed: false } => write!(f, "is not BTF, nor an ELF file that could hold it"),
            Self::BadHeader(why) => write!(f, "is damaged: {why}"),
            Self::NoSection => write!(f, "is an ELF file without a .BTF section"),
        }
    }
}

/// Why there is no type information, and what to do about it.
#[derive(Debug)]
pub struct BtfError {
    /// What was looked for and not found, or what is wrong with the named file.
    pub cause: String,
    /// What to do, one way per line.
    pub mend: Vec<String>,
    /// What is wrong with the named file, if one was named.
    pub fault: Option<Fault>,
}

impl fmt::Display for BtfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.cause)?;
        self.mend.iter().try_for_each(|line| write!(f, "\n  {line}"))
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

/// Chooses the type information: `option` (of the command line or the environment) if given, else the kernel's own,
/// else an image of this very release on disk.
///
/// # Errors
/// When the named file cannot serve, or when there is none at all.
pub fn find(option: Option<&Path>, host: &Host) -> Result<BtfSource, BtfError> {
    if let Some(path) = option {
        return match check(path) {
            Ok(()) => Ok(BtfSource::File(path.to_owned())),
            Err(fault) => Err(named(path, fault, host)),
        };
    }
    if host.has_btf {
        return Ok(BtfSource::Kernel);
    }
    let images = images(&host.release);
    let found = images.iter().map(|path| below(&host.root, Path::new(path))).find(|path| check(path).is_ok());
    found.map(BtfSource::File).ok_or_else(|| BtfError {
        cause: format!(
            "no type information (BTF) of the running kernel {}: there is no {KERNEL} (CONFIG_DEBUG_INFO_BTF is off), \
             and no image with a .BTF section in {}",
            printable(&host.release),
            images.map(|path| printable(&path)).join(", ")
        ),
        mend: advice(host),
        fault: None,
    })
}

/// How to come by type information for this kernel.
pub(super) fn advice(host: &Host) -> Vec<String> {
    let release = printable(&host.release);
    vec![
        "boot a kernel built with CONFIG_DEBUG_INFO_BTF=y (most distributions since 2021)".into(),
        format!("or install the debug package of kernel {release} (linux-image-{release}-dbg, kernel-debuginfo)"),
        format!(
            "or take the BTF file of exactly {release} from elsewhere (BTFHub; `pahole --btf_encode_detached FILE vmlinux`; \
             `bpftool gen min_core_btf`), and name it: --btf FILE"
        ),
    ]
}

fn named(path: &Path, fault: Fault, host: &Host) -> BtfError {
    let release = printable(&host.release);
    let mend = match &fault {
        Fault::Missing => "check the name given by --btf or CORETRACE_BTF".into(),
        Fault::Unreadable(_) => "make it readable for this user, or name another".into(),
        Fault::Cut { .. } | Fault::BadHeader(_) => "fetch or make it again".into(),
        Fault::ForeignByteOrder => format!("name the BTF file of kernel {release} on this machine"),
        Fault::NotBtf { compressed: true } => "unpack it first".into(),
        Fault::NotBtf { compressed: false } => {
            format!("name a raw BTF file or a vmlinux (not vmlinuz) with a .BTF section, of kernel {release}")
        }
        Fault::NoSection => {
            "name a vmlinux with a .BTF section; `pahole -J vmlinux` makes one from DWARF debug information".into()
        }
    };
    let mut mend: Vec<String> = vec![mend];
    if host.has_btf {
        mend.push(format!("or leave it out: this kernel has its own in {KERNEL}"));
    }
    BtfError { cause: format!("BTF file {}: {fault}", printable(&path.to_string_lossy())), mend, fault: Some(fault) }
}

/// The smallest sound BTF, in this machine's byte order: one type (int), for tests.
#[cfg(test)]
pub(crate) fn sample() -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(0xeb9f_u16.to_ne_bytes());
    bytes.extend([1, 0]);
    for number in [24_u32, 0, 16, 16, 5, 1, 1 << 24, 4, 0x0100_0020] {
        bytes.extend(number.to_ne_bytes());
    }
    bytes.extend(b"\0int\0");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::fake::Tree;

    #[test]
    fn the_kernels_own_is_taken_unless_a_file_is_named() {
        let tree = Tree::debian();
        assert_eq!(find(None, &tree.host()).unwrap(), BtfSource::Kernel);
        tree.file("my.btf", sample());
        let path = tree.path("my.btf");
        assert_eq!(find(Some(&path), &tree.host()).unwrap(), BtfSource::File(path));
    }

    #[test]
    fn a_bad_file_is_an_error_though_the_kernel_has_its_own() {
        let tree = Tree::debian();
        let error = find(Some(&tree.path("gone")), &tree.host()).unwrap_err();
        assert!(matches!(error.fault, Some(Fault::Missing)));
        let text = error.to_string();
        assert!(text.contains("/gone: there is no such file\n  check the name given by --btf"), "{text}");
        assert!(text.ends_with("or leave it out: this kernel has its own in /sys/kernel/btf/vmlinux"), "{text}");
    }

    #[test]
    fn an_image_on_disk_is_the_last_resort() {
        let tree = Tree::debian();
        tree.remove("sys/kernel/btf/vmlinux");
        tree.file("boot/vmlinux-6.1.0-50-cloud-amd64", "not BTF");
        assert!(find(None, &tree.host()).is_err());
        tree.file("usr/lib/debug/boot/vmlinux-6.1.0-50-cloud-amd64", sample());
        let path = tree.path("usr/lib/debug/boot/vmlinux-6.1.0-50-cloud-amd64");
        assert_eq!(find(None, &tree.host()).unwrap(), BtfSource::File(path));
    }

    #[test]
    fn without_any_the_error_says_what_to_do() {
        let tree = Tree::debian();
        tree.remove("sys/kernel/btf/vmlinux");
        let error = find(None, &tree.host()).unwrap_err();
        assert!(error.fault.is_none());
        for part in ["6.1.0-50-cloud-amd64", "CONFIG_DEBUG_INFO_BTF", KERNEL, "/boot/vmlinux-6.1.0-50-cloud-amd64,"] {
            assert!(error.cause.contains(part), "{part}: {}", error.cause);
        }
        let text = error.to_string();
        for part in ["min_core_btf", "--btf FILE", "debug package of kernel 6.1.0-50"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn the_sample_is_what_bpf_tools_write() {
        // As dumped by `bpftool btf dump`: [1] INT 'int' size=4 bits_offset=0 nr_bits=32 encoding=SIGNED.
        assert_eq!(sample().len(), 24 + 16 + 5);
    }
}
