//! The few types that the tracers need of a kernel.

use anyhow::{Context, Result, bail};

use crate::commands::verdict;
use crate::host::arch::Arch;
use crate::tracers;
use crate::types::relo::{self, Object, Target};

/// The types that the tracers need of a kernel, as raw BTF.
///
/// # Errors
/// When the kernel is of another architecture, and those of [`relo::minimize`].
pub(crate) fn minimize(target: &Target) -> Result<Vec<u8>> {
    let objects = tracers::sources().iter().map(|source| Object::read(source.object())).collect::<Result<Vec<_>>>()?;
    if verdict::arch(target).is_some_and(|arch| arch != Arch::HERE) {
        bail!("{}: its kernel is of another architecture, where this coretrace does not run", target.name());
    }
    relo::minimize(&objects, target).with_context(|| format!("minimizing {}", target.name()))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::types::model::Types;

    #[test]
    fn the_tracers_own_types_are_small() {
        for tracer in &crate::tracers::all() {
            let whole = Object::read(tracer.object()).unwrap();
            let whole = Target { path: PathBuf::new(), types: whole.types, about: Default::default() };
            let bytes = minimize(&whole).unwrap();
            assert!((500..10_000).contains(&bytes.len()), "{}: {} bytes", tracer.name(), bytes.len());
            assert_eq!(
                minimize(&Target {
                    path: PathBuf::new(),
                    types: Types::read(&bytes).unwrap(),
                    about: Default::default()
                })
                .unwrap(),
                bytes
            );
        }
    }
}
