//! In a steady state, a format allocates nothing.

use coretrace::event::{Event, Field, Flags, Head, Kind, List, Lost, Path, Shape, Value};
use coretrace::output::{Choice, Look};

static KIND: Kind = Kind { id: 1, name: "exec", doc: "A program was started.", fields: &[] as &[Field] };

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
    event.push("exe", Value::Path(Path { names: b"\xff\0x\0", deleted: true, truncated: true }));
    event.push("cwd", Value::Path(Path { names: b"me\0home\0", deleted: false, truncated: false }));
    event.push("argv", Value::List(List { bytes: b"it's\0\xff\n\0\xe2\x80\xae\0", total: 99 }));
    event.push("env", Value::List(List { bytes: b"A=b\0C=d e\0", total: 10 }));
    event.push("flags", Value::Flags(Flags { bits: 0x103, names: &[(1, "VM"), (2, "FS")] }));
    event.push("gone", Value::Unreadable(Shape::Size));
    event
}

#[test]
fn a_format_allocates_nothing_once_it_has_seen_an_event() {
    let (event, mut out) = (event(), Vec::with_capacity(1 << 20));
    let lost = Lost { unix_ns: event.head.unix_ns, class: "exec", cause: "buffer_full", count: 1, cpu: 0 };
    for choice in [Choice::Text, Choice::Json] {
        for (width, colour) in [(None, false), (Some(80), true), (Some(200), true)] {
            let mut format = choice.build(Look { width, colour, wide: false, utc: false });
            let mut write = |times| {
                out.clear();
                for _ in 0..times {
                    format.event(&mut out, &event).unwrap();
                    format.lost(&mut out, &lost).unwrap();
                }
            };
            write(1);
            let allocations = allocation_counter::measure(|| write(100));
            assert_eq!(allocations.count_total, 0, "{choice:?} {width:?}");
        }
    }
}
