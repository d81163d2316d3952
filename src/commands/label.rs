//! `coretrace label`: changes and lists labels, also while tracers run.

use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Subcommand;
use serde_json::json;

use crate::commands::print::print;
use crate::commands::report_format::Choice;
use crate::commands::setup;
use crate::error::Usage;
use crate::escape::{escaped, shown};
use crate::host::{Host, users};
use crate::load::labels::{self, Entry, Pinned, Subject};

#[derive(Debug, Subcommand)]
pub enum Label {
    /// Set the label of a user or a cgroup, or change it
    Set {
        /// Name of the labels
        name: String,
        /// What the label is for
        #[arg(value_enum)]
        subject: Subject,
        /// The user's name or number, or the cgroup's directory
        id: String,
        /// The label, of up to 31 bytes
        label: String,
    },
    /// List labels; without NAME: the names of all maps
    Ls {
        /// Name of the labels
        name: Option<String>,
        /// Format
        #[arg(short = 'o', long = "output", value_name = "FORMAT", value_enum, default_value_t)]
        format: Choice,
    },
    /// Remove a label, or with --all the map and all that is in it
    Rm {
        /// Name of the labels
        name: String,
        /// What the label is for
        #[arg(value_enum, requires = "id")]
        subject: Option<Subject>,
        /// The user's name or number, or the cgroup's directory
        id: Option<String>,
        /// The map itself
        #[arg(long, conflicts_with = "subject")]
        all: bool,
    },
}

/// Does what the options say; returns the exit code.
///
/// # Errors
/// When the labels are not there, or the user or cgroup is not.
pub fn label(options: &Label) -> Result<u8> {
    match options {
        Label::Set { name, subject, id, label } => {
            let label = labels::text(label).context(Usage)?;
            let id = id_of(*subject, id)?;
            Pinned::open(name)?.set(*subject, id, &label).map(|()| 0)
        }
        Label::Rm { name, all: true, .. } => Pinned::open(name)?.unpin().map(|()| 0),
        Label::Rm { name, subject, id, .. } => {
            let (Some(subject), Some(id)) = (*subject, id) else {
                return Err(
                    anyhow!("label rm: say what to remove, as uid 1000 or cgroup PATH, or --all").context(Usage)
                );
            };
            let number = id_of(subject, id)?;
            match Pinned::open(name)?.remove(subject, number)? {
                true => Ok(0),
                false => Err(anyhow!("{name} has no label for {} {id}", subject.name())),
            }
        }
        Label::Ls { name: None, format } => {
            let names = labels::names()?;
            let text = match format {
                Choice::Json => names.iter().map(|name| format!("{}\n", json!({ "name": name }))).collect(),
                Choice::Text => names.iter().map(|name| format!("{name}\n")).collect::<String>(),
            };
            print(*format, &text)
        }
        Label::Ls { name: Some(name), format } => {
            let entries = Pinned::open(name)?.entries()?;
            let text = match format {
                Choice::Json => as_json(&entries),
                Choice::Text => as_text(&entries),
            };
            print(*format, &text)
        }
    }
}

/// The number of a user or of a cgroup.
fn id_of(subject: Subject, id: &str) -> Result<u64> {
    match subject {
        Subject::Uid => users::uid_of(Path::new("/"), id).map(u64::from).context("uid"),
        Subject::Cgroup => {
            let directory = setup::cgroup_path(Path::new(id), &Host::read(Path::new("/")))?;
            let inode = directory.metadata().with_context(|| format!("looking at {}", shown(&directory)));
            inode.map(|found| found.ino())
        }
    }
}

fn as_json(entries: &[Entry]) -> String {
    let line = |entry: &Entry| {
        let label = &entry.label;
        let mut line = json!({
            "kind": entry.subject.map(Subject::name),
            "id": entry.id,
            "label": String::from_utf8_lossy(label),
        });
        if str::from_utf8(label).is_err() {
            // As in events: no byte is lost.
            line["label_b64"] = STANDARD.encode(label).into();
        }
        line
    };
    entries.iter().map(|entry| format!("{}\n", line(entry))).collect()
}

fn as_text(entries: &[Entry]) -> String {
    let mut text = String::from("KIND                     ID LABEL\n");
    for entry in entries {
        let subject = entry.subject.map_or("?", Subject::name);
        let _ = writeln!(text, "{subject:<6} {:>20} {}", entry.id, escaped(&entry.label));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_of_any_bytes_loses_none_in_json() {
        let entry = |label: &[u8]| Entry { subject: Some(Subject::Uid), id: 1, label: label.to_vec() };
        let lines = as_json(&[entry(b"web"), entry(b"\xff\x1b[31m")]);
        let lines: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((&lines[0]["label"], lines[0].get("label_b64")), (&json!("web"), None));
        assert_eq!(STANDARD.decode(lines[1]["label_b64"].as_str().unwrap()).unwrap(), b"\xff\x1b[31m");
        assert_eq!(
            as_text(&[entry(b"\xff\x1b[31m")]).lines().nth(1).unwrap().trim_end(),
            "uid                       1 \\xff\\x1b[31m"
        );
    }
}
