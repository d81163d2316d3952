//! `conn`: the connections that the kernel's connection tracker knows, with the process of each.

mod address;
mod describe;
mod existing;
mod hooks;
mod wire;

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsString;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use libbpf_rs::{MapCore, MapFlags, Object, OpenObject, ProgramInput};
use nix::errno::Errno;

use self::address::{Network, Protocol, namespace, seconds};
use self::describe::{FAILURES, KINDS};
use self::wire::types::{conn_event, conn_kind, network, rodata};
use self::wire::{EMBEDDED, LAYOUT, set_constants};
use crate::error::Usage;
use crate::event::decode::{self, Decode};
use crate::event::{Event, Failure, Kind};
use crate::flow::heartbeat::Beat;
use crate::host::Host;
use crate::load::plan::Plan;
use crate::load::session::Session;
use crate::load::source::{Embedded, Source};
use crate::output::tables::{Column, Room, Table};
use crate::tracers::tracer::{Info, Tracer};

/// The options of `conn` alone.
#[derive(Debug, Default, clap::Args)]
pub struct Conn {
    /// Also show each change of a connection's state (TCP, SCTP) and of its status (a reply came, it is assured)
    #[arg(long)]
    updates: bool,
    /// Only connections with one of these ports, as they are before or after address translation
    #[arg(long, value_name = "PORT", value_delimiter = ',')]
    port: Vec<u16>,
    /// Only connections with an address in one of these networks, before or after translation: 10.0.0.0/8, 2001:db8::1
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    net: Vec<Network>,
    /// Only connections of these protocols: tcp, udp, icmp, icmpv6, sctp, gre …, or a number
    #[arg(long, value_name = "PROTOCOL", value_delimiter = ',')]
    proto: Vec<Protocol>,
    /// Only connections in this network namespace: a process id, a file (/run/netns/NAME), or its inode number
    /// (repeatable)
    #[arg(long, value_name = "NAMESPACE")]
    netns: Vec<OsString>,
    /// Only connections whose addresses are translated
    #[arg(long)]
    nat: bool,
    /// How long an incoming connection waits for the process that accepts it, before it is shown without one
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    wait: Duration,
    /// Do not list the connections that are there already, nor look for the processes of their sockets (how they change and
    /// end is shown)
    #[arg(long)]
    no_existing: bool,
    /// End with an error where the kernel's connection tracking is not loaded, instead of waiting for it
    #[arg(long)]
    require: bool,
    #[clap(skip)]
    waits: RefCell<Waits>,
}

/// Incoming connections whose process is not known yet, and since when they are known here.
#[derive(Debug, Default)]
struct Waits {
    since: HashMap<u64, Instant>,
    next: Option<Instant>,
    /// At the end of the run: those that are left.
    last: Option<Vec<u64>>,
}

impl Waits {
    /// Those that wait, by the addresses of their structs.
    fn of(object: &Object) -> Result<Vec<u64>> {
        let map =
            object.maps().find(|map| map.name() == "waiting").context("the object has no map of waiting flows")?;
        let keys = map.keys().filter_map(|key| Some(u64::from_ne_bytes(*key.first_chunk()?)));
        // What comes and goes meanwhile could make it endless.
        Ok(keys.take(map.max_entries() as usize).collect())
    }
}

/// How often they are looked at.
const LOOK: Duration = Duration::from_millis(100);
/// How many are shown before events are read again.
const AT_ONCE: usize = 256;

/// The part of the kernel that tracks connections.
const MODULE: &str = "nf_conntrack";

impl Conn {
    /// Numbers of the wanted protocols, a bit for each.
    fn protocols(&self) -> [u64; 4] {
        let mut bits = [0; 4];
        for protocol in &self.proto {
            if let Some(word) = bits.get_mut(usize::from(protocol.0 / 64)) {
                *word |= 1_u64 << (protocol.0 % 64);
            }
        }
        bits
    }

    /// Sets the filters that are lists.
    fn set_lists(&self, rodata: &mut rodata) -> Result<()> {
        let most = |option: &str, given: usize, most: usize| {
            ensure!(given <= most, "--{option}: at most {most}, and there are {given}");
            u32::try_from(given).context("counting them")
        };
        rodata.ports_len = most("port", self.port.len(), rodata.ports.len()).context(Usage)?;
        rodata.ports.iter_mut().zip(&self.port).for_each(|(to, port)| *to = *port);
        rodata.networks_len = most("net", self.net.len(), rodata.networks.len()).context(Usage)?;
        for (to, net) in rodata.networks.iter_mut().zip(&self.net) {
            *to = network { address: net.address, mask: net.mask, family: net.family };
        }
        rodata.namespaces_len = most("netns", self.netns.len(), rodata.namespaces.len()).context(Usage)?;
        for (to, name) in rodata.namespaces.iter_mut().zip(&self.netns) {
            *to = namespace(name).context(Usage)?;
        }
        Ok(())
    }

    /// Shows a connection that has waited long enough.
    fn show(object: &Object, ct: u64) -> Result<()> {
        let program = object.progs_mut().find(|program| program.name() == "conn_waited");
        let mut context = ct.to_ne_bytes();
        let input = ProgramInput { context_in: Some(&mut context), ..ProgramInput::default() };
        program.context("the object has no conn_waited")?.test_run(input).context("running conn_waited")?;
        Ok(())
    }
}

impl Decode for Conn {
    fn decode<'a>(&'a self, sample: &'a [u8]) -> Result<Event<'a>> {
        let (e, _) = decode::split::<conn_event>(sample)?;
        let kind = KINDS.iter().find(|kind| kind.id == e.head.kind);
        let kind = kind.with_context(|| format!("an event of the unknown kind {}", e.head.kind))?;
        let mut event = e.head.event(kind, sample)?;
        describe::fields(&mut event, &e)?;
        e.head.add_above(&mut event, sample)?;
        Ok(event)
    }
}

impl Source for Conn {
    fn embedded(&self) -> &'static Embedded {
        &INFO.embedded
    }

    fn plans(&self) -> Vec<Plan> {
        hooks::plans()
    }

    fn configure(&self, session: &Session, _: &Plan, object: &mut OpenObject) -> Result<()> {
        let entries = hooks::entries();
        for mut map in object.maps_mut() {
            if hooks::SIZED.iter().any(|name| map.name() == *name) {
                map.set_max_entries(entries).context("sizing the maps of connections")?;
            }
        }
        set_constants(session, object, |rodata| {
            rodata.only_owned = session.watches_some().into();
            rodata.only_nat = self.nat.into();
            rodata.own_pid = std::process::id();
            rodata.wait_ns = u64::try_from(self.wait.as_nanos()).unwrap_or(u64::MAX);
            rodata.filter_protos = (!self.proto.is_empty()).into();
            rodata.protos = self.protocols();
            self.set_lists(rodata)
        })
    }

    fn begin(&self, object: &Object, meanwhile: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        if self.no_existing {
            return Ok(());
        }
        existing::begin(object, meanwhile)
    }

    fn turn(&self, object: &Object, last: bool) -> Result<bool> {
        let mut waits = self.waits.borrow_mut();
        let now = Instant::now();
        if last && waits.last.is_none() {
            waits.last = Some(Waits::of(object)?);
        }
        if let Some(left) = &mut waits.last {
            let rest = left.len().saturating_sub(AT_ONCE);
            left.drain(rest..).try_for_each(|ct| Conn::show(object, ct))?;
            return Ok(rest > 0);
        }
        if waits.next.is_some_and(|next| now < next) {
            return Ok(false);
        }
        waits.next = Some(now + LOOK);
        let (before, mut shown) = (std::mem::take(&mut waits.since), 0);
        for ct in Waits::of(object)? {
            let since = before.get(&ct).copied().unwrap_or(now);
            if now - since >= self.wait && shown < AT_ONCE {
                shown += 1;
                Conn::show(object, ct)?;
            }
            // Those that still wait are known by then; of the others, this is forgotten.
            waits.since.insert(ct, since);
        }
        Ok(shown == AT_ONCE)
    }

    fn failures(&self, object: &Object) -> Result<Vec<Failure>> {
        let map = object.maps().find(|map| map.name() == "failures").context("the object has no map of failures")?;
        let mut failures = Vec::new();
        for (place, what) in (0_u32..).zip(FAILURES) {
            for errno in 0..hooks::ERRNOS {
                let row = (place * hooks::ERRNOS + errno).to_ne_bytes();
                let bytes = map.lookup(&row, MapFlags::ANY).context("reading what failed")?;
                let count =
                    bytes.as_deref().and_then(|bytes| bytes.first_chunk().copied()).map_or(0, u64::from_ne_bytes);
                if count > 0 {
                    let error = i32::try_from(errno).map_or(Errno::UnknownErrno, Errno::from_raw);
                    failures.push(Failure { what, error: format!("{error:?}"), count });
                }
            }
        }
        Ok(failures)
    }
}

/// What does not depend on its options.
static INFO: Info = Info {
    embedded: EMBEDDED,
    about: "Watch connections: who talks to whom, through which translation, by which process",
    layout: LAYOUT,
};

impl Tracer for Conn {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn kinds(&self) -> &[Kind] {
        &KINDS
    }

    fn default_kinds(&self) -> Vec<&str> {
        let wanted = |kind: &&Kind| match conn_kind(kind.id) {
            conn_kind::KIND_CONN_UPDATE => self.updates,
            conn_kind::KIND_CONN_OLD => !self.no_existing,
            _ => true,
        };
        KINDS.iter().filter(wanted).map(|kind| &*kind.name).collect()
    }

    fn table(&self, room: Room) -> Table {
        use Column::{Comm, Kind, Pid};
        const PROTO: Column = Column::field("proto", "PROTO", 6);
        const SRC: Column = Column::field("src", "SRC", 21);
        const DST: Column = Column::field("dst", "DST", 21);
        const NAT: Column = Column::field("nat", "NAT", 25);
        const STATE: Column = Column::field("state", "STATE", 11);
        const VIA: Column = Column::field("via", "VIA", 9);
        match room {
            Room::Narrow => Table::plain(const { &[Kind, PROTO, SRC, DST, Pid, Comm] }),
            Room::Roomy => Table::plain(const { &[Kind, PROTO, SRC, DST, NAT, STATE, VIA, Pid, Comm] }),
            Room::Wide => Table::detailed(const { &[Kind, PROTO, SRC, DST, NAT, STATE, VIA, Pid, Comm] }),
        }
    }

    fn awaits(&self, host: &Host) -> Result<Option<String>> {
        if host.has_module(MODULE) {
            return Ok(None);
        }
        let why = "connection tracking (nf_conntrack) is not loaded";
        ensure!(!self.require, "{why}, and --require was given; to load it: modprobe nf_conntrack");
        Ok(Some(format!("{why}: waiting until a rule that needs it, or `modprobe nf_conntrack`, loads it")))
    }

    /// Nothing: a connection of its own would be seen by others.
    fn beat(&self, _: &Session) -> Option<Beat> {
        None
    }
}
