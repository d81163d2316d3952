//! What `-o perfetto` writes, read again with Perfetto's own schema.

use std::io;
use std::process::{Command, Stdio};

use coretrace::event::{Event, Field, Head, Kind, Life, List, Lost, Path, Shape, Value};
use coretrace::output::tables::{Room, Table};
use coretrace::output::{Format, Look, Output, Summary};

#[path = "samples/mod.rs"]
#[allow(dead_code)]
mod samples;
#[allow(dead_code)]
mod trace;

use trace::{Mark, Trace};

const fn field(name: &'static str, shape: Shape) -> Field {
    Field::new(name, shape, false, "A sample.")
}

static EXEC: Kind =
    Kind::new(1, "exec", "A program begins.", const { &[field("argv", Shape::List), field("exe", Shape::Path)] })
        .of_life(Life::Program);
static FORK: Kind = Kind::new(2, "fork", "A process is made.", const { &[field("child_pid", Shape::Pid)] })
    .of_life(Life::Child("child_pid"));
static EXIT: Kind = Kind::new(
    3,
    "exit",
    "A process ends.",
    const { &[field("code", Shape::Code), field("lifetime", Shape::Span), field("cpu", Shape::Span)] },
)
.of_life(Life::End);
static CLONE: Kind = Kind::new(4, "clone", "A thread is made.", const { &[field("child_tid", Shape::Pid)] })
    .of_life(Life::Thread("child_tid"));
static THREAD_EXIT: Kind =
    Kind::new(5, "thread_exit", "A thread ends.", const { &[field("lifetime", Shape::Span)] }).of_life(Life::ThreadEnd);
static CALL: Kind =
    Kind::new(6, "probe", "A call.", const { &[field("func", Shape::Str), field("duration", Shape::Span)] });

const MS: u64 = 1_000_000;
/// The first second of 2000.
const BEGIN: i64 = 946_684_800_000_000_000;

fn event(kind: &'static Kind, ms: u64, pid: u32, tid: u32) -> Event<'static> {
    let unix_ns = BEGIN.saturating_add_unsigned(ms * MS);
    let head = Head {
        boot_ns: ms * MS,
        unix_ns,
        pid,
        tid,
        ppid: 1,
        comm: *b"comm\0\0\0\0\0\0\0\0\0\0\0\0",
        ..Head::default()
    };
    Event::new(kind, head)
}

fn of(kind: &'static Kind, ms: u64, pid: u32, fields: &[(&'static str, Value<'static>)]) -> Event<'static> {
    let mut event = event(kind, ms, pid, pid);
    event.fields.extend(fields.iter().copied());
    event
}

fn exec(ms: u64, pid: u32, argv: &'static str) -> Event<'static> {
    of(&EXEC, ms, pid, &[("argv", Value::List(List { bytes: argv.as_bytes(), total: argv.len() as u64 }))])
}

fn fork(ms: u64, pid: u32, child: u32) -> Event<'static> {
    of(&FORK, ms, pid, &[("child_pid", Value::Pid(child))])
}

fn exit(ms: u64, pid: u32, lived: u64) -> Event<'static> {
    let cpu = Value::Span(lived * MS / 2);
    of(&EXIT, ms, pid, &[("code", Value::Code(0)), ("lifetime", Value::Span(lived * MS)), ("cpu", cpu)])
}

fn call(ms: u64, pid: u32, took: u64, func: &'static str) -> Event<'static> {
    of(&CALL, ms, pid, &[("func", Value::Str(func.as_bytes())), ("duration", Value::Span(took * MS))])
}

fn perfetto() -> Box<dyn Output> {
    Format::Perfetto.build(Look::default(), Table::general(Room::Wide))
}

/// What is written of events, without an end.
fn written(events: &[Event<'_>]) -> (Box<dyn Output>, Vec<u8>) {
    let (mut output, mut out) = (perfetto(), Vec::new());
    output.header(&mut out).unwrap();
    events.iter().for_each(|event| output.event(&mut out, event).unwrap());
    (output, out)
}

fn traced(events: &[Event<'_>]) -> Trace {
    let (mut output, mut out) = written(events);
    output.end(&mut out, &Summary::default()).unwrap();
    Trace::whole(&out)
}

/// Names and times (in milliseconds) of what is on a track.
fn on(trace: &Trace, track: &str) -> Vec<(String, u64, Option<u64>)> {
    trace.on(track).iter().map(|mark| (mark.name.clone(), mark.begin / MS, mark.end.map(|end| end / MS))).collect()
}

fn marks<const N: usize>(marks: [(&str, u64, Option<u64>); N]) -> Vec<(String, u64, Option<u64>)> {
    marks.map(|(name, begin, end)| (name.to_owned(), begin, end)).to_vec()
}

#[test]
fn a_slice_is_a_program_from_exec_to_exit_under_its_parents_track() {
    let trace = traced(&[
        exec(1, 10, "/bin/make\0all\0"),
        fork(2, 10, 11),
        exec(4, 11, "cc\0-c\0a.c\0"),
        exit(8, 11, 6),
        fork(9, 10, 12),
        exit(10, 12, 1),
        exit(12, 10, 20),
    ]);
    assert_eq!(on(&trace, "make 10"), marks([("make", 1, Some(12)), ("fork", 2, None), ("fork", 9, None)]));
    assert_eq!(on(&trace, "cc 11"), marks([("fork of make", 2, Some(4)), ("cc", 4, Some(8))]));
    assert_eq!(on(&trace, "fork of make 12"), marks([("fork of make", 9, Some(10))]));
    assert_eq!(
        (trace.parent("cc 11"), trace.parent("fork of make 12"), trace.parent("make 10")),
        ("make 10", "make 10", "")
    );
    let cc = trace.on("cc 11")[1];
    let said = ["pid", "argv", "code", "lifetime_ns", "cpu_ns"].map(|name| cc.get(name).unwrap_or("-"));
    assert_eq!(said, ["11", "[cc, -c, a.c]", "0", "6000000", "3000000"]);
    let arrows: Vec<_> = trace.on("make 10").iter().filter_map(|mark| mark.from).collect();
    assert_eq!(arrows, [trace.on("cc 11")[0].to.unwrap(), trace.on("fork of make 12")[0].to.unwrap()]);
    let cpu: Vec<_> = trace.on("CPU time of processes that ended").iter().map(|mark| mark.count.unwrap()).collect();
    assert_eq!(cpu, [0, 3_000_000, 3_500_000, 13_500_000]);
    assert_eq!(trace.clocks, [(BEGIN.cast_unsigned() + MS, MS)]);
}

#[test]
fn what_was_not_seen_is_not_made_up() {
    // It was there before, as its life says; another one was not, and a third one's end was not seen.
    let trace = traced(&[exec(100, 5, "sh\0"), exit(105, 6, 1000), exit(109, 7, 2), fork(110, 5, 8), fork(120, 5, 8)]);
    assert_eq!(on(&trace, "comm 6"), marks([("comm", 100, Some(105))]));
    assert_eq!(trace.on("comm 6")[0].get("begun"), Some("before"));
    assert_eq!(on(&trace, "comm 7"), marks([("comm", 107, Some(109))]));
    assert_eq!(trace.on("comm 7")[0].get("begun"), Some("unseen"));
    let of_8: Vec<_> = trace.on("fork of sh 8").iter().map(|mark| (mark.begin / MS, mark.get("end_seen"))).collect();
    assert_eq!(of_8, [(110, Some("false")), (120, Some("false"))], "on tracks of their own");
    assert_eq!(trace.on("sh 5")[0].get("end_seen"), Some("false"));
    // A number that is used again, and neither that end nor that beginning was seen.
    let trace = traced(&[exec(1, 5, "old\0"), exit(90, 5, 30)]);
    assert_eq!(on(&trace, "old 5"), marks([("old", 1, Some(60))]));
    assert_eq!(on(&trace, "comm 5"), marks([("comm", 60, Some(90))]));
}

#[test]
fn slices_are_of_the_run_not_of_its_first_and_last_event() {
    let (mut output, mut out) = (perfetto(), Vec::new());
    output.began(90 * MS);
    let events = [exit(105, 6, 1000), exit(109, 7, 10), exec(110, 8, "sleep\0")];
    events.iter().for_each(|event| output.event(&mut out, event).unwrap());
    output.end(&mut out, &Summary { over_ns: Some(500 * MS), ..Summary::default() }).unwrap();
    let trace = Trace::whole(&out);
    assert_eq!(on(&trace, "comm 6"), marks([("comm", 90, Some(105))]));
    assert_eq!(
        (on(&trace, "comm 7"), trace.on("comm 7")[0].get("begun")),
        (marks([("comm", 99, Some(109))]), Some("unseen"))
    );
    assert_eq!(on(&trace, "sleep 8"), marks([("sleep", 110, Some(500))]));
    assert_eq!(trace.on("sleep 8")[0].get("end_seen"), Some("false"));
}

#[test]
fn threads_have_tracks_of_their_own_and_end_with_their_process() {
    let clone = |ms, tid| of(&CLONE, ms, 10, &[("child_tid", Value::Pid(tid))]);
    let mut gone = event(&THREAD_EXIT, 5, 10, 12);
    gone.push("lifetime", Value::Span(2 * MS));
    let mut call_of_13 = call(6, 10, 1, "f");
    call_of_13.head.tid = 13;
    let trace = traced(&[exec(1, 10, "app\0"), clone(2, 11), clone(3, 12), gone, call_of_13, exit(9, 10, 8)]);
    assert_eq!(on(&trace, "thread of app 11"), marks([("thread of app", 2, Some(9))]));
    assert_eq!(on(&trace, "comm 12"), marks([("thread of app", 3, Some(5))]));
    assert_eq!(
        (trace.parent("comm 12"), trace.parent("comm 13"), trace.parent("calls")),
        ("app 10", "app 10", "comm 13")
    );
    assert_eq!(trace.marks.iter().filter(|mark| mark.to.is_some()).count(), 2);
    let trace = traced(&[exec(1, 10, "app\0"), clone(2, 11), exec(4, 10, "next\0"), exit(9, 10, 8)]);
    assert_eq!(on(&trace, "thread of app 11"), marks([("thread of app", 2, Some(4))]), "exec ends other threads");
}

#[test]
fn calls_are_slices_of_their_duration_also_where_they_overlap() {
    let trace = traced(&[call(5, 1, 1, "inner"), call(6, 1, 4, "outer"), call(7, 1, 1, "inner"), of(&CALL, 8, 1, &[])]);
    assert_eq!(on(&trace, "calls"), marks([("inner", 4, Some(5)), ("outer", 2, Some(6)), ("inner", 6, Some(7))]));
    assert_eq!(on(&trace, "comm 1"), marks([("probe", 8, None)]));
    // More than there are tracks for.
    let nested: Vec<_> = (0..20).map(|n| call(100 + n, 1, 2 * n + 1, "f")).collect();
    let trace = traced(&nested);
    assert_eq!((trace.on("calls").len(), trace.on("comm 1").len()), (8, 12));
    assert!(trace.on("comm 1").iter().all(|mark| mark.get("duration_ns").is_some()));
}

#[test]
fn what_comes_late_is_not_before_what_is_there() {
    let trace = traced(&[exec(10, 5, "sh\0"), of(&CALL, 9, 5, &[]), of(&CALL, 11, 5, &[])]);
    assert_eq!(on(&trace, "sh 5"), marks([("sh", 10, Some(11)), ("probe", 10, None), ("probe", 11, None)]));
    let late: Vec<_> = trace.on("sh 5").iter().map(|mark| mark.get("boot_ns")).collect();
    assert_eq!(late, [None, Some("9000000"), None]);
}

fn lost(ms: u64, cpu: u32) -> Lost {
    let unix_ns = BEGIN.saturating_add_unsigned(ms * MS);
    Lost { unix_ns, class: "exec".into(), cause: "buffer_full", count: 7, cpu }
}

#[test]
fn losses_are_ranges_in_which_they_may_have_happened() {
    let (mut output, mut out) = written(&[exec(100, 5, "sh\0"), exec(4000, 5, "sh\0")]);
    [lost(4200, 0), lost(4200, 1), lost(4300, 0)].iter().for_each(|lost| output.lost(&mut out, lost).unwrap());
    output.event(&mut out, &exec(4400, 5, "sh\0")).unwrap();
    output.end(&mut out, &Summary::default()).unwrap();
    let trace = Trace::whole(&out);
    let all = on(&trace, "lost events");
    let name = "lost: exec";
    assert_eq!(all, marks([(name, 3200, Some(4200)), (name, 3200, Some(4200)), (name, 4200, Some(4300))]));
    let said = |mark: &Mark| ["class", "cause", "count", "cpu"].map(|name| mark.get(name).unwrap().to_owned());
    assert_eq!(said(trace.on("lost events")[1]), ["exec", "buffer_full", "7", "1"]);
}

#[test]
fn losses_before_all_events_are_shown_once_their_time_is_known() {
    let (mut output, mut out) = (perfetto(), Vec::new());
    output.lost(&mut out, &lost(50, 0)).unwrap();
    assert!(out.is_empty());
    output.event(&mut out, &exec(100, 5, "sh\0")).unwrap();
    output.end(&mut out, &Summary::default()).unwrap();
    assert_eq!(on(&Trace::whole(&out), "lost events"), marks([("lost: exec", 50, Some(50))]));
    // Nothing else.
    let (mut output, mut out) = (perfetto(), Vec::new());
    output.lost(&mut out, &lost(50, 0)).unwrap();
    output.end(&mut out, &Summary::default()).unwrap();
    let trace = Trace::whole(&out);
    assert_eq!(trace.marks[0].begin, BEGIN.cast_unsigned() + 50 * MS, "by the wall clock");
}

#[test]
fn a_trace_without_events_can_be_read() {
    assert!(traced(&[]).marks.is_empty());
}

#[test]
fn a_new_file_begins_with_what_is_there() {
    let (mut output, old) = written(&[exec(1, 10, "make\0"), fork(2, 10, 11), exec(3, 11, "cc\0")]);
    assert_eq!(Trace::read(&old).open, 2);
    let mut new = Vec::new();
    output.header(&mut new).unwrap();
    output.event(&mut new, &exit(9, 11, 7)).unwrap();
    output.end(&mut new, &Summary::default()).unwrap();
    let trace = Trace::whole(&new);
    assert_eq!(
        (on(&trace, "cc 11"), on(&trace, "make 10")),
        (marks([("cc", 3, Some(9))]), marks([("make", 3, Some(9))]))
    );
    assert_eq!((trace.parent("cc 11"), trace.on("cc 11")[0].get("continued")), ("make 10", Some("true")));
    assert_eq!(trace.clocks.len(), 1);
}

#[test]
fn a_thread_is_below_its_process_also_where_that_does_nothing() {
    let trace = traced(&[event(&CALL, 1, 10, 11)]);
    assert_eq!((on(&trace, "comm 11"), trace.parent("comm 11")), (marks([("probe", 1, None)]), "comm 10"));
    // In a new file, too, and where a parent has ended.
    let (mut output, _) = written(&[exec(1, 10, "make\0"), fork(2, 10, 12), event(&CALL, 3, 12, 13), exit(4, 10, 3)]);
    let mut new = Vec::new();
    output.header(&mut new).unwrap();
    output.event(&mut new, &event(&CALL, 5, 12, 13)).unwrap();
    output.end(&mut new, &Summary::default()).unwrap();
    let trace = Trace::whole(&new);
    assert_eq!((trace.parent("comm 13"), trace.parent("fork of make 12")), ("fork of make 12", ""));
}

#[test]
fn a_clock_that_is_set_is_seen() {
    let mut later = exec(5, 10, "sh\0");
    later.head.unix_ns += 3_600_000_000_000;
    let trace = traced(&[exec(1, 10, "sh\0"), later, exit(6, 10, 5)]);
    let begin = BEGIN.cast_unsigned();
    let hour = 3_600_000_000_000;
    assert_eq!(trace.clocks, [(begin + MS, MS), (begin + hour + 5 * MS, 5 * MS), (begin + 6 * MS, 6 * MS)]);
}

/// What `replay` makes of a recorded sample.
fn replayed(name: &str) -> Vec<u8> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coretrace"));
    let output = command.args(["replay", "-o", "perfetto"]).arg(samples::path(name)).stdin(Stdio::null()).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

#[test]
fn every_recorded_sample_is_a_trace_also_where_it_is_cut_off() {
    for (tracer, recording) in samples::all() {
        let bytes = replayed(tracer.name());
        let trace = Trace::whole(&bytes);
        assert!(trace.marks.len() >= recording.samples.len(), "{}", tracer.name());
        assert_eq!((trace.cleared, trace.clocks.len()), (1, 1), "{}", tracer.name());
        let (mut at, mut cuts) = (0, 0);
        while let Some(end) = packet(&bytes, at) {
            Trace::read(&bytes[..end]);
            (at, cuts) = (end, cuts + 1);
        }
        assert!(at == bytes.len() && cuts > recording.samples.len(), "{}", tracer.name());
    }
}

/// A small generator (xorshift), so that a failure can be had again.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

#[test]
fn damaged_samples_in_any_order_are_a_trace_all_the_same() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for (tracer, recording) in samples::all() {
        for _ in 0..40 {
            let (mut output, mut out, mut count) = (perfetto(), Vec::new(), 0);
            for _ in 0..300 {
                let mut sample = recording.samples[random.below(recording.samples.len())].clone();
                for _ in 0..random.below(4) {
                    let at = random.below(sample.len());
                    sample[at] = random.below(256) as u8;
                }
                let Ok(mut event) = tracer.decode(&sample) else { continue };
                // A damaged one may be of any time: the others would all be late.
                event.head.boot_ns %= 1 << 48;
                event.head.unix_ns = BEGIN.saturating_add_unsigned(event.head.boot_ns);
                output.event(&mut out, &event).unwrap();
                if random.below(50) == 0 {
                    let lost = Lost { unix_ns: event.head.unix_ns, ..lost(1, 0) };
                    output.lost(&mut out, &lost).unwrap();
                }
                count += 1;
            }
            output.end(&mut out, &Summary::default()).unwrap();
            assert!(Trace::whole(&out).marks.len() >= count, "{}", tracer.name());
        }
    }
}

/// Where the packet ends that begins there.
fn packet(bytes: &[u8], at: usize) -> Option<usize> {
    let digits = bytes.get(at + 1..)?.iter().position(|byte| byte & 0x80 == 0)? + 1;
    let length = bytes[at + 1..at + 1 + digits].iter().rev().fold(0, |sum, byte| sum << 7 | usize::from(byte & 0x7f));
    Some(at + 1 + digits + length)
}

#[test]
fn a_write_is_of_whole_packets() {
    struct Whole(usize);
    impl io::Write for Whole {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += 1;
            assert_eq!((bytes[0], packet(bytes, 0)), (0x0a, Some(bytes.len())));
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (mut output, mut out) = (perfetto(), Whole(0));
    for event in [exec(1, 10, "make\0"), fork(2, 10, 11), exit(3, 11, 1), call(4, 10, 1, "f")] {
        output.event(&mut out, &event).unwrap();
    }
    output.end(&mut out, &Summary::default()).unwrap();
    assert!(out.0 > 10);
}

#[test]
fn hostile_names_are_harmless_and_no_byte_is_lost() {
    let hostile: &[u8] = b"/x/\xff\x1b[31m\xe2\x80\xae\n\0\xff\0";
    let long = [&[b'a'; 5000][..], b"\0"].concat();
    let list = |bytes| Value::List(List { bytes, total: 9999 });
    let mut of_path = event(&EXEC, 2, 11, 11);
    of_path.push("argv", list(&long));
    of_path.push("exe", Value::Path(Path { names: b"\xff\0x\0", deleted: true, ..Path::default() }));
    of_path.label = b"\xff";
    let mut of_func = event(&CALL, 3, 12, 12);
    of_func.push("func", Value::Str(hostile));
    let mut of_argv = event(&EXEC, 1, 10, 10);
    of_argv.push("argv", list(hostile));
    let trace = traced(&[of_argv, of_path, of_func]);
    let name = r"\xff\x1b[31m\u{202e}\n";
    assert_eq!(on(&trace, &format!("{name} 10")), marks([(name, 1, Some(3))]));
    let said = |track: &str, name| trace.on(track)[0].get(name).unwrap_or("-").to_owned();
    let track = format!("{name} 10");
    assert_eq!(
        (said(&track, "argv_truncated"), said(&track, "argv_b64")),
        ("true".into(), "[L3gv/xtbMzFt4oCuCg==, /w==]".into())
    );
    let cut = format!("{}…", "a".repeat(93));
    let track = format!("{cut} 11");
    assert_eq!(
        (said(&track, "exe"), said(&track, "exe_b64"), said(&track, "label_b64")),
        ("/x/\u{fffd}".into(), "L3gv/w==".into(), "/w==".into())
    );
    assert!(trace.marks.iter().any(|mark| mark.name == r"/x/\xff\x1b[31m\u{202e}\n\x00\xff\x00"));
}

#[test]
fn more_names_than_are_kept_are_written_again() {
    let names: Vec<String> = (0..10_000).map(|n| format!("program{n}\0")).collect();
    let events = names.iter().zip(1..).map(|(argv, pid)| {
        let mut event = event(&EXEC, 1, pid, pid);
        event.push("argv", Value::List(List { bytes: argv.as_bytes(), total: argv.len() as u64 }));
        event
    });
    let trace = traced(&events.collect::<Vec<_>>());
    assert_eq!((trace.cleared, trace.on("program9999 10000")[0].name.as_str()), (3, "program9999"));
    assert!(trace.names > 10_000);
}

#[test]
fn what_no_process_did_and_what_there_is_no_room_for_is_not_lost() {
    let many = 1 << 16;
    let mut events: Vec<_> = (1..=many + 2).map(|pid| exec(1, pid, "sleep\0")).collect();
    events.push(event(&CALL, 2, 0, 0));
    events.push(exit(3, many + 1, 2));
    let trace = traced(&events);
    let others = on(&trace, "by no process that is kept");
    assert_eq!(others[..3], marks([("exec", 1, None), ("exec", 1, None), ("probe", 2, None)]));
    assert_eq!((others.len(), trace.on("by no process that is kept")[0].get("argv")), (5, Some("[sleep]")));
    let (mark, name) =
        (trace.marks.last().unwrap(), "not on tracks of their own, as there are too many processes at once");
    assert_eq!((mark.name.as_str(), mark.get("count")), (name, Some("3")));
}
