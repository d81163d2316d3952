//! What an output is given, and when.

use std::cell::RefCell;
use std::rc::Rc;

use super::*;
use crate::event::{Head, Kind};

static KIND: Kind = Kind::new(1, "call", "a sample", &[]);

/// The first byte of a sample is the second in which it happened.
struct Seconds;

impl Decode for Seconds {
    fn decode<'a>(&'a self, sample: &'a [u8]) -> Result<Event<'a>> {
        let boot_ns = sample.first().map_or(0, |second| u64::from(*second) * 1_000_000_000);
        Ok(Event::new(&KIND, Head { boot_ns, ..Head::default() }))
    }
}

/// What was called.
#[derive(Clone, Default)]
struct Calls(Rc<RefCell<Vec<String>>>);

impl Calls {
    fn add(&self, call: String) -> io::Result<()> {
        self.0.borrow_mut().push(call);
        Ok(())
    }
}

impl Output for Calls {
    fn header(&mut self, _: &mut dyn Write) -> io::Result<()> {
        self.add("header".to_owned())
    }

    fn event(&mut self, _: &mut dyn Write, event: &Event<'_>) -> io::Result<()> {
        self.add(format!("event {}", event.head.unix_ns / 1_000_000_000))
    }

    fn lost(&mut self, _: &mut dyn Write, lost: &Lost) -> io::Result<()> {
        self.add(format!("lost {}", lost.count))
    }

    fn totals(&mut self, _: &mut dyn Write, totals: &Totals, _: i64) -> io::Result<()> {
        self.add(format!("totals of {}", totals.rows.len()))
    }

    fn tick(&mut self, _: &mut dyn Write, unix_ns: i64) -> io::Result<()> {
        self.add(format!("tick {}", unix_ns / 1_000_000_000))
    }

    fn end(&mut self, out: &mut dyn Write, summary: &Summary) -> io::Result<()> {
        self.add(format!("end {} of {}", summary.events, summary.lost))?;
        out.write_all(b"in all\n")
    }
}

/// What was written.
#[derive(Clone, Default)]
struct Written(Rc<RefCell<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn pipeline(calls: &Calls, written: &Written) -> Pipeline<'static> {
    let ledger = Ledger::new(std::iter::once(&KIND));
    let (output, sink) = (Box::new(calls.clone()), Box::new(written.clone()));
    Pipeline::new(&Seconds, ledger, Filter::default(), output, sink, false)
}

#[test]
fn time_goes_by_the_events_of_a_recording() {
    let (calls, written) = (Calls::default(), Written::default());
    let mut pipeline = pipeline(&calls, &written);
    pipeline.replay();
    pipeline.header();
    [7, 7, 8, 8, 60].map(|second| [second]).iter().for_each(|sample| pipeline.sample(sample));
    pipeline.lost(Lost { unix_ns: 0, class: "call".into(), cause: CAUSES[0], count: 3, cpu: 0 });
    pipeline.finish().1.unwrap();
    let expected =
        ["header", "event 7", "event 7", "tick 8", "event 8", "event 8", "tick 60", "event 60", "lost 3", "end 5 of 3"];
    assert_eq!(*calls.0.borrow(), expected);
    assert_eq!(*written.0.borrow(), b"in all\n");
}

#[test]
fn an_output_ends_once_and_live_time_is_the_loops() {
    let (calls, written) = (Calls::default(), Written::default());
    let mut pipeline = pipeline(&calls, &written);
    [1, 9].map(|second| [second]).iter().for_each(|sample| pipeline.sample(sample));
    pipeline.tick(10_000_000_000);
    pipeline.end();
    pipeline.flush();
    pipeline.finish().1.unwrap();
    assert_eq!(*calls.0.borrow(), ["event 1", "event 9", "tick 10", "end 2 of 0"]);
}
