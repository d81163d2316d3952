//! A thousand functions at once, where the kernel hooks them by one link: below, each takes tens of milliseconds to let go.
//! And more than the process may have files open.

use std::io::Write;
use std::time::Instant;

use serde_json::json;

use crate::host::{Peer, Scratch, text};
use crate::smoke::has_function;
use crate::support::{Ended, Trace, coretrace, in_vm, kernel, skip, targets};

/// Where one link takes many functions of programs.
const PROGRAM: (u32, u32) = (6, 6);

/// Starts `coretrace TRACER --count-by func SPEC -p PEER`, lets `act` do something, and ends it. How long it took to be
/// attached, and to end, is printed.
fn counted(tracer: &str, spec: &str, peer: &mut Peer, act: impl Fn(&mut Peer)) -> Ended {
    let scratch = Scratch::new(&format!("many-{tracer}"));
    let file = scratch.path("totals");
    let mut command = std::process::Command::new(targets());
    command.args(["mounts", "+tracefs"]).arg(coretrace()).args([tracer, "-v", "-o", "json", "-O", text(&file)]);
    command.args(["--count-by", "func", "-p", &peer.pid().to_string(), spec]);
    let begin = Instant::now();
    let mut trace = Trace::raw(&mut command);
    // A line for each group that is read alike, when all are attached.
    trace.note("its hooks", |line| line.contains("attached to "));
    let attach = begin.elapsed();
    act(peer);
    let begin = Instant::now();
    let mut ended = trace.stop();
    let detach = begin.elapsed();
    assert!(ended.status.success(), "{:#?}", ended.stderr);
    let written = std::fs::read_to_string(&file).unwrap();
    ended.events = written.lines().map(crate::support::parse).collect();
    // Straight to fd 2: libtest would capture it.
    let _ = writeln!(std::io::stderr(), "{tracer} {spec}: attached in {attach:?}, ended in {detach:?}");
    ended
}

/// How many places and functions are hooked by one link each, in all.
fn places(ended: &Ended) -> usize {
    let attached = ended.stderr.iter().filter(|line| line.contains("attached to"));
    let words: Vec<&str> = attached.flat_map(|line| line.split_whitespace()).collect();
    let counts = words.windows(2).filter(|pair| matches!(pair[1], "places" | "functions"));
    counts.filter_map(|pair| pair[0].rsplit([':', '/']).next()?.parse::<usize>().ok()).sum()
}

#[test]
fn a_thousand_functions_of_the_kernel_are_one_link() {
    // With CONFIG_FPROBE: Debian's 6.1 lacks it, on arm64 the 6.12, too.
    if !in_vm() || !has_function("register_fprobe_ips") {
        return skip("many::a_thousand_functions_of_the_kernel_are_one_link", "not in a VM, or not by one link there");
    }
    let mut peer = Peer::obedient();
    let ended = counted("probe", "fn:[xj]*", &mut peer, |peer| assert_eq!(peer.order("umark 1"), "done"));
    // Fewer than that on arm64, whose kernels have less of a PC.
    assert!(places(&ended) >= 800, "{:#?}", ended.stderr);
    assert_eq!(ended.balance().dropped, 0, "{:#?}", ended.stderr);
}

#[test]
fn a_thousand_functions_of_a_program_are_one_link() {
    if kernel() < PROGRAM {
        return skip("many::a_thousand_functions_of_a_program_are_one_link", "not by one link there");
    }
    let mut peer = Peer::obedient();
    let spec = format!("{}:[_f][uZ]*", text(&targets()));
    let ended = counted("uprobe", &spec, &mut peer, |peer| assert_eq!(peer.order("umark 3"), "done"));
    assert!(places(&ended) >= 900, "{:#?}", ended.stderr);
    let calls =
        |func: &str| ended.events.iter().find(|total| total["func"] == func).map(|total| total["count"].clone());
    assert_eq!((calls("func_uprobe1"), calls("func_uprobe2")), (Some(json!(3)), Some(json!(3))), "{:#?}", ended.events);
}

#[test]
fn more_functions_are_hooked_than_files_may_be_open() {
    if !in_vm() {
        return skip("many::more_functions_are_hooked_than_files_may_be_open", "not in a VM");
    }
    // One link for each of some thirty functions, which takes two files from 5.15 on.
    let me = text(&coretrace()).to_owned();
    let traced =
        format!("{me} probe -v --attach kprobe --count-by func 'fn:vfs_[a-m]*' -- /bin/sh -c 'ulimit -n; ulimit -Hn'");
    let mut command = std::process::Command::new(targets());
    command.args(["mounts", "+tracefs", "/bin/sh", "-c", &format!("ulimit -n 48; {traced}")]);
    let ended = Trace::raw(&mut command).output();
    assert!(ended.status.success(), "{:#?}", ended.stderr);
    assert!(places(&ended) > 24, "{:#?}", ended.stderr);
    let limits: Vec<_> = ended.stdout.iter().filter(|line| *line == "48").collect();
    assert_eq!(limits.len(), 2, "the command has the limits that it would have had: {:#?}", ended.stdout);
}
