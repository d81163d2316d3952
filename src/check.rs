//! `coretrace check`: what this host offers, and whether each tracer works on it.

use std::path::Path;

use anyhow::Result;

use crate::cli::Check;
use crate::kernel::check::{Row, Table, Verdict};
use crate::kernel::{Host, btf};
use crate::run::{describe, diagnosed, print};
use crate::{session, setup, tracers};

/// Prints the table; the exit code is 0 if all works, else 1.
///
/// # Errors
/// When stdout cannot be written.
pub fn check(options: &Check) -> Result<u8> {
    session::capture_log(false);
    let host = Host::read(Path::new("/"));
    let source = btf::find(options.kernel.btf.as_deref(), &host);
    let mut table = Table::host(&host, source.as_ref());
    for tracer in tracers::all() {
        let mut row = Row::new(tracer.name(), Verdict::Yes, "");
        let started = setup::base_session(tracer.as_ref(), &options.kernel, &host).and_then(|session| {
            tracer.start(&session, &mut |attached| {
                row.value = attached.hooks.join(", ");
                if !attached.refused.is_empty() {
                    row.verdict = Verdict::Fallback;
                    row.mend =
                        Some(attached.refused.iter().map(|why| format!("not {why}")).collect::<Vec<_>>().join("\n"));
                }
                Ok(())
            })
        });
        let (log, last) = session::take_log();
        if let Err(error) = started {
            row.verdict = Verdict::No;
            let told = describe(&diagnosed(error, log.get(last..).unwrap_or_default(), &host));
            let (cause, mend) = told.split_once('\n').unwrap_or((&told, ""));
            row.value = format!("does not work: {cause}");
            row.mend = Some(mend.lines().map(str::trim).collect::<Vec<_>>().join("\n"));
        }
        table.push(row);
    }
    let works = table.works();
    let mut text = Vec::new();
    table.write(&mut text)?;
    print(&String::from_utf8_lossy(&text))?;
    Ok(u8::from(!works))
}
