//! The capabilities that a run still needs once its programs are attached.

use std::path::Path;

use crate::host::Host;
use crate::host::caps::{self, Cap, names, needed};
use crate::host::elevated;
use crate::report::note;

/// Since when whoever has the descriptor of a map or program may use it (c8644cd0efe7: bpf: refine
/// kernel.unprivileged_bpf_disabled behaviour). Before, every call of bpf(2) needs the right to load programs.
const BY_DESCRIPTOR: (u32, u32) = (5, 19);

/// What a run does while it goes on, beside reading its buffer.
#[derive(Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a thing that it may do, alone or with others")]
pub struct Doings<'a> {
    /// Does what it watches for (`--heartbeat`).
    pub beats: bool,
    /// Hooks functions of modules that are loaded meanwhile.
    pub hooks: bool,
    /// Passes signals on to a command, which may be another user's.
    pub signals: bool,
    /// Opens perf events on CPUs that come online.
    pub perf_events: bool,
    /// Looks up names of cgroups and containers, or asks /proc about processes.
    pub names: bool,
    /// Looks up the functions of the kernel and of programs.
    pub symbols: bool,
    /// Opens this file again when it is asked to.
    pub reopens: Option<&'a Path>,
}

impl Doings<'_> {
    /// The capabilities that this takes on that host; none: all that there are.
    #[must_use]
    pub fn need(&self, host: &Host) -> Option<Vec<Cap>> {
        if self.beats || self.hooks {
            return None;
        }
        let mut need = Vec::new();
        if !host.at_least(BY_DESCRIPTOR) {
            let bpf = needed(host.version).iter().copied().filter(|cap| *cap != caps::PERFMON);
            need.extend(bpf.map(|cap| if host.caps.has(cap) { cap } else { caps::SYS_ADMIN }));
        }
        if self.signals {
            need.push(caps::KILL);
        }
        if self.perf_events {
            // Debian's `perf_event_paranoid=3` asks for more than the kernel's own values.
            need.extend([caps::PERFMON, caps::SYS_ADMIN, caps::IPC_LOCK]);
        }
        if self.names || self.symbols {
            // Cgroups are opened by their ids; files are in homes of users, and in containers.
            need.extend([caps::DAC_READ_SEARCH, caps::SYS_PTRACE]);
        }
        if self.symbols {
            need.push(caps::SYSLOG);
            // Since 5.9, for /proc/PID/map_files; the other does as well.
            let restore = host.at_least((5, 9)) && host.caps.has(caps::CHECKPOINT_RESTORE);
            need.push(if restore { caps::CHECKPOINT_RESTORE } else { caps::SYS_ADMIN });
        }
        if self.reopens.is_some_and(|path| !elevated::may_write(path)) {
            need.push(caps::DAC_OVERRIDE);
        }
        need.sort_by_key(|cap| cap.bit);
        need.dedup();
        Some(need)
    }
}

/// Gives up all other capabilities, if `need` says which are needed; with `say`, says so.
pub fn give_up(need: Option<&[Cap]>, say: bool) {
    let said = match need.map(elevated::keep) {
        None => "no capabilities are given up: a heartbeat does what is watched for, and hooking a module that is loaded needs them all".to_owned(),
        Some(Ok(kept)) if kept.is_empty() => "all capabilities are given up".to_owned(),
        Some(Ok(kept)) => format!("all capabilities are given up but {}", names(&kept, ", ")),
        Some(Err(error)) => return note(&format!("the run goes on, but not all rights could be given up: {error:#}")),
    };
    if say {
        note(&said);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::caps::{BPF, Caps, KILL, SYS_ADMIN};

    fn need(doings: &Doings<'_>, version: (u32, u32), caps: &[Cap]) -> Option<String> {
        let host = Host { version, caps: Caps::of(caps), ..Host::read(Path::new("/")) };
        doings.need(&host).map(|need| names(&need, " "))
    }

    #[test]
    fn what_is_not_done_needs_nothing() {
        let none = Doings::default();
        assert_eq!(need(&none, (5, 19), &[]).as_deref(), Some(""));
        assert_eq!(need(&none, (5, 10), &[BPF]).as_deref(), Some("cap_bpf"));
        assert_eq!(need(&none, (5, 10), &[SYS_ADMIN]).as_deref(), Some("cap_sys_admin"));
        assert_eq!(need(&none, (5, 7), &[SYS_ADMIN]).as_deref(), Some("cap_sys_admin"));
    }

    #[test]
    fn what_is_done_needs_its_own() {
        let new = |doings: &Doings<'_>| need(doings, (6, 12), &[caps::CHECKPOINT_RESTORE]);
        assert_eq!(new(&Doings { signals: true, ..Doings::default() }).as_deref(), Some(KILL.name));
        assert_eq!(
            new(&Doings { symbols: true, ..Doings::default() }).as_deref(),
            Some("cap_dac_read_search cap_sys_ptrace cap_syslog cap_checkpoint_restore")
        );
        let twice = Doings { symbols: true, names: true, perf_events: true, ..Doings::default() };
        let all = "cap_dac_read_search cap_ipc_lock cap_sys_ptrace cap_sys_admin cap_syslog cap_perfmon cap_checkpoint_restore";
        assert_eq!(new(&twice).as_deref(), Some(all));
        assert_eq!(new(&Doings { beats: true, signals: true, ..Doings::default() }), None);
        assert_eq!(new(&Doings { hooks: true, ..Doings::default() }), None);
    }
}
