//! `coretrace check`: faults of a host that are not its kernel's.

use crate::check_cmd::{check, row};
use crate::host::{Scratch, text};

#[test]
fn tracefs_that_is_mounted_elsewhere_is_of_no_use() {
    let scratch = Scratch::new("check-tracefs");
    let wrap = format!("+tracefs,bind=/sys/kernel/tracing={},-tracefs", text(&scratch.path("elsewhere")));
    let place = scratch.path("elsewhere");
    for args in [&["--attach", "tracepoint"][..], &["--attach", "tracepoint", "--load"]] {
        let ended = check(&["mounts", &wrap], "C", args);
        assert_eq!(ended.status.code(), Some(1), "{ended:#?}");
        let (line, advice) = row(&ended, "tracefs");
        assert!(line.starts_with('~') && line.contains(text(&place)), "{line}");
        assert!(advice[0].contains("mount -t tracefs tracefs /sys/kernel/tracing"), "{advice:#?}");
        let (line, advice) = row(&ended, "proc");
        assert!(line.starts_with('x') && format!("{line}{advice:?}").contains(text(&place)), "{line} {advice:#?}");
    }
}

/// An unreadable directory once ended it, and the one above it was blamed.
#[test]
fn a_directory_that_may_not_be_read_is_named_and_the_rest_is_looked_at() {
    let scratch = Scratch::new("check-closed");
    let (open, closed) = (scratch.path("kernels/b"), scratch.path("kernels/a"));
    for dir in [&open, &closed] {
        std::fs::create_dir_all(dir).unwrap();
        std::fs::copy("/sys/kernel/btf/vmlinux", dir.join("x.btf")).unwrap();
    }
    std::fs::set_permissions(&closed, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let ended = check(&["as", "uid=54321"], "C", &["--btf", text(&scratch.path("kernels"))]);
    assert_eq!(ended.status.code(), Some(0), "{ended:#?}");
    let (line, _) = row(&ended, text(&closed));
    assert!(line.starts_with('~') && line.contains("Permission denied"), "{line}");
    assert!(row(&ended, &format!("{}: proc", text(&open.join("x.btf")))).0.starts_with('?'));
}

#[test]
fn a_way_to_hook_in_that_does_not_work_is_named() {
    let ended = check(&["mounts", "-tracefs"], "C", &["--load", "--btf", "/no/such/file"]);
    assert_eq!(ended.status.code(), Some(1));
    assert!(row(&ended, "type information").0.contains("/no/such/file: there is no such file"), "{ended:#?}");
    // Without --load, it is about other kernels.
    let ended = check(&["mounts", "-tracefs"], "C", &["--btf", "/no/such/file"]);
    assert_eq!(ended.status.code(), Some(1));
    assert!(row(&ended, "/no/such/file: proc").0.contains("there is no such file"), "{ended:#?}");
}
