//! A BPF object that is in this program, and what is known of it.

use anyhow::Result;
use libbpf_rs::OpenObject;

use crate::load::plan::Plan;
use crate::load::proof;
use crate::load::session::Session;

/// What is so of an object whatever the options are.
#[derive(Debug)]
pub struct Embedded {
    /// Its name: a tracer's is its subcommand's.
    pub name: &'static str,
    /// The object, an ELF file.
    pub object: &'static [u8],
    /// What its proof has read, out of the bytes in its map.
    pub proof: fn(&[u8]) -> Option<proof::Read>,
}

/// What can be loaded.
pub trait Source {
    /// What is so of it whatever the options are.
    fn embedded(&self) -> &'static Embedded;
    /// The ways to attach its programs, the cheapest first.
    fn plans(&self) -> Vec<Plan>;
    /// Sets the constants of its programs, before they are loaded.
    ///
    /// # Errors
    /// When the object has none, or an option is wrong.
    fn configure(&self, session: &Session, object: &mut OpenObject) -> Result<()>;

    /// Its name.
    fn name(&self) -> &'static str {
        self.embedded().name
    }

    /// The object, an ELF file.
    fn object(&self) -> &'static [u8] {
        self.embedded().object
    }
}
