//! A BPF object that is in this program, and what is known of it.

use anyhow::Result;
use libbpf_rs::OpenObject;

use crate::load::plan::Plan;
use crate::load::proof;
use crate::load::session::Session;

/// What can be loaded.
pub trait Source {
    /// Its name: a tracer's is its subcommand's.
    fn name(&self) -> &'static str;
    /// The BPF object, an ELF file.
    fn object(&self) -> &'static [u8];
    /// The ways to attach its programs, the cheapest first.
    fn plans(&self) -> Vec<Plan>;
    /// Sets the constants of its programs, before they are loaded.
    ///
    /// # Errors
    /// When the object has none, or an option is wrong.
    fn configure(&self, session: &Session, object: &mut OpenObject) -> Result<()>;
    /// What its proof has read, out of the bytes in its map.
    fn proof(&self, bytes: &[u8]) -> Option<proof::Read>;
}
