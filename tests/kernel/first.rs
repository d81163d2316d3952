//! The shortest way through everything: a command, its events, its exit code.

use crate::support::Trace;

#[test]
fn a_command_is_shown_from_its_first_event_to_its_last() {
    let ended = Trace::proc(["--", "/bin/sh", "-c", "exit 3"]).end();
    assert_eq!(ended.status.code(), Some(3), "{:#?}", ended.stderr);
    let totals = ended.totals();
    assert_eq!((totals.delivered, totals.dropped), (2, 0), "{:#?}", ended.events);
    let (exec, exit) = (&ended.events[0], &ended.events[1]);
    assert_eq!(exec["kind"], "exec");
    assert_eq!(exec["argv"], serde_json::json!(["/bin/sh", "-c", "exit 3"]));
    assert_eq!((&exit["kind"], &exit["code"]), (&"exit".into(), &3.into()));
    assert_eq!(exec["pid"], exit["pid"]);
}
