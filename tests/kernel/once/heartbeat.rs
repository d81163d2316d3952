//! `--heartbeat`: it has no effect on others.

use std::fs;

use crate::heartbeat::{beats, watching};
use crate::host::{Peer, text};
use crate::support::Trace;

/// A heartbeat once opened a name in a world-writable directory, as root and with the user's flags.
#[test]
fn a_heartbeat_touches_nothing_that_others_may_own() {
    let scratch = crate::host::Scratch::new("heartbeat");
    let (kept, place) = (scratch.file("kept", "kept"), scratch.path("theirs"));
    fs::create_dir_all(place.join(".coretrace-heartbeat")).unwrap();
    let none = place.join(".coretrace-heartbeat/none");
    let run = |flags: &str| {
        let mut peer = Peer::obedient();
        let path = format!("{}/*", text(&place));
        let mut line = watching(&["open", "--path", &path, "--write", "--flags", flags], &peer);
        let ended = Trace::raw(line.args(["--heartbeat", "0.1", "-d", "1"])).end();
        peer.send("exit 0");
        let (sent, arrived) = beats(&ended);
        assert!(sent > 1 && arrived + 1 >= sent, "{:#?}", ended.stderr);
        assert_eq!(ended.assert_clean().delivered, 0, "{:#?}", ended.events);
    };
    std::os::unix::fs::symlink(&kept, &none).unwrap();
    run("O_TRUNC");
    assert_eq!(fs::read_to_string(&kept).unwrap(), "kept");
    fs::remove_file(&none).unwrap();
    run("O_CREAT");
    assert!(!none.exists());
    nix::unistd::mkfifo(&none, nix::sys::stat::Mode::S_IRWXU).unwrap();
    run("O_CLOEXEC");
}
