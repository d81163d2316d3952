//! `coretrace btf dump`: all types, as a C header or as they are.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use super::declare::{Declare, clean};
use crate::error::Usage;
use crate::escape::shown;
use crate::types::relo::Target;

/// `coretrace btf dump -o`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum BtfFormat {
    /// C, to be included by BPF programs
    #[default]
    C,
    /// The bytes of the BTF
    Raw,
}

/// BPF programs that include this get relocations (CO-RE) for what they read; it guards itself as `bpftool btf dump`'s.
const HEAD: &str = "\
#ifndef __VMLINUX_H__
#define __VMLINUX_H__

#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
#endif

";
const TAIL: &str = "\
#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute pop
#endif

#endif /* __VMLINUX_H__ */
";

/// Writes the types to the file, or to stdout.
///
/// # Errors
/// When there are no types, or they cannot be written.
pub(super) fn dump(target: Target, format: BtfFormat, out: Option<&Path>) -> Result<u8> {
    let out = out.filter(|path| path.as_os_str() != "-");
    if format == BtfFormat::Raw && out.is_none() && io::stdout().is_terminal() {
        return Err(anyhow::anyhow!("the types are no text: name a file (-O FILE), or send them on").context(Usage));
    }
    let written = match out {
        Some(path) => {
            let name = shown(path);
            let file = File::create(path).with_context(|| format!("creating {name}"))?;
            write(&target, format, BufWriter::new(file)).with_context(|| format!("writing {name}"))
        }
        None => write(&target, format, BufWriter::new(io::stdout().lock())).context("writing to stdout"),
    };
    match written {
        // A closed pipe is a normal end.
        Err(error) if error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe) => Ok(0),
        other => other.map(|()| 0),
    }
}

pub(super) fn write(target: &Target, format: BtfFormat, mut out: impl Write) -> Result<()> {
    let types = &target.types;
    if format == BtfFormat::Raw {
        out.write_all(types.btf.bytes())?;
        return Ok(out.flush()?);
    }
    let all = types.own();
    let mut declare = Declare::new(target, all.clone())?;
    out.write_all(HEAD.as_bytes())?;
    for id in all {
        match declare.0.define(id) {
            Ok(text) => out.write_all(clean(&text).as_bytes())?,
            Err(errno) => bail!("{}: type {id} cannot be written in C: error {errno}", target.name()),
        }
    }
    out.write_all(TAIL.as_bytes())?;
    Ok(out.flush()?)
}
