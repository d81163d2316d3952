//! The object that keeps the map of followed processes for all tracers of a run: src/bpf/kin.bpf.c.

use anyhow::Result;
use libbpf_rs::OpenObject;

use crate::event::Kind;
use crate::ffi::skeleton::{constants, skeleton};
use crate::load::plan::{Hook, Needed, Plan, Program};
use crate::load::session::Session;
use crate::load::source::{Embedded, Source};

skeleton!(kin:);

/// How much later than it was followed a process may seem to have begun, in nanoseconds: see filter.bpf.h.
pub(crate) const START_SLACK_NS: u64 = kin::types::kin_limit::KIN_START_SLACK_NS.0 as u64;

/// The ledger's row that counts processes that joined the map and left it.
pub(crate) const FOLLOWED_ROW: u32 = kin::types::kin_row::ROW_FOLLOWED.0;

/// Children that should be followed and are not. No event has this kind: it names a loss.
pub static FOLLOW: Kind = Kind::new(
    kin::types::kin_row::ROW_FOLLOW.0,
    "follow",
    "a child that was to be followed and is not: all that it does is missed",
    &[],
);

/// The object.
#[derive(Debug, Clone, Copy)]
pub struct Kin;

/// Whether a program is attached after all others of the run: the one that sees the end of a process.
pub(crate) fn is_last(program: &Program) -> bool {
    matches!(program.needed, Needed::FilterPids)
}

static EMBEDDED: Embedded = Embedded { name: "kin", object: &OBJECT, proof };

impl Source for Kin {
    fn embedded(&self) -> &'static Embedded {
        &EMBEDDED
    }

    fn plans(&self) -> Vec<Plan> {
        let plan = |hook, fork, exit| {
            let programs = vec![Program::new(fork, Needed::Follow), Program::new(exit, Needed::FilterPids)];
            Plan { hook, programs, not_seen: "".into() }
        };
        vec![
            plan(Hook::Btf, "kin_fork_btf", "kin_exit_btf"),
            plan(Hook::Raw, "kin_fork_raw", "kin_exit_raw"),
            plan(Hook::Tracepoint, "kin_fork_tp", "kin_exit_tp"),
        ]
    }

    fn configure(&self, session: &Session, _: &Plan, object: &mut OpenObject) -> Result<()> {
        constants!(kin, session, object, |_constants| {})
    }
}
