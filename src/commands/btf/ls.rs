//! `coretrace btf ls`: the types that the kernel shows, its own and those of its modules.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result, bail};
use libbpf_rs::query::BtfInfoIter;
use serde_json::json;

use crate::commands::print::print;
use crate::commands::report_format::Choice;
use crate::escape::{printable, shown};
use crate::host::{Host, KERNEL_BTF};
use crate::types::btf::{self, Wanted};

/// Lists them; numbers are those of the kernel (`bpftool btf`), which shows them to privileged processes, since 5.11.
///
/// # Errors
/// When the kernel shows no types, with what to do.
pub(super) fn ls(format: Choice) -> Result<u8> {
    let host = Host::read(Path::new("/"));
    if !host.has_btf {
        let found = btf::find(Wanted::default(), &host)?.source;
        bail!(
            "the kernel shows no types of its own ({} is not there: CONFIG_DEBUG_INFO_BTF is off); those of {found} stand in",
            KERNEL_BTF,
        );
    }
    let numbers: Vec<(String, u32)> =
        BtfInfoIter::default().map(|info| (info.name.to_string_lossy().into_owned(), info.id)).collect();
    let rows = rows(Path::new("/sys/kernel/btf"))?;
    let mut text = String::new();
    if format == Choice::Text {
        writeln!(text, "{:>6} {:24} {:>10}", "ID", "NAME", "BYTES")?;
    }
    for (name, size) in rows {
        let id = numbers.iter().find(|(other, _)| *other == name).map(|(_, id)| id);
        match format {
            Choice::Json => writeln!(text, "{}", json!({ "id": id, "name": name, "size": size }))?,
            Choice::Text => {
                let id = id.map_or_else(|| "-".to_owned(), u32::to_string);
                writeln!(text, "{id:>6} {:24} {size:>10}", printable(&name))?;
            }
        }
    }
    print(format, &text)
}

/// Names and sizes, the kernel's own first.
fn rows(dir: &Path) -> Result<Vec<(String, u64)>> {
    let entries = std::fs::read_dir(dir).with_context(|| format!("reading {}", shown(dir)))?;
    let mut rows = Vec::new();
    for entry in entries {
        let entry = entry.with_context(|| format!("reading {}", shown(dir)))?;
        // A module may go at any time.
        let Ok(about) = entry.metadata() else { continue };
        rows.push((entry.file_name().to_string_lossy().into_owned(), about.len()));
    }
    rows.sort_unstable_by(|(a, _), (b, _)| (a != "vmlinux", a).cmp(&(b != "vmlinux", b)));
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Tree;

    #[test]
    fn the_kernel_comes_first_then_modules_by_name() {
        let tree = Tree::new();
        for (name, size) in [("zram", 3), ("vmlinux", 9), ("binfmt_misc", 1)] {
            tree.file(&format!("btf/{name}"), vec![0; size]);
        }
        let rows = rows(&tree.path("btf")).unwrap();
        assert_eq!(rows, [("vmlinux".to_owned(), 9), ("binfmt_misc".to_owned(), 1), ("zram".to_owned(), 3)]);
        assert!(super::rows(&tree.path("none")).is_err());
    }
}
