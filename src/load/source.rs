//! A BPF object embedded in this program, and what is known about it.

use std::borrow::Cow;

use anyhow::Result;
use libbpf_rs::{Object, OpenObject};

use crate::event::Failure;
use crate::event::total::Totals;
use crate::ffi::packed::Packed;
use crate::load::plan::Plan;
use crate::load::proof;
use crate::load::session::Session;

/// What does not depend on the options.
#[derive(Debug)]
pub struct Embedded {
    /// Its name: for a tracer, that of its subcommand.
    pub name: &'static str,
    /// The object, an ELF file.
    pub object: &'static Packed,
    /// Decodes what its proof has read, from the bytes in its map.
    pub proof: fn(&[u8]) -> Option<proof::Read>,
}

/// What can be loaded.
pub trait Source {
    /// What does not depend on the options.
    fn embedded(&self) -> &'static Embedded;
    /// The ways to attach its programs, the cheapest first.
    fn plans(&self) -> Vec<Plan>;
    /// Sets the constants of its programs, before they are loaded.
    ///
    /// # Errors
    /// When the object has no constants, or an option is wrong.
    fn configure(&self, session: &Session, plan: &Plan, object: &mut OpenObject) -> Result<()>;

    /// What of a plan is not as one might expect it: for the user, once it is the one that works.
    fn notes(&self, _: &Plan) -> &[String] {
        &[]
    }

    /// What the programs of its loaded object have added up so far, where they do.
    ///
    /// # Errors
    /// When it cannot be read.
    fn totals(&self, _: &Plan, _: &Object) -> Result<Option<Totals>> {
        Ok(None)
    }

    /// Looks at what is there already, once its programs are attached. They may send many events: `meanwhile` takes them.
    ///
    /// # Errors
    /// Those of `meanwhile`, or when what is there cannot be looked at.
    fn begin(&self, _: &Object, _meanwhile: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        Ok(())
    }

    /// Does what its programs cannot do by themselves, as time goes by: called many times a second, and when they are
    /// detached (`last`) until it returns false: there is no more to do. Between calls, events are read.
    ///
    /// # Errors
    /// When it cannot be done.
    fn turn(&self, _: &Object, _last: bool) -> Result<bool> {
        Ok(false)
    }

    /// Whether /proc is asked about other users' processes for its events.
    fn asks_proc(&self) -> bool {
        false
    }

    /// What its programs could not read or keep so far: what, why, and how often.
    ///
    /// # Errors
    /// When it cannot be read.
    fn failures(&self, _: &Object) -> Result<Vec<Failure>> {
        Ok(Vec::new())
    }

    /// What it watches, where that is not said by its name: the function of a spec.
    fn watched(&self) -> &str {
        ""
    }

    fn name(&self) -> &'static str {
        self.embedded().name
    }

    fn object(&self) -> &'static [u8] {
        self.embedded().object.bytes()
    }

    /// The object as it is loaded for a plan: with the instructions that were made for it, if any are.
    fn made_for(&self, _: &Plan) -> Cow<'_, [u8]> {
        Cow::Borrowed(self.object())
    }
}
