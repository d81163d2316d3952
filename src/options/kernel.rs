//! How events are taken from the kernel.

use std::path::PathBuf;

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};

use crate::load::plan::Hook;
use crate::load::settings::Transport;
use crate::types::btf::Wanted;

/// How events are taken from the kernel.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Kernel")]
pub struct Kernel {
    /// The kernel's types from FILE: BTF, or a vmlinux, a vmlinuz or a kernel package (deb, rpm) that holds it
    #[arg(long, value_name = "FILE", env = "CORETRACE_BTF")]
    pub btf: Option<PathBuf>,
    /// Where else they may be.
    #[command(flatten)]
    pub side: Side,
    /// How programs are loaded and hooked in.
    #[command(flatten)]
    pub hooking: Hooking,
}

impl Kernel {
    /// Where the user wants types to come from.
    #[must_use]
    pub fn wanted(&self) -> Wanted<'_> {
        Wanted { file: self.btf.as_deref(), dir: self.side.btf_dir.as_deref() }
    }
}

/// Where types of kernels without their own are kept.
#[derive(Debug, Default, Clone, Args)]
#[command(next_help_heading = "Kernel")]
pub struct Side {
    /// Where the kernel has no types of its own, look for them below DIR, then /usr/share/coretrace/btf:
    /// [[DISTRO/VERSION/]ARCH/]RELEASE.btf, also compressed
    #[arg(long, value_name = "DIR", env = "CORETRACE_BTF_DIR")]
    pub btf_dir: Option<PathBuf>,
}

/// How programs are loaded and hooked in.
#[derive(Debug, Default, Clone, Args)]
#[command(next_help_heading = "Kernel")]
pub struct Hooking {
    /// Size of the event buffer, for example 16M (by default 512K for each CPU, 2M to 64M)
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub buffer: Option<u64>,
    /// Ring buffer or perf buffer
    #[arg(long, value_enum)]
    pub transport: Option<Transport>,
    /// The only way to hook in that is tried; not every command has every way
    #[arg(long, value_name = "HOW", value_enum, default_value = "auto")]
    pub attach: Attach,
}

/// `--attach`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attach(
    /// The only way that is tried; none: the best that works.
    pub Option<Hook>,
);

impl ValueEnum for Attach {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: [Attach; Hook::ALL.len() + 1] = {
            let mut all = [Attach(None); Hook::ALL.len() + 1];
            let mut n = 0;
            while n < Hook::ALL.len() {
                all[n + 1] = Attach(Some(Hook::ALL[n]));
                n += 1;
            }
            all
        };
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.0.map_or("auto", Hook::name)))
    }
}

fn size(text: &str) -> Result<u64, String> {
    let upper = text.trim().to_ascii_uppercase();
    let upper = upper.strip_suffix('B').unwrap_or(&upper);
    let upper = upper.strip_suffix('I').unwrap_or(upper);
    let (digits, shift) = match upper.as_bytes().last() {
        Some(b'K') => (upper.trim_end_matches('K'), 10),
        Some(b'M') => (upper.trim_end_matches('M'), 20),
        Some(b'G') => (upper.trim_end_matches('G'), 30),
        _ => (upper, 0),
    };
    let number: u64 = digits.parse().map_err(|_| "not a size: write 65536, 512K or 16M".to_owned())?;
    match number.checked_mul(1 << shift) {
        Some(bytes) if (4096..=1 << 30).contains(&bytes) => Ok(bytes),
        _ => Err("must be from 4K to 1G".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        assert_eq!(size("16M"), Ok(16 << 20));
        assert_eq!((size("512k"), size("4KiB"), size("65536")), (Ok(512 << 10), Ok(4096), Ok(65536)));
        for bad in ["", "M", "-1", "1K", "2G", "99999999999999999999", "1.5M", "18446744073709551615K"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }
}
