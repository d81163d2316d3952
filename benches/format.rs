//! What one event costs in each format.

use std::hint::black_box;
use std::io::Write;

use coretrace::event::{Event, Flags, Head, Kind, List, Path, Value};
use coretrace::output::{Choice, Look};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

static EXEC: Kind = Kind { id: 1, name: "exec", doc: "", fields: &[] };
static EXIT: Kind = Kind { id: 2, name: "exit", doc: "", fields: &[] };
static FORK: Kind = Kind { id: 3, name: "fork", doc: "", fields: &[] };

/// A compiler as `make` starts it.
const ARGV: &[u8] =
    b"/usr/lib/gcc/x86_64-linux-gnu/14/cc1\0-quiet\0-I\0include\0-imultiarch\0x86_64-linux-gnu\0-D\0NDEBUG\0\
                      -D\0VERSION=\"1.2\"\0src/main.c\0-quiet\0-dumpbase\0main.c\0-O2\0-Wall\0-o\0/tmp/cc8hXGq2.s\0";

fn head(comm: &[u8]) -> Head {
    let mut name = [0; 16];
    name.iter_mut().zip(comm).for_each(|(to, from)| *to = *from);
    Head {
        boot_ns: 123_456_789_012_345,
        unix_ns: 1_700_000_000_123_456_789,
        seq: 123_456,
        cgroup_id: 12_345,
        cpu: 3,
        pid: 123_456,
        tid: 123_456,
        ppid: 123_400,
        uid: 1000,
        gid: 1000,
        comm: name,
    }
}

fn path(names: &'static [u8]) -> Value<'static> {
    Value::Path(Path { names, deleted: false, truncated: false })
}

fn events() -> [Event<'static>; 3] {
    let mut exec = Event::new(&EXEC, head(b"cc1"));
    exec.push("exe", path(b"cc1\x0014\0x86_64-linux-gnu\0gcc\0lib\0usr\0"));
    exec.push("argv", Value::List(List { bytes: ARGV, total: ARGV.len() as u64 }));
    exec.push("cwd", path(b"project\0src\0me\0home\0"));
    let mut exit = Event::new(&EXIT, head(b"cc1"));
    exit.push("code", Value::Code(1));
    exit.push("lifetime", Value::Span(123_456_789));
    exit.push("cpu", Value::Span(98_765_432));
    exit.push("max_rss", Value::Size(123_456_789));
    let mut fork = Event::new(&FORK, head(b"make"));
    fork.push("child_pid", Value::Pid(123_457));
    fork.push("child_tid", Value::Pid(123_457));
    fork.push("flags", Value::Flags(Flags { bits: 0x4100, names: &[(0x100, "VM"), (0x4000, "VFORK")] }));
    [exec, exit, fork]
}

fn format(c: &mut Criterion) {
    let plain = Look { width: None, colour: false, wide: false, utc: false };
    let terminal = Look { width: Some(160), colour: true, ..plain };
    for (name, choice, look) in
        [("text", Choice::Text, plain), ("terminal", Choice::Text, terminal), ("json", Choice::Json, plain)]
    {
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Elements(1));
        for event in events() {
            let mut format = choice.build(look);
            // As in use: a buffer between, but nothing behind it that costs.
            let mut out = std::io::BufWriter::with_capacity(1 << 16, std::io::sink());
            group.bench_function(event.kind.name, |b| b.iter(|| format.event(&mut out, black_box(&event))));
            out.flush().expect("a sink takes all");
        }
        group.finish();
    }
}

criterion_group!(benches, format);
criterion_main!(benches);
