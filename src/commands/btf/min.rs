//! `coretrace btf min`: files of the few types that coretrace needs of a kernel.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::commands::btf::minimize::minimize;
use crate::commands::kernel_types::of_a_run;
use crate::commands::print::print;
use crate::commands::report_format::Choice;
use crate::escape::shown;
use crate::options::variable;
use crate::types::relo::Target;

/// Writes the types of each file, or of the running kernel, and prints how many bytes they are.
///
/// # Errors
/// When there are no types, when they cannot be used, or when a file cannot be written.
pub(super) fn min(out: &Path, files: &[PathBuf]) -> Result<u8> {
    let mut own = match files {
        [] => Some(of_a_run(variable("CORETRACE_BTF").map(PathBuf::from).as_deref())?),
        _ => None,
    };
    let files = own.as_ref().map_or_else(|| files.to_vec(), |own| vec![own.path.clone()]);
    let mut summary = String::new();
    for (file, out) in files.iter().zip(places(out, &files)?) {
        let target = own.take().map_or_else(|| Target::read(file), Ok)?;
        let bytes = minimize(&target)?;
        fs::write(&out, &bytes).with_context(|| format!("writing {}", shown(&out)))?;
        let whole = target.types.btf.bytes().len();
        writeln!(summary, "{}: {} bytes, of {whole} in {}", shown(&out), bytes.len(), target.name())?;
    }
    print(Choice::Text, &summary)
}

/// Where each goes: into the directory, if there is one or several go there.
fn places(out: &Path, files: &[PathBuf]) -> Result<Vec<PathBuf>> {
    if files.len() < 2 && !out.is_dir() {
        return Ok(vec![out.to_owned()]);
    }
    fs::create_dir_all(out).with_context(|| format!("creating {}", shown(out)))?;
    let mut places: Vec<PathBuf> = Vec::new();
    for file in files {
        let whole = file.file_name().with_context(|| format!("{} has no file name", shown(file)))?;
        // What follows the last dot of vmlinux-6.1.0-50-amd64 belongs to the name.
        let known = file.extension().is_some_and(|e| ["btf", "elf", "debug", "o"].iter().any(|known| e == *known));
        let mut name = if known { file.file_stem().unwrap_or(whole) } else { whole }.to_owned();
        name.push(".btf");
        let place = out.join(name);
        if let Some(other) = places.iter().position(|other| *other == place).and_then(|n| files.get(n)) {
            bail!("{} and {} would both become {}", shown(other), shown(file), shown(&place));
        }
        places.push(place);
    }
    Ok(places)
}
