//! Whether types are those of the running kernel, as far as that shows: a kernel image says its release, its
//! build id and its architecture, raw BTF at most the architecture.

use std::fs;

use crate::escape::printable;
use crate::host::Host;
use crate::host::arch::Arch;
use crate::types::image::{Fault, Image, build_id, find};
use crate::types::side::ARCHES;

/// Refuses what is another kernel's.
pub(super) fn suits(image: &Image, host: &Host) -> Result<(), Fault> {
    match image.about.machine {
        Some(machine) if ARCHES.contains(&machine) => {}
        Some(other) => return Err(Fault::ForeignMachine(other)),
        None => suits_machine(&image.btf)?,
    }
    let here = fs::read(host.root.join("sys/kernel/notes")).ok().and_then(|notes| build_id(&notes));
    let ids = image.about.build_id.as_ref().zip(here.as_ref());
    // Setting a name of its own (setarch, a container) does not make a kernel another one.
    if ids.is_some_and(|(a, b)| a == b) {
        return Ok(());
    }
    let other = |of: &str| Fault::OtherKernel { of: of.to_owned(), here: printable(&host.release) };
    match &image.about.release {
        Some(of) if *of != host.release => Err(other(of)),
        of if ids.is_some() => Err(other(of.as_deref().unwrap_or("another build id"))),
        _ => Ok(()),
    }
}

/// By members of `struct pt_regs`: in raw BTF there is nothing else. What has none of them may be of any kernel.
fn suits_machine(btf: &[u8]) -> Result<(), Fault> {
    let has = |arch: Arch| find(btf, format!("\0{}\0", arch.mark()).as_bytes()).is_some();
    let other = match Arch::HERE {
        Arch::X86 => Arch::Arm,
        Arch::Arm => Arch::X86,
    };
    if has(other) && !has(Arch::HERE) { Err(Fault::ForeignMachine(other.name())) } else { Ok(()) }
}
