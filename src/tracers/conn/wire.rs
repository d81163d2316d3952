//! The BPF object of `conn`, and the types that it shares with it.

use anyhow::Result;
use libbpf_rs::OpenObject;

use crate::ffi::skeleton::{constants, skeleton};
use crate::load::session::Session;
use crate::load::source::Embedded;

skeleton!(conn: conn_event);

pub(super) use self::conn::types;

pub(super) const EMBEDDED: Embedded = Embedded { name: "conn", object: &OBJECT, proof };

/// Sets the constants of its programs: those that all tracers have, then more.
///
/// # Errors
/// Those of `more`, or when the object has no constants.
pub(super) fn set_constants(
    session: &Session,
    object: &mut OpenObject,
    more: impl FnOnce(&mut types::rodata) -> Result<()>,
) -> Result<()> {
    constants!(conn, session, object, |rodata| {
        more(rodata)?;
    })
}
