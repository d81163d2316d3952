//! In a steady state, nothing is allocated per event: not by a format, nor on the whole path from the sample to the
//! sink.

use std::cell::RefCell;
use std::io;
use std::path::Path;
use std::rc::Rc;

use coretrace::event::decode::Decode;
use coretrace::event::{self, Ancestors, Env, Event, Flags, Head, Kind, Life, List, Lost, Names, Shape, Value};
use coretrace::flow::enrich::Resolver;
use coretrace::flow::filter::{self, CommGlobs, Filter};
use coretrace::flow::ledger::Ledger;
use coretrace::flow::pipeline::Pipeline;
use coretrace::host::containers::Container;
use coretrace::output::tables::{Room, Table};
use coretrace::output::{Format, Look, Time};

#[path = "samples/mod.rs"]
#[allow(dead_code)]
mod samples;

static KIND: Kind = Kind::new(1, "exec", "A program was started.", &[]);

fn event() -> Event<'static> {
    let head =
        Head { unix_ns: 1_700_000_000_123_456_789, comm: *b"\x1b\xff\xe6\x97\xa5 sixteen by", ..Head::default() };
    let mut event = Event::new(&KIND, head);
    event.push("uint", Value::Uint(u64::MAX));
    event.push("child", Value::Pid(1));
    event.push("code", Value::Code(1));
    event.push("signal", Value::Signal(40));
    event.push("core", Value::Bool(true));
    event.push("rss", Value::Size(123_456));
    event.push("lifetime", Value::Span(123_456));
    event.push("str", Value::Str(b"text \xff\x1b"));
    event.push(
        "exe",
        Value::Path(event::Path { names: b"\xff\0x\0", deleted: true, truncated: true, ..event::Path::default() }),
    );
    event.push("cwd", Value::Path(event::Path { names: b"me\0home\0", ..event::Path::default() }));
    event.push("argv", Value::List(List { bytes: b"it's\0\xff\n\0\xe2\x80\xae\0", total: 99 }));
    event.label = b"web \xff";
    event.names = Some(Names { user: Some(b"anna \xff"), cgroup: None, unit: Some(b"x.scope"), container: None });
    event.push("env", Value::List(List { bytes: b"A=b\0C=d e\0", total: List::UNKNOWN }));
    event.push("ret", Value::Ret(-2));
    event.push("mode", Value::Mode(0o644));
    event.push("flags", Value::Flags(Flags { bits: 0x103, names: &[(1, "VM"), (2, "FS")] }));
    event.push("gone", Value::Unreadable(Shape::Size));
    event
}

/// What of programs may be asked for, of names and values that are not UTF-8, and alike.
fn started() -> Event<'static> {
    let mut event = Event::new(&KIND, event().head);
    event.push("env", Value::Env(Env::all(b"A=b\0C=\xff\0\xff=1\0\xfe=2\0A=2\0cut", 99, true)));
    event.push("env_diff", Value::EnvDiff(Env::changes(b"+A=1\0~B=\xff\0-C=3\0", true)));
    event.push("parent_comm", Value::Str(b"sh \xff"));
    event.push("ancestors", Value::Ancestors(Ancestors { bytes: &[0xff; 60], truncated: true }));
    event
}

#[test]
fn a_format_allocates_nothing_once_it_has_seen_an_event() {
    let id = "0123456789abcdef".repeat(4);
    let container = Container { id, pod: Some("web-\u{202e}".to_owned()), ..Container::default() };
    let (mut event, started, mut out) = (event(), started(), Vec::with_capacity(1 << 20));
    event.names = event.names.map(|names| Names { container: Some(&container), ..names });
    let lost = Lost { unix_ns: event.head.unix_ns, class: "exec".into(), cause: "buffer_full", count: 1, cpu: 0 };
    for format in Format::ALL {
        for (width, colour, wide) in
            [(None, false, false), (None, false, true), (Some(80), true, false), (Some(200), true, false)]
        {
            let look = Look { width, colour, wide, time: Time::Local, labels: true, containers: true };
            let mut output = format.build(look, Table::general(look.room()));
            let mut write = |times| {
                out.clear();
                for _ in 0..times {
                    output.event(&mut out, &event).unwrap();
                    output.event(&mut out, &started).unwrap();
                    output.lost(&mut out, &lost).unwrap();
                }
            };
            write(1);
            let allocations = allocation_counter::measure(|| write(100));
            assert_eq!(allocations.count_total, 0, "{format:?} {width:?}");
        }
    }
}

/// A trace keeps processes that run, and the names that it wrote: as many as there may be, however many come.
#[test]
fn a_trace_of_many_processes_takes_no_more_memory_than_one_of_few() {
    static EXEC: Kind = Kind::new(1, "exec", "A program was started.", &[]).of_life(Life::Program);
    static EXIT: Kind = Kind::new(2, "exit", "A process ended.", &[]).of_life(Life::End);
    let taken = |count: u32, both: bool| {
        let mut output = Format::Perfetto.build(Look::default(), Table::general(Room::Wide));
        allocation_counter::measure(|| {
            for pid in 1..=count {
                let argv = format!("program{pid}\0");
                let mut exec = Event::new(&EXEC, Head { pid, tid: pid, boot_ns: pid.into(), ..Head::default() });
                exec.push("argv", Value::List(List { bytes: argv.as_bytes(), total: 0 }));
                output.event(&mut io::sink(), &exec).unwrap();
                if both {
                    output.event(&mut io::sink(), &Event::new(&EXIT, exec.head)).unwrap();
                }
            }
        })
        .bytes_max
    };
    assert!(taken(1_000_000, true) < 2 << 20);
    assert!(taken(300_000, false) < 64 << 20, "their ends are not seen");
}

/// Every sample is an event: of root in the root cgroup, then with numbers that have no names.
struct Named;

impl Decode for Named {
    fn decode<'a>(&'a self, sample: &'a [u8]) -> anyhow::Result<Event<'a>> {
        let (uid, cgroup_id) = if sample.is_empty() { (0, 1) } else { (u32::MAX, u64::MAX) };
        Ok(Event::new(&KIND, Head { uid, cgroup_id, ..Head::default() }))
    }
}

/// The output, readable while the pipeline has it.
#[derive(Clone, Default)]
struct Shared(Rc<RefCell<Vec<u8>>>);

impl io::Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn names_allocate_nothing_once_they_are_known() {
    let out = Shared::default();
    out.0.borrow_mut().reserve(1 << 20);
    let output = Format::Json.build(Look::default(), Table::general(Room::Wide));
    let ledger = Ledger::new(std::iter::once(&KIND));
    let mut pipeline = Pipeline::new(&Named, ledger, Filter::default(), output, Box::new(out.clone()), true);
    let both = |pipeline: &mut Pipeline<'_>| [&b""[..], b"x"].into_iter().for_each(|sample| pipeline.sample(sample));
    both(&mut pipeline);
    pipeline.enrich(Resolver::new(Path::new("/"), None));
    both(&mut pipeline);
    pipeline.flush();
    let written = String::from_utf8(out.0.borrow().clone()).unwrap();
    let lines: Vec<&str> = written.lines().collect();
    assert!(!lines[0].contains("user") && !lines[1].contains("user"), "names are not asked for: {written}");
    assert!(
        lines[2].ends_with(r#""user":"root","cgroup":null,"unit":null,"container":null}"#)
            && lines[3].ends_with(r#""user":null,"cgroup":null,"unit":null,"container":null}"#)
    );
    let allocations = allocation_counter::measure(|| (0..100).for_each(|_| both(&mut pipeline)));
    assert_eq!(allocations.count_total, 0);
}

#[test]
fn the_pipeline_allocates_nothing_once_it_has_seen_each_event() {
    for (tracer, recording) in samples::all() {
        let has_args = tracer.kinds().iter().flat_map(|kind| kind.fields()).any(|field| field.shape == Shape::List);
        for format in Format::ALL {
            let filter = Filter {
                args: has_args.then(|| filter::regex("[a-z]").unwrap()),
                comm: CommGlobs::compile(&["*"]).unwrap(),
                ..Filter::default()
            };
            for filter in [Filter::default(), filter] {
                let ledger = Ledger::new(tracer.kinds().iter());
                let output = format.build(Look::default(), tracer.table(Room::Wide));
                let mut pipeline = Pipeline::new(tracer.as_ref(), ledger, filter, output, Box::new(io::sink()), true);
                pipeline.clock(recording.clock);
                let mut all = || recording.samples.iter().for_each(|sample| pipeline.sample(sample));
                // Time goes back each time: a trace has all tracks of calls, and names for what comes late, after some.
                (0..10).for_each(|_| all());
                let allocations = allocation_counter::measure(|| (0..10).for_each(|_| all()));
                assert_eq!(allocations.count_total, 0, "{} {format:?}", tracer.name());
                assert!(pipeline.undecodable.is_none() && pipeline.ledger.delivered() > 0);
            }
        }
    }
}
