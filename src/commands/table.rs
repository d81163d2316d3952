//! `coretrace check`: a table of what this host offers, and what to do where something is missing.

use std::env;
use std::io::{self, Write};

use libbpf_rs::MapType;

use crate::escape::{printable, shown};
use crate::host::caps::{self, DAC_READ_SEARCH};
use crate::host::{Host, Lockdown};
use crate::load::diagnose::rights;
use crate::types::btf::{BtfError, BtfSource, Found};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Yes,
    /// Nothing is known against it; only a try would show.
    Untested,
    /// It works in another way, or in part.
    Fallback,
    No,
    /// Good to know, nothing to judge.
    Info,
}

impl Verdict {
    /// In JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Yes => "works",
            Self::Untested => "untested",
            Self::Fallback => "fallback",
            Self::No => "fails",
            Self::Info => "info",
        }
    }
}

/// One fact, or one hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub name: String,
    pub verdict: Verdict,
    pub value: String,
    /// What to do about it, one way per line.
    pub hint: Option<String>,
}

impl Row {
    /// A row without a hint.
    pub fn new(name: &str, verdict: Verdict, value: impl Into<String>) -> Self {
        Self { name: name.into(), verdict, value: value.into(), hint: None }
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(mut self, lines: impl Into<String>) -> Self {
        self.hint = Some(lines.into());
        self
    }
}

/// The rows, in the order of printing.
#[derive(Debug, Clone, Default)]
pub struct Table(pub Vec<Row>);

impl Table {
    /// All that is known about the host. Tries to create a ring buffer, if the capabilities for that are there.
    #[must_use]
    pub fn host(host: &Host, btf: Result<&Found, &BtfError>) -> Self {
        // Without them libbpf's probe says "no", which is not true.
        let can_try = host.caps.missing(host.version).is_empty() && !host.in_user_namespace();
        let ring = can_try.then(|| MapType::RingBuf.is_supported().unwrap_or(false));
        Self(rows(host, btf, ring))
    }

    /// Adds a row at the end.
    pub fn push(&mut self, row: Row) {
        self.0.push(row);
    }

    /// Whether nothing is broken.
    #[must_use]
    pub fn works(&self) -> bool {
        self.0.iter().all(|row| row.verdict != Verdict::No)
    }

    /// Prints the table, in ASCII unless the locale is of UTF-8.
    ///
    /// # Errors
    /// As `out` has them.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        self.write_with(out, utf8())
    }

    fn write_with(&self, out: &mut dyn Write, utf8: bool) -> io::Result<()> {
        let width = self.0.iter().map(|row| printable(&row.name).chars().count()).max().unwrap_or(0);
        for row in &self.0 {
            let (unicode, ascii) = match row.verdict {
                Verdict::Yes => ('✓', '+'),
                Verdict::Untested => ('?', '?'),
                Verdict::Fallback => ('~', '~'),
                Verdict::No => ('✗', 'x'),
                Verdict::Info => ('-', '-'),
            };
            let mark = if utf8 { unicode } else { ascii };
            let line = |text: &str| if utf8 { printable(text) } else { ascii_only(&printable(text)) };
            writeln!(out, "{mark} {:width$}  {}", line(&row.name), line(&row.value))?;
            for advice in row.hint.iter().flat_map(|text| text.lines()) {
                writeln!(out, "  {:width$}  {} {}", "", if utf8 { '→' } else { '>' }, line(advice))?;
            }
        }
        Ok(())
    }
}

/// Whether the locale is of UTF-8.
pub(crate) fn utf8() -> bool {
    is_utf8(|name| env::var(name).ok())
}

/// `LC_ALL`, then `LC_CTYPE`, then `LANG`: the first that is set decides (locale(7)).
fn is_utf8(variable: impl Fn(&str) -> Option<String>) -> bool {
    let set = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(variable).find(|value| !value.is_empty());
    set.is_some_and(|locale| locale.to_ascii_lowercase().replace('-', "").contains("utf8"))
}

fn ascii_only(text: &str) -> String {
    text.replace('…', "...").chars().map(|c| if c.is_ascii() { c } else { '?' }).collect()
}

fn rows(host: &Host, btf: Result<&Found, &BtfError>, ring: Option<bool>) -> Vec<Row> {
    vec![
        kernel(host),
        btf_row(host, btf),
        ring_buffer(host, ring),
        capabilities(host),
        lockdown(host),
        security_modules(host),
        tracefs(host),
        memlock(host),
        unprivileged_bpf(host),
        perf_event_paranoid(host),
        pid_namespace(host),
        cgroups(host),
        cpus(host),
        container(host),
    ]
}

fn kernel(host: &Host) -> Row {
    let release = &host.release;
    match host.version {
        (0, 0) => Row::new("kernel", Verdict::Info, format!("{release}: of no known version")),
        version if version >= (5, 10) => Row::new("kernel", Verdict::Yes, release),
        // Distributions carry newer BPF in old kernels, so the number alone does not condemn one.
        version if version >= (4, 18) => {
            Row::new("kernel", Verdict::Fallback, format!("{release}: older than 5.10, so it may lack something"))
        }
        _ => Row::new("kernel", Verdict::No, format!("{release}: too old")).hint("use a kernel of 5.10 or newer"),
    }
}

fn btf_row(host: &Host, btf: Result<&Found, &BtfError>) -> Row {
    const NAME: &str = "type information";
    match btf {
        Ok(found) => {
            let passed = found.passed_over.iter().map(|why| format!("; not from {why}")).collect::<String>();
            match &found.source {
                BtfSource::Kernel => Row::new(NAME, Verdict::Yes, format!("the kernel's own{passed}")),
                source if host.has_btf => Row::new(NAME, Verdict::Yes, format!("{source}{passed}")),
                source => {
                    let value =
                        format!("{source}{passed}; tp_btf, fentry and fexit need the kernel's own and do not work");
                    Row::new(NAME, Verdict::Fallback, value)
                }
            }
        }
        Err(error) => Row::new(NAME, Verdict::No, &error.cause).hint(error.hints.join("\n")),
    }
}

fn ring_buffer(host: &Host, ring: Option<bool>) -> Row {
    const NAME: &str = "ring buffer";
    match ring {
        Some(true) => Row::new(NAME, Verdict::Yes, "yes"),
        Some(false) => Row::new(NAME, Verdict::Fallback, "no: a perf buffer takes its place"),
        None if host.at_least((5, 8)) => Row::new(NAME, Verdict::Info, "not tried; kernels since 5.8 have it"),
        None => Row::new(NAME, Verdict::Info, "not tried; a perf buffer takes its place before 5.8"),
    }
}

fn capabilities(host: &Host) -> Row {
    const NAME: &str = "capabilities";
    if host.in_user_namespace() {
        return Row::new(NAME, Verdict::No, "they count only inside this user namespace").hint(rights(host).join("\n"));
    }
    let missing = host.caps.missing(host.version);
    if !missing.is_empty() {
        return Row::new(NAME, Verdict::No, format!("missing: {}", caps::names(&missing, ", ")))
            .hint(rights(host).join("\n"));
    }
    let needed: Vec<_> = caps::needed(host.version).iter().copied().filter(|cap| host.caps.has(*cap)).collect();
    let held = if needed.is_empty() { "cap_sys_admin".into() } else { caps::names(&needed, ", ") };
    let uses = [(DAC_READ_SEARCH, "classic tracepoints: tracefs is root's")];
    let wanting: Vec<_> = uses.iter().filter(|(cap, _)| !host.caps.has(*cap)).collect();
    if wanting.is_empty() {
        return Row::new(NAME, Verdict::Yes, held);
    }
    let lacks: Vec<_> = wanting.iter().map(|(cap, use_)| format!("no {} ({use_})", cap.name)).collect();
    Row::new(NAME, Verdict::Fallback, format!("{held}; {}", lacks.join("; ")))
}

fn lockdown(host: &Host) -> Row {
    const NAME: &str = "lockdown";
    match host.lockdown {
        Lockdown::None => Row::new(NAME, Verdict::Yes, "none"),
        Lockdown::Integrity => Row::new(NAME, Verdict::Yes, "integrity: tracing is allowed"),
        Lockdown::Unknown => {
            Row::new(NAME, Verdict::Info, "not known (securityfs is not mounted, or the kernel has none)")
        }
        Lockdown::Confidentiality => {
            Row::new(NAME, Verdict::No, "confidentiality: no program may read the kernel's memory")
                .hint("boot without `lockdown=confidentiality`, or without Secure Boot where that implies it")
        }
    }
}

fn tracefs(host: &Host) -> Row {
    const NAME: &str = "tracefs";
    match &host.tracefs {
        Some(tracefs) if tracefs.elsewhere => {
            let value =
                format!("mounted at {}, where libbpf does not look: no classic tracepoints", shown(&tracefs.path));
            Row::new(NAME, Verdict::Fallback, value).hint("sudo mount -t tracefs tracefs /sys/kernel/tracing")
        }
        Some(tracefs) if tracefs.readable => Row::new(NAME, Verdict::Yes, shown(&tracefs.path)),
        Some(tracefs) => {
            let value = format!("{} may not be read: no classic tracepoints", shown(&tracefs.path));
            Row::new(NAME, Verdict::Fallback, value)
                .hint("sudo coretrace …, or add cap_dac_read_search to its capabilities")
        }
        None => Row::new(NAME, Verdict::Fallback, "not mounted: no classic tracepoints")
            .hint("sudo mount -t tracefs tracefs /sys/kernel/tracing"),
    }
}

fn memlock(host: &Host) -> Row {
    const NAME: &str = "locked memory";
    let limit =
        if host.memlock == u64::MAX { "no limit".to_owned() } else { format!("limit of {} KiB", host.memlock / 1024) };
    if !host.needs_memlock() {
        return Row::new(NAME, Verdict::Yes, format!("{limit}; this kernel does not count BPF memory against it"));
    }
    if !host.memlock_is_short() {
        let raised = if host.memlock == u64::MAX { "" } else { "; coretrace may raise it" };
        return Row::new(NAME, Verdict::Yes, format!("{limit}{raised}"));
    }
    Row::new(NAME, Verdict::No, format!("{limit}: this kernel counts BPF memory against it"))
        .hint("ulimit -l unlimited   (as root)\nor add cap_sys_resource to its capabilities")
}

fn pid_namespace(host: &Host) -> Row {
    const NAME: &str = "PID namespace";
    match host.pid_namespace {
        Some(inode) if host.in_pid_namespace() => {
            let value = format!("{inode}, not the host's: processes outside have no number here");
            Row::new(NAME, Verdict::Fallback, value).hint("in a container: start it with --pid=host")
        }
        Some(_) => Row::new(NAME, Verdict::Yes, "the host's"),
        None => Row::new(NAME, Verdict::Info, "not known"),
    }
}

fn security_modules(host: &Host) -> Row {
    let modules = host.lsms.as_ref().map(|modules| modules.join(", "));
    let value = modules.unwrap_or_else(|| "not known (securityfs is not mounted)".into());
    Row::new("security modules", Verdict::Info, value)
}

fn unprivileged_bpf(host: &Host) -> Row {
    let value = match host.unprivileged_bpf_disabled {
        Some(0) => "allowed (kernel.unprivileged_bpf_disabled=0); tracing needs capabilities all the same".into(),
        Some(mode) => format!("off (kernel.unprivileged_bpf_disabled={mode})"),
        None => "not known".into(),
    };
    Row::new("unprivileged bpf", Verdict::Info, value)
}

fn perf_event_paranoid(host: &Host) -> Row {
    let value = match host.perf_event_paranoid {
        Some(level) if level > 2 && !host.caps.has(caps::SYS_ADMIN) => {
            format!("{level}: kprobes, uprobes and classic tracepoints may need cap_sys_admin")
        }
        Some(level) => level.to_string(),
        None => "not known".into(),
    };
    Row::new("perf_event_paranoid", Verdict::Info, value)
}

fn cgroups(host: &Host) -> Row {
    match &host.cgroup2 {
        Some(path) => Row::new("cgroup v2", Verdict::Yes, shown(path)),
        None => Row::new("cgroup v2", Verdict::Fallback, "not mounted: cgroups have no names, and -c finds none")
            .hint("sudo mount -t cgroup2 cgroup2 /sys/fs/cgroup"),
    }
}

fn cpus(host: &Host) -> Row {
    let value = host.possible_cpus.map_or_else(|| "not known".into(), |cpus| format!("{cpus} possible"));
    Row::new("CPUs", Verdict::Info, value)
}

fn container(host: &Host) -> Row {
    let value = match (&host.container, host.seccomp) {
        (Some(engine), true) => format!("looks like {engine}, with a seccomp filter"),
        (Some(engine), false) => format!("looks like {engine}"),
        (None, true) => "none, but a seccomp filter".into(),
        (None, false) => "none".into(),
    };
    Row::new("container", Verdict::Info, value)
}

#[cfg(test)]
mod tests;
