//! How this process gets the rights that tracing needs.

use crate::escape::printable;
use crate::host::{Host, caps};

/// What to do on this host, one way per line.
pub(crate) fn rights(host: &Host) -> Vec<String> {
    let needed = caps::needed(host.version);
    if host.in_user_namespace() {
        return vec![
            "start it outside of the user namespace (rootless container, `unshare -r`): inside, even root is an ordinary user \
             to the kernel"
                .into(),
        ];
    }
    if host.euid == 0 {
        let list = caps::names(needed, " ");
        let add = list.to_ascii_uppercase().replace("CAP_", "--cap-add ");
        return match &host.container {
            Some(_) => vec![
                "start the container with `--privileged --pid=host`".into(),
                format!("or with `{add} --security-opt seccomp=unconfined --pid=host`"),
            ],
            None => vec![format!(
                "start it from a full root shell; in a systemd unit: `CapabilityBoundingSet={list}` (or none at all)"
            )],
        };
    }
    let mut held = needed.to_vec();
    if host.needs_memlock() {
        held.push(caps::SYS_RESOURCE);
    }
    vec![
        "sudo coretrace …".into(),
        format!("or once: sudo setcap {}=ep {}", caps::names(&held, ","), shell_word(&host.exe.to_string_lossy())),
        "(classic tracepoints need cap_dac_read_search too, to read tracefs)".into(),
    ]
}

/// Quoted as one word for a shell.
pub(super) fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    printable(&format!("'{}'", text.replace('\'', r"'\''")))
}
