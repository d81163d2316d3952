//! The recorded samples, printed by `coretrace replay`, byte for byte. `UPDATE=1` regenerates the expected output.

use std::fs::{self, File};
use std::io::{BufWriter, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use coretrace::event::Lost;
use coretrace::flow::record::Recorder;
use nix::pty::{Winsize, openpty};

#[path = "samples/mod.rs"]
#[allow(dead_code)]
mod samples;
#[allow(dead_code)]
mod trace;

fn replay(recording: &Path, options: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coretrace"));
    // POSIX has the sign the other way round: this is five and a half hours ahead of UTC.
    command.arg("replay").arg(recording).args(options).env("TZ", "XXX-5:30").env_remove("NO_COLOR");
    command
}

/// Its output to a pipe.
fn printed(recording: &Path, options: &[&str]) -> Output {
    let output = replay(recording, options).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    output
}

/// Its output to a terminal with this many columns.
fn shown(recording: &Path, options: &[&str], columns: u16) -> Vec<u8> {
    let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    let pty = openpty(&size, None).unwrap();
    let terminal: OwnedFd = pty.slave;
    let mut command = replay(recording, options);
    command.env("TERM", "xterm").env_remove("NO_COLOR").stdin(Stdio::null()).stdout(terminal).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    drop(command);
    let mut bytes = Vec::new();
    // The end of a terminal is an error (EIO), after all bytes.
    let _ = File::from(pty.master).read_to_end(&mut bytes);
    assert!(child.wait().unwrap().success());
    // A terminal's lines end in CR LF.
    bytes.retain(|byte| *byte != b'\r');
    bytes
}

fn expect(name: &str, actual: &[u8]) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, actual).unwrap();
    }
    let want = fs::read(&path).unwrap_or_default();
    if actual != want {
        let lines = |bytes: &[u8]| String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect::<Vec<_>>();
        let (actual, want) = (lines(actual), lines(&want));
        let at =
            actual.iter().zip(&want).position(|(actual, want)| actual != want).unwrap_or(actual.len().min(want.len()));
        panic!(
            "{} line {}:\n  expected {:?}\n  printed  {:?}\n(UPDATE=1 takes what is printed)",
            path.display(),
            at + 1,
            want.get(at),
            actual.get(at)
        );
    }
}

#[test]
fn every_format_and_filter_prints_what_it_did() {
    let cases: &[(&str, &[&str])] = &[
        ("proc.txt", &["--utc"]),
        ("proc.json", &["-o", "json"]),
        ("proc.local.txt", &["--events", "exec"]),
        ("proc.exec-exit.txt", &["--utc", "--events", "exec,exit"]),
        ("proc.args.txt", &["--utc", "--args", "^cc |collect2 .*-lpthread"]),
        ("proc.path.json", &["-o", "json", "--path", "/usr/lib/*", "--path", "/tmp/*"]),
        ("proc.name.txt", &["--utc", "-n", "hel*", "-n", "ld"]),
        ("proc.nobody-else.txt", &["--utc", "-u", "4711"]),
        ("proc.lives.txt", &["--utc", "--lives"]),
        ("proc.lives.json", &["-o", "json", "--lives"]),
        ("proc.tree.txt", &["--utc", "--tree"]),
        ("proc.tree-end.txt", &["--utc", "--tree=end"]),
        ("proc.tree-end.wide.txt", &["--utc", "--tree=end", "-w", "--events", "exec,exit"]),
        ("proc.tree.json", &["-o", "json", "--tree"]),
        ("proc.summary.txt", &["--utc", "--summary"]),
        ("proc.summary-args.wide.txt", &["--utc", "--summary=args", "-w"]),
        ("proc.summary.json", &["-o", "json", "--summary=exe"]),
        ("open.summary.txt", &["--utc", "--summary"]),
        ("open.summary.json", &["-o", "json", "--summary"]),
        ("exec.summary.txt", &["--utc", "--summary"]),
        ("probe.summary.txt", &["--utc", "--summary"]),
        ("proc.mono.txt", &["--time", "mono", "--events", "exec"]),
        ("proc.delta.txt", &["--time", "delta", "--events", "exec"]),
        ("proc.no-time.txt", &["--time", "none", "--events", "exec"]),
        ("proc.fields.txt", &["--utc", "--fields", "time,pid,kind,cpu_ns,code,cgroup_id,argv"]),
        ("proc.fields.json", &["-o", "json", "--fields", "argv,pid,code,cpu_ns"]),
        ("open.fields.txt", &["--fields", "comm,ret,flags,path"]),
        ("env.txt", &["--utc"]),
        ("env.wide.txt", &["--utc", "-w", "--events", "exec"]),
        ("env.json", &["-o", "json"]),
        ("env.lives.json", &["-o", "json", "--lives"]),
        ("env.fields.txt", &["--fields", "pid,parent_comm,ancestors,env"]),
        ("env.fields.json", &["-o", "json", "--events", "exec", "--fields", "env,env_diff,parent_comm"]),
        ("exec.txt", &["--utc"]),
        ("exec.wide.txt", &["--utc", "-w"]),
        ("exec.json", &["-o", "json"]),
        ("open.txt", &["--utc"]),
        ("open.wide.txt", &["--utc", "-w"]),
        ("open.json", &["-o", "json", "--path", "/tmp/*", "--path", "/etc"]),
        ("probe.txt", &["--utc"]),
        ("probe.wide.txt", &["--utc", "-w"]),
        ("probe.json", &["-o", "json"]),
        ("conn.txt", &["--utc"]),
        ("conn.wide.txt", &["--utc", "-w", "--events", "new,end,old"]),
        ("conn.json", &["-o", "json"]),
        ("conn.fields.txt", &["--fields", "kind,proto,src,nat,pid,user,orig"]),
        ("probe.fields.txt", &["--fields", "pid,func,stack"]),
        ("proc.fields-beside.json", &["-o", "json", "--events", "exec", "--fields", "argv_bytes,argv_truncated,pid"]),
        ("uprobe.txt", &["--utc"]),
        ("uprobe.json", &["-o", "json"]),
        ("usdt.txt", &["--utc"]),
        ("usdt.json", &["-o", "json"]),
    ];
    for (name, options) in cases {
        let tracer = name.split('.').next().unwrap();
        let output = printed(&samples::path(tracer), options);
        assert!(output.stderr.is_empty(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        expect(name, &output.stdout);
    }
}

/// A trace, as text: it is binary.
#[test]
fn traces_show_what_they_did() {
    for tracer in ["proc", "open", "uprobe"] {
        let output = printed(&samples::path(tracer), &["-o", "perfetto"]);
        expect(&format!("{tracer}.perfetto.txt"), trace::Trace::whole(&output.stdout).dump().as_bytes());
    }
}

#[test]
fn a_trace_is_not_written_to_a_terminal() {
    let pty = openpty(None, None).unwrap();
    let mut command = replay(&samples::path("proc"), &["-o", "perfetto"]);
    let output = command.stdin(Stdio::null()).stdout(pty.slave).stderr(Stdio::piped()).spawn().unwrap();
    let output = output.wait_with_output().unwrap();
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && printed.contains("this is a terminal"), "{printed}");
}

#[test]
fn the_picture_in_the_readme_is_of_a_recorded_build() {
    let output = printed(&samples::path("build"), &["-o", "perfetto"]);
    let trace = trace::Trace::whole(&output.stdout);
    expect("../../docs/perfetto.svg", trace::svg::draw(&trace).as_bytes());
}

#[test]
fn on_a_terminal_lines_are_cut_and_coloured() {
    let path = samples::path("proc");
    expect("proc.terminal-80.txt", &shown(&path, &["--utc"], 80));
    expect("proc.terminal-160.txt", &shown(&path, &["--utc"], 160));
    expect("proc.terminal-wide.txt", &shown(&path, &["--utc", "--wide"], 80));
    expect("proc.lives.terminal-80.txt", &shown(&path, &["--utc", "--lives"], 80));
    expect("proc.tree.terminal-80.txt", &shown(&path, &["--utc", "--tree", "--events", "exec,exit"], 80));
    expect("proc.summary.terminal-80.txt", &shown(&path, &["--utc", "--summary"], 80));
    expect("exec.terminal-80.txt", &shown(&samples::path("exec"), &["--utc"], 80));
    expect("probe.terminal-80.txt", &shown(&samples::path("probe"), &["--utc"], 80));
    expect("conn.terminal-80.txt", &shown(&samples::path("conn"), &["--utc"], 80));
    expect("open.terminal-80.txt", &shown(&samples::path("open"), &["--utc"], 80));
}

#[test]
fn a_recording_says_when_the_run_began_and_was_over() {
    let recording = samples::read("proc");
    let path = std::env::temp_dir().join(format!("coretrace-golden-times-{}.rec", std::process::id()));
    // The first thing that a sample has is its time.
    let first = recording.samples[0].first_chunk().copied().map(u64::from_ne_bytes).unwrap();
    let tree = |over: Option<u64>| {
        let mut recorder = Recorder::new(BufWriter::new(File::create(&path).unwrap()), &recording.header).unwrap();
        recorder.begin(recording.clock, first - 1_000_000_000).unwrap();
        recorder.sample(&recording.samples[0]).unwrap();
        recorder.end(over).unwrap();
        let printed = printed(&path, &["--tree=end"]);
        fs::remove_file(&path).unwrap();
        assert!(printed.stderr.is_empty());
        String::from_utf8(printed.stdout).unwrap()
    };
    let (known, unknown) = (tree(Some(first + 5_000_000_000)), tree(None));
    assert!(known.contains(" >5.00s ") && !known.contains("is not known"), "{known}");
    assert!(unknown.contains(" >0ns ") && unknown.contains("when the run was over is not known: 1"), "{unknown}");
}

#[test]
fn losses_are_records_in_json_and_notes_beside_text() {
    let recording = samples::read("proc");
    let path = std::env::temp_dir().join(format!("coretrace-golden-{}.rec", std::process::id()));
    let mut recorder = Recorder::new(BufWriter::new(File::create(&path).unwrap()), &recording.header).unwrap();
    recorder.clock(recording.clock).unwrap();
    let lost = |count, cpu| Lost {
        unix_ns: 1_795_228_200_706_295_105,
        class: "exec".into(),
        cause: "buffer_full",
        count,
        cpu,
    };
    recorder.sample(&recording.samples[0]).unwrap();
    recorder.lost(0, 0, &lost(7, 1)).unwrap();
    recorder.sample(&recording.samples[1]).unwrap();
    recorder.lost(99, 99, &lost(1, 0)).unwrap();
    recorder.end(None).unwrap();
    let json = printed(&path, &["-o", "json"]);
    let text = printed(&path, &["--utc"]);
    fs::remove_file(&path).unwrap();
    assert!(json.stderr.is_empty());
    expect("proc.lost.json", &json.stdout);
    expect("proc.lost.txt", &[text.stdout, text.stderr].concat());
}
