//! `coretrace btf`: looks into the types (BTF) of a kernel, and makes small files of them.

mod declare;
mod diff;
mod dump;
mod embed;
#[cfg(any(test, feature = "fuzz"))]
mod fuzz;
mod layout;
mod lookup;
mod ls;
mod min;
pub(crate) mod minimize;
mod show;

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Subcommand;

use self::dump::BtfFormat;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) use self::fuzz::all_of;
use crate::commands::kernel_types;
use crate::commands::report_format::Choice;
use crate::ffi::log;
use crate::types::relo::Target;

/// `coretrace btf`.
#[derive(Debug, Subcommand)]
pub enum Btf {
    /// List the types that the kernel shows: its own and those of its modules
    Ls {
        /// Those that this coretrace carries (`btf embed`)
        #[arg(long)]
        embedded: bool,
        /// Format
        #[arg(short = 'o', long = "output", value_name = "FORMAT", value_enum, default_value_t)]
        format: Choice,
    },
    /// Show types as C declares them, with offsets and sizes
    Show {
        /// What to show: task_struct, task_struct.se.vruntime, 'enum pid_type', PIDTYPE_TGID, u64, filp_close
        #[arg(value_name = "NAME", required = true)]
        names: Vec<String>,
        /// The kernel's types (BTF, or any kernel or package that holds it), where not those of the running kernel
        #[arg(long, value_name = "FILE", env = "CORETRACE_BTF")]
        btf: Option<PathBuf>,
        /// Of a module's types (--btf): those of its kernel, where they do not lie beside it, as `vmlinux`
        #[arg(long, value_name = "FILE", requires = "btf")]
        base: Option<PathBuf>,
        /// Format
        #[arg(short = 'o', long = "output", value_name = "FORMAT", value_enum, default_value_t)]
        format: Choice,
    },
    /// Show what changed between the types of two kernels; the exit code is 0, whatever changed
    Diff {
        /// Types of the one kernel (BTF, or any kernel or package that holds it)
        a: PathBuf,
        /// Types of the other
        b: PathBuf,
        /// Only these types; if none is named, those that coretrace looks into
        #[arg(value_name = "TYPE")]
        types: Vec<String>,
        /// Format
        #[arg(short = 'o', long = "output", value_name = "FORMAT", value_enum, default_value_t)]
        format: Choice,
    },
    /// Write the few types that coretrace needs of a kernel, for where the kernel has none of its own (--btf)
    Min {
        /// The file to write; of several FILEs: the directory in which each gets one, as NAME.btf
        out: PathBuf,
        /// Types of kernels (BTF, or kernels and packages that hold it); if none is named, those of the running kernel
        #[arg(value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Write a copy of this coretrace that carries types of kernels that have none of their own
    Embed {
        /// The copy
        out: PathBuf,
        /// Types of kernels (BTF, called RELEASE.btf, or a vmlinux, a vmlinuz, a package) and directories of such, also
        /// as [[DISTRO/VERSION/]ARCH/]RELEASE.btf; if none is named, the running kernel's. What this coretrace carries
        /// already is kept
        #[arg(value_name = "FILE|DIR")]
        files: Vec<PathBuf>,
    },
    /// Write all types as a C header, or as they are
    Dump {
        /// The kernel's types (BTF, or any kernel or package that holds it), where not those of the running kernel
        #[arg(long, value_name = "FILE", env = "CORETRACE_BTF")]
        btf: Option<PathBuf>,
        /// Of a module's types (--btf): those of its kernel, where they do not lie beside it, as `vmlinux`
        #[arg(long, value_name = "FILE", requires = "btf")]
        base: Option<PathBuf>,
        /// Format
        #[arg(short = 'o', long = "output", value_name = "FORMAT", value_enum, default_value_t)]
        format: BtfFormat,
        /// Write to FILE (- is stdout)
        #[arg(short = 'O', long, value_name = "FILE")]
        output_file: Option<PathBuf>,
    },
}

/// Does what the options say; returns the exit code.
///
/// # Errors
/// When there are no types, or what is asked for is not among them.
pub(crate) fn btf(options: &Btf) -> Result<u8> {
    log::capture_log(false);
    match options {
        Btf::Min { out, files } => min::min(out, files),
        Btf::Ls { embedded: true, format } => embed::list(*format),
        Btf::Ls { format, .. } => ls::ls(*format),
        Btf::Embed { out, files } => embed::embed(out, files),
        Btf::Dump { btf, base, format, output_file } => {
            dump::dump(target(btf.as_deref(), base.as_deref())?, *format, output_file.as_deref())
        }
        Btf::Show { names, btf, base, format } => show::show(&target(btf.as_deref(), base.as_deref())?, names, *format),
        Btf::Diff { a, b, types, format } => diff::diff([a, b], types, *format),
    }
}

/// The types that are named, a module's, too; or those that a run here would take.
fn target(file: Option<&Path>, base: Option<&Path>) -> Result<Target> {
    file.map_or_else(|| kernel_types::of_a_run(None), |file| Target::read_with(file, base))
}

#[cfg(test)]
mod tests;
