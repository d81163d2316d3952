//! `coretrace relocs`: what CO-RE makes of each relocation of the embedded objects, for a kernel or between two.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::{Value, json};

use crate::commands::kernel_types;
use crate::commands::names::commands;
use crate::commands::print::print;
use crate::commands::report_format::Choice;
use crate::commands::table::utf8;
use crate::commands::verdict;
use crate::escape::{printable, shown};
use crate::ffi::log;
use crate::host::arch::Arch;
use crate::options::Side;
use crate::tracers;
use crate::types::relo::{Answer, Object, Outcome, SIZE_MAX, Site, Target, Walk, walk};

#[derive(Debug, Args)]
pub struct Relocs {
    /// Only those of this command
    #[arg(value_parser = commands())]
    pub command: Option<String>,
    /// The kernel's types (BTF, or a vmlinux, a vmlinuz, a kernel package that holds it), where not those of the running
    /// kernel
    #[arg(long, value_name = "FILE", env = "CORETRACE_BTF")]
    pub btf: Option<PathBuf>,
    /// Where else they may be.
    #[command(flatten)]
    pub side: Side,
    /// Only what differs between two kernels, by their types
    #[arg(long, num_args = 2, value_names = ["A", "B"])]
    pub diff: Vec<PathBuf>,
    /// Of this BPF object (ELF), not of coretrace's own
    #[arg(long, value_name = "FILE", conflicts_with = "command")]
    pub object: Option<PathBuf>,
    /// Format
    #[arg(short = 'o', long = "output", value_name = "FORMAT", value_enum, default_value_t)]
    pub format: Choice,
}

/// Prints the relocations.
///
/// # Errors
/// When there are no types, or stdout cannot be written.
pub fn relocs(options: &Relocs) -> Result<u8> {
    log::capture_log(false);
    let targets = match options.diff.as_slice() {
        [] => vec![kernel_types::named_or_of_a_run(options.btf.as_deref(), options.side.btf_dir.as_deref())?],
        files => files.iter().map(|path| Target::read(path)).collect::<Result<_>>()?,
    };
    let mut text = String::new();
    let list = |command: &str, object: &[u8], text: &mut String| {
        let object = Object::read(object)?;
        let walks: Vec<_> = targets.iter().map(|target| walk(&object, target)).collect();
        let all = List { command, object: &object, targets: &targets, walks: &walks };
        match options.format {
            Choice::Json => all.json(text),
            Choice::Text => all.text(text, utf8()),
        }
    };
    if let Some(path) = &options.object {
        let name = shown(path);
        let mut object = Vec::new();
        // No more than that: it may be a device.
        let read = File::open(path).and_then(|file| file.take(SIZE_MAX + 1).read_to_end(&mut object));
        read.with_context(|| format!("reading {name}"))?;
        ensure!(object.len() as u64 <= SIZE_MAX, "{name}: is larger than any BPF object: more than {SIZE_MAX} bytes");
        list(&name, &object, &mut text).with_context(|| name.clone())?;
        return print(options.format, &text);
    }
    for target in &targets {
        let arch = verdict::arch(target).unwrap_or(Arch::HERE);
        let name = shown(&target.path);
        ensure!(arch == Arch::HERE, "{name}: its kernel is of another architecture: {}", verdict::ask_that_of(arch));
    }
    for source in tracers::sources() {
        if options.command.as_ref().is_none_or(|name| name == source.name()) {
            list(source.name(), source.object(), &mut text)?;
        }
    }
    print(options.format, &text)
}

/// An object's relocations, against one target or two.
struct List<'a> {
    command: &'a str,
    object: &'a Object,
    targets: &'a [Target],
    walks: &'a [Walk],
}

/// What a load makes of it, for people.
fn outcome(site: &Site, answer: &Answer) -> String {
    match &answer.outcome {
        Outcome::Value { target, .. } if site.asks() => if *target == 0 { "no" } else { "yes" }.to_owned(),
        Outcome::Value { target, size: Some((_, bytes)), .. } => format!("{target} ({bytes} bytes)"),
        Outcome::Value { target, .. } if !answer.is_there() => format!("{target}, not there"),
        Outcome::Value { target, .. } => target.to_string(),
        Outcome::Missing => "not there".to_owned(),
        Outcome::Guarded => "not there, guarded".to_owned(),
        Outcome::Error(errno) => format!("error {errno}"),
    }
}

impl<'a> List<'a> {
    /// The relocations that are listed, each with its answers.
    fn rows(&self) -> impl Iterator<Item = (&'a Site, Vec<&'a Answer>)> {
        let walks = self.walks;
        let all = self.object.sites.iter().enumerate();
        all.filter_map(move |(n, site)| {
            let answers: Vec<_> = walks.iter().filter_map(|walk| walk.answers.get(n)).collect();
            match answers.as_slice() {
                [a, b] if a.same(b) => None,
                _ => Some((site, answers)),
            }
        })
    }

    fn text(&self, out: &mut String, utf8: bool) -> Result<()> {
        let (arrow, cross) = if utf8 { ("→", "✗") } else { ("->", "x") };
        let names: Vec<_> = self.targets.iter().map(Target::name).collect();
        let rows: Vec<_> = self.rows().collect();
        let listed = rows.len();
        let differ = if names.len() > 1 { format!("{listed} of ") } else { String::new() };
        let about = names.join(&format!(" {arrow} "));
        writeln!(out, "{}: {differ}{} relocations, {about}", self.command, self.object.sites.len())?;
        let width = rows.iter().filter_map(|(_, a)| Some(a.first()?.spec().len())).max().unwrap_or(0).min(64);
        let mut function = None;
        for (site, answers) in rows {
            if function != Some(site.function) {
                function = Some(site.function);
                if let Some(f) = self.object.functions.get(site.function) {
                    writeln!(out, "{} ({})", printable(&f.name), printable(&f.section))?;
                }
            }
            let any = |f: fn(&Outcome) -> bool| answers.iter().any(|answer| f(&answer.outcome));
            let mark = match () {
                () if any(|outcome| matches!(outcome, Outcome::Missing | Outcome::Error(_))) => cross,
                () if any(|outcome| matches!(outcome, Outcome::Guarded)) => "~",
                () if site.asks() => "?",
                () if answers.iter().any(|answer| !answer.is_there()) => cross,
                () => " ",
            };
            let spec = answers.first().map_or_else(String::new, |answer| printable(&answer.spec()));
            let before = match answers.as_slice() {
                [Answer { outcome: Outcome::Value { local, .. }, .. }] if !site.asks() => format!("{local} {arrow} "),
                _ => String::new(),
            };
            let values: Vec<_> = answers.iter().map(|answer| outcome(site, answer)).collect();
            let values = format!("{before}{}", values.join(&format!(" {arrow} ")));
            let source =
                site.source.as_ref().map_or_else(String::new, |(file, line)| format!("{}:{line}", printable(file)));
            let insn = site.insn(&self.object.functions);
            let (_, kind) = site.kind();
            writeln!(out, "{mark} {insn:>5} {:5} {kind:17} {spec:width$}  {values:20} {source}", site.part())?;
        }
        Ok(())
    }

    fn json(&self, out: &mut String) -> Result<()> {
        for (site, answers) in self.rows() {
            let Some(function) = self.object.functions.get(site.function) else { continue };
            let targets: Vec<Value> = answers.iter().zip(self.targets).map(|(a, t)| target(a, t)).collect();
            let (local, bytes) = site.local();
            let line = json!({
                "command": self.command,
                "program": function.name,
                "section": &*function.section,
                "number": site.index,
                "insn": site.insn(&self.object.functions),
                "part": site.part(),
                "kind": site.kind().0,
                "check": site.asks(),
                "spec": answers.first().map(|answer| answer.spec()),
                "local_value": local,
                "local_bytes": bytes,
                "file": site.source.as_ref().map(|(file, _)| file),
                "line": site.source.as_ref().map(|(_, line)| line),
                "targets": targets,
            });
            writeln!(out, "{line}")?;
        }
        Ok(())
    }
}

/// All that is said of an object, for people and for programs: see src/fuzz.rs.
#[cfg(any(test, feature = "fuzz"))]
pub(crate) fn all_of(object: &Object, targets: &[Target]) -> [String; 2] {
    let walks: Vec<_> = targets.iter().map(|target| walk(object, target)).collect();
    let list = List { command: "x", object, targets, walks: &walks };
    let [mut text, mut json] = [String::new(), String::new()];
    let written = list.text(&mut text, true).and_then(|()| list.json(&mut json));
    assert!(written.is_ok(), "{written:?}");
    [text, json]
}

/// One target's answer.
fn target(answer: &Answer, target: &Target) -> Value {
    let (mut value, mut bytes, mut errno) = (None, None, None);
    match answer.outcome {
        Outcome::Value { target, size, .. } => (value, bytes) = (Some(target), size.map(|(_, after)| after)),
        Outcome::Error(number) => errno = Some(number),
        Outcome::Missing | Outcome::Guarded => {}
    }
    json!({
        "btf": target.path.to_string_lossy(),
        "resolved": answer.is_there(),
        "poisoned": matches!(answer.outcome, Outcome::Missing | Outcome::Guarded),
        "guarded": matches!(answer.outcome, Outcome::Guarded),
        "errno": errno,
        "value": value,
        "bytes": bytes,
        "spec": answer.target().map(printable),
    })
}
