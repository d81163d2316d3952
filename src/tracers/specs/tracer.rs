//! One spec of a run, as a tracer.

use std::borrow::Cow;
use std::rc::Rc;

use anyhow::{Context, Result};
use libbpf_rs::{Object, OpenObject};
use serde_json::Value as Json;

use super::recorded::Recorded;
use super::totals::{self, Aggregation, Request};
use super::way::{Subject, Wanted, Way, ways};
use super::{probe, table};
use crate::event::decode::Decode;
use crate::event::total::Totals;
use crate::event::{Event, Kind};
use crate::ffi::skeleton::constants;
use crate::flow::heartbeat::Beat;
use crate::host::addresses::Addresses;
use crate::load::plan::Plan;
use crate::load::session::Session;
use crate::load::source::{Embedded, Source};
use crate::output::tables::{Room, Table};
use crate::tracers::opening::Opening;
use crate::tracers::tracer::{Info, Tracer};

/// One spec.
#[derive(Debug)]
pub(super) struct SpecTracer {
    info: &'static Info,
    kinds: [Kind; 1],
    recorded: Recorded,
    /// None in a replay.
    ways: Vec<Way>,
    /// Names of the kernel's addresses, where they are shown.
    symbols: Option<Rc<Addresses>>,
}

impl SpecTracer {
    /// Of what a spec names on this host.
    ///
    /// # Errors
    /// When there is no way to hook it.
    pub fn new(
        info: &'static Info,
        subject: &dyn Subject,
        kind: u32,
        wanted: Wanted,
        opening: &Opening<'_>,
    ) -> Result<Self> {
        let (mut recorded, mut ways) = (subject.recorded(kind, info.embedded.name), ways(subject, kind, wanted)?);
        for note in ways.iter_mut().flat_map(|way| &mut way.notes) {
            *note = format!("{}: {note}", recorded.func);
        }
        recorded.ways = ways.iter().map(|way| way.meaning.clone()).collect();
        // Where they cannot be read, addresses are shown.
        let symbols = recorded.has_symbols().then(|| opening.symbols().ok()).flatten();
        let symbols = symbols.map(|all| Rc::new(Addresses::Here(all)));
        Ok(SpecTracer { info, kinds: [recorded.kind()?], recorded, ways, symbols })
    }

    /// Of what a recording has.
    ///
    /// # Errors
    /// When it makes no sense.
    pub fn replayed(info: &'static Info, recorded: &Json) -> Result<Self> {
        let recorded: Recorded = serde::Deserialize::deserialize(recorded).context("the spec of a recording")?;
        let symbols = recorded.has_symbols().then(|| Rc::new(Addresses::recorded()));
        Ok(SpecTracer { info, kinds: [recorded.kind()?], recorded, ways: Vec::new(), symbols })
    }

    /// Its hits are not sent, but added up. `label`: what the spec names, if that is not as its events have it. `of_spec`:
    /// the spec, where another names the same.
    ///
    /// # Errors
    /// When what is asked for cannot be added up.
    pub fn aggregate(&mut self, request: &Request, label: Option<&str>, of_spec: Option<&str>) -> Result<()> {
        let label = label.unwrap_or(&self.recorded.func);
        self.ways.iter_mut().try_for_each(|way| {
            let aggregation = request.of(&way.meaning, label)?.of_hooked(&self.recorded);
            way.aggregation = Some(match of_spec {
                Some(text) => aggregation.of_spec(text),
                None => aggregation,
            });
            Ok(())
        })
    }

    /// Each has programs of its own.
    fn way(&self, plan: &Plan) -> Result<(usize, &Way)> {
        let program = |plan: &Plan| plan.programs.first().map(|program| program.name.clone());
        let is_it = |way: &Way| program(&way.plan) == program(plan);
        self.ways.iter().enumerate().find(|(_, way)| is_it(way)).context("no such way to hook in")
    }
}

impl Decode for SpecTracer {
    fn decode<'a>(&'a self, sample: &'a [u8]) -> Result<Event<'a>> {
        let [kind] = &self.kinds;
        self.recorded.decode(kind, self.symbols.as_deref(), sample)
    }

    fn learn(&self, address: u64, offset: u64, name: &str) {
        if let Some(symbols) = &self.symbols {
            symbols.learn(address, offset, name);
        }
    }
}

impl Source for SpecTracer {
    fn embedded(&self) -> &'static Embedded {
        &self.info.embedded
    }

    fn plans(&self) -> Vec<Plan> {
        self.ways.iter().map(|way| way.plan.clone()).collect()
    }

    fn made_for(&self, plan: &Plan) -> Cow<'_, [u8]> {
        self.way(plan).map_or_else(|_| self.object().into(), |(_, way)| (&way.object).into())
    }

    fn watched(&self) -> &str {
        &self.recorded.func
    }

    fn notes(&self, plan: &Plan) -> &[String] {
        self.way(plan).map_or(&[], |(_, way)| &way.notes)
    }

    fn configure(&self, session: &Session, plan: &Plan, object: &mut OpenObject) -> Result<()> {
        let (number, way) = self.way(plan)?;
        let [kind] = &self.kinds;
        way.constants.size_frames(object)?;
        match &way.aggregation {
            Some(aggregation) => aggregation.size(object)?,
            None => totals::leave_out(object)?,
        }
        constants!(probe, session, object, |rodata| {
            rodata.probe_kind = kind.id;
            rodata.probe_way = u32::try_from(number)?;
            rodata.probe_cookies = (session.cookies && way.plan.hook.is_user()).into();
            rodata.stack_typed = session.kernel_btf.into();
            way.constants.set(rodata)?;
            if let Some(aggregation) = &way.aggregation {
                aggregation.set(rodata)?;
            }
        })
    }

    fn totals(&self, plan: &Plan, object: &Object) -> Result<Option<Totals>> {
        let (_, way) = self.way(plan)?;
        let read = |aggregation: &Aggregation| aggregation.read(object, &self.recorded, self.symbols.as_ref());
        way.aggregation.as_ref().map(read).transpose()
    }
}

impl Tracer for SpecTracer {
    fn info(&self) -> &'static Info {
        self.info
    }

    fn kinds(&self) -> &[Kind] {
        &self.kinds
    }

    fn aggregates(&self) -> bool {
        self.ways.iter().any(|way| way.aggregation.is_some())
    }

    fn recorded(&self) -> Option<Json> {
        serde_json::to_value(&self.recorded).ok()
    }

    fn table(&self, room: Room) -> Table {
        table(room)
    }

    fn beat(&self, _: &Session) -> Option<Beat> {
        None
    }
}
