//! What the tracers of specs (`probe`, `uprobe`, `usdt`) are made of: what each subcommand is (subcommand.rs), and what a
//! spec becomes. That is a tracer of its own (tracer.rs), with a BPF object for each way to hook in (way.rs).

mod hooked;
mod in_binary;
mod in_kernel;
pub(super) mod kinds;
mod list;
mod meaning;
mod missing;
mod recorded;
mod stacks;
pub(super) mod subcommand;
mod totals;
mod tracer;
mod user;
mod way;

use crate::ffi::skeleton::skeleton;
use crate::load::source::Embedded;
use crate::output::tables::{Column, Room, Table};

skeleton!(probe: probe_event, hit_stack, total_key, total);

/// The object of all tracers that are made of specs.
pub(super) const EMBEDDED: Embedded = Embedded { name: "probe", object: &OBJECT, proof };

/// How their events look in text.
pub(super) fn table(room: Room) -> Table {
    use Column::{Call, Comm, Gid, Pid, Ppid, Tid, Uid, User};
    match room {
        Room::Narrow | Room::Roomy => Table::plain(const { &[Pid, Tid, Comm, Call] }),
        Room::Wide => Table::detailed(const { &[Pid, Tid, Ppid, Uid, User, Gid, Comm, Call] }),
    }
}
