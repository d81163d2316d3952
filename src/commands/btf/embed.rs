//! `coretrace btf embed`: a copy of this program that carries the types of kernels that have none of their own.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use crate::commands::btf::minimize::minimize;
use crate::commands::print::print;
use crate::commands::report_format::Choice;
use crate::commands::verdict;
use crate::escape::{printable, shown};
use crate::host::arch::Arch;
use crate::host::{Host, KERNEL_BTF};
use crate::report::note;
use crate::types::archive::{Archive, Carrier, Entry};
use crate::types::image;
use crate::types::relo::Target;
use crate::types::side::ARCHES;

/// The program that runs.
const SELF: &str = "/proc/self/exe";

/// This program, and the archive that it has.
fn own() -> Result<(Carrier, Archive)> {
    let mut carrier = Carrier::open(Path::new(SELF)).with_context(|| format!("reading this program ({SELF})"))?;
    let archive = std::mem::replace(&mut carrier.archive, Ok(None))
        .map_err(|fault| anyhow::anyhow!("the archive in this program {fault}\n  take a fresh coretrace"))?;
    Ok((carrier, archive.unwrap_or_default()))
}

/// Writes the copy, with what the program carries already.
///
/// # Errors
/// When a named file cannot be used, or the copy cannot be written.
pub(super) fn embed(out: &Path, paths: &[PathBuf]) -> Result<u8> {
    let (mut carrier, mut archive) = own()?;
    let own_kernel = [PathBuf::from(KERNEL_BTF)];
    let before = archive.entries().count();
    for path in if paths.is_empty() { &own_kernel } else { paths } {
        if path.is_dir() {
            let mut files = Vec::new();
            for (closed, error) in verdict::files(path, &mut files)? {
                note(&format!("left out: {}: {error}", shown(&closed)));
            }
            for file in files.into_iter().filter(|file| !image::is_module(file)) {
                match add(&mut archive, &file, Some(path)) {
                    Ok(()) | Err(Skipped::Other) => {}
                    Err(Skipped::Fault(why)) => note(&format!("left out: {}: {why:#}", shown(&file))),
                }
            }
        } else {
            match add(&mut archive, path, None) {
                Ok(()) => {}
                Err(Skipped::Fault(why)) => return Err(why),
                Err(Skipped::Other) => bail!("{}: there are no types of a kernel of this architecture", shown(path)),
            }
        }
    }
    let kernels = archive.entries().count();
    ensure!(kernels > before || before > 0, "there are no types of kernels in what was named");
    let bytes = archive.bytes().context("that is more than fits: 64 MB")?;
    write(&mut carrier, &bytes, out).with_context(|| format!("writing {}", shown(out)))?;
    let (different, size) = (archive.blobs(), bytes.len());
    let summary =
        format!("{}: types of {kernels} kernels ({different} different), {size} bytes of archive\n", shown(out));
    print(Choice::Text, &summary)
}

/// Why a file is not embedded.
enum Skipped {
    /// It is no kernel's, or of another architecture.
    Other,
    Fault(anyhow::Error),
}

/// Adds a file's types, as few as are needed. Below a directory its place says which kernel's they are.
fn add(archive: &mut Archive, file: &Path, below: Option<&Path>) -> Result<(), Skipped> {
    let place = below.and_then(|dir| file.strip_prefix(dir).ok()).and_then(Path::parent).unwrap_or(Path::new(""));
    let steps: Vec<String> = place.iter().map(|step| step.to_string_lossy().into_owned()).collect();
    let mut entry = Entry { arch: ARCHES.first().copied().unwrap_or_default().to_owned(), ..Entry::default() };
    match steps.as_slice() {
        [.., distro, version, arch] if ARCHES.contains(&arch.as_str()) => {
            (entry.distro, entry.version) = (distro.clone(), version.clone());
        }
        // BTFHub's, of machines on which this program does not run.
        [.., _, _, arch] if ["x86_64", "arm64", "aarch64"].contains(&arch.as_str()) => return Err(Skipped::Other),
        _ => {}
    }
    let target = Target::load(file).map_err(|fault| match below {
        Some(_) if fault.is_other() || !image::may_be_kernel(file) => Skipped::Other,
        _ => Skipped::Fault(anyhow::anyhow!("BTF file {}: {fault}", shown(file))),
    })?;
    if verdict::arch(&target).is_some_and(|arch| arch != Arch::HERE) && below.is_some() {
        return Err(Skipped::Other);
    }
    entry.release = release(file, &target).map_err(Skipped::Fault)?;
    let btf = minimize(&target).map_err(Skipped::Fault)?;
    archive.add(entry, btf).context("too many kernels").map_err(Skipped::Fault)
}

/// The kernel's release: as its image has it, or as the file is called.
fn release(file: &Path, target: &Target) -> Result<String> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let found = match &target.about.release {
        Some(release) => release.clone(),
        None if file == Path::new(KERNEL_BTF) => Host::read(Path::new("/")).release,
        None => name.find(".btf").and_then(|at| name.get(..at)).unwrap_or_default().to_owned(),
    };
    ensure!(
        (1..=255).contains(&found.len()),
        "{}: it does not name the kernel of its types: call it RELEASE.btf, as `uname -r` has it",
        shown(file)
    );
    Ok(found)
}

/// The program without an archive, and the new one. What was there before is replaced at once, or not at all.
fn write(carrier: &mut Carrier, archive: &[u8], out: &Path) -> io::Result<()> {
    let mut name = out.file_name().ok_or(io::ErrorKind::IsADirectory)?.to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = out.with_file_name(name);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o755).open(&new)?;
    let mut copy = || {
        use io::Read;
        carrier.file.seek(SeekFrom::Start(0))?;
        let copied = io::copy(&mut (&carrier.file).take(carrier.length), &mut file)?;
        if copied != carrier.length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        file.write_all(archive)?;
        fs::rename(&new, out)
    };
    copy().inspect_err(|_| _ = fs::remove_file(&new))
}

/// Lists what this program carries.
///
/// # Errors
/// When that is damaged.
pub(super) fn list(format: Choice) -> Result<u8> {
    let (_, archive) = own()?;
    let mut text = String::new();
    if format == Choice::Text {
        writeln!(text, "{:40} {:8} {:20} {:>8}", "RELEASE", "ARCH", "DISTRIBUTION", "BYTES")?;
    }
    for (entry, btf) in archive.entries() {
        let Entry { release, arch, distro, version } = entry;
        match format {
            Choice::Json => writeln!(
                text,
                "{}",
                json!({ "release": release, "arch": arch, "distribution": distro, "version": version, "size": btf.len() })
            )?,
            Choice::Text => {
                let distro = if distro.is_empty() { "any".to_owned() } else { format!("{distro} {version}") };
                let [release, distro] = [release, &distro].map(|text| printable(text));
                writeln!(text, "{release:40} {arch:8} {distro:20} {:>8}", btf.len())?;
            }
        }
    }
    print(format, &text)
}
