//! Bytes to types: what libbpf does not look at, or answers without a reason, is looked at before and after it reads them.

use nix::errno::Errno;

use super::raw::{TYPE, extra, kind_of, name_at};
use super::sound::DAMAGED;
use super::types::Types;
use crate::ffi::relo::Btf;
use crate::types::bytes::Bytes;
use crate::types::image::Fault;

/// How many types a file may have: `BTF_MAX_TYPE` (include/uapi/linux/btf.h), as the kernel itself has it.
const TYPES_MAX: usize = 0xf_ffff;

impl Types {
    /// A kernel's.
    ///
    /// # Errors
    /// When they make no sense, or are more than any kernel's.
    pub fn read(bytes: &[u8]) -> Result<Self, Fault> {
        Self::looked_through(bytes, None)
    }

    /// The running kernel's own, which it has looked through itself (kernel/bpf/btf.c: btf_parse_vmlinux).
    ///
    /// # Errors
    /// When libbpf cannot read them.
    pub fn trusted(bytes: &[u8]) -> Result<Self, Fault> {
        // Why not, is said by what was not looked at.
        Self::parsed(bytes, None).or_else(|fault| first_look(bytes, 0).and(Err(fault)))
    }

    /// Those of a module, which go on where its kernel's end.
    ///
    /// # Errors
    /// As above.
    pub fn of_module(bytes: &[u8], base: Types) -> Result<Self, Fault> {
        Self::looked_through(bytes, Some(Box::new(base)))
    }

    fn looked_through(bytes: &[u8], base: Option<Box<Types>>) -> Result<Self, Fault> {
        first_look(bytes, base.as_ref().map_or(0, |base| base.strings().len()))?;
        let mut types = Self::parsed(bytes, base)?;
        types.widest = types.sound()?;
        Ok(types)
    }

    fn parsed(bytes: &[u8], base: Option<Box<Types>>) -> Result<Self, Fault> {
        let btf = match &base {
            Some(base) => Btf::split(bytes, &base.btf),
            None => Btf::new(bytes),
        };
        let btf = btf.map_err(|errno| match Errno::from_raw(errno) {
            Errno::EINVAL | Errno::ENODATA | Errno::EPROTO => DAMAGED,
            other => Fault::Unreadable(other.into()),
        })?;
        Self::index(btf, base).ok_or(DAMAGED)
    }
}

/// What is looked at before libbpf gets them: of a kind that it does not know it only says that it is invalid, and it compares
/// names of any length. Strings begin at `before`, where the base has others.
fn first_look(bytes: &[u8], before: usize) -> Result<(), Fault> {
    let header = Bytes(bytes);
    let field = |n: usize| header.u32(4 + 4 * n).map(u64::from);
    let part = |from: usize, to: usize| header.part(field(0)?.checked_add(field(from)?)?, field(to)?);
    let (types, strings) = part(1, 2).zip(part(3, 4)).ok_or(DAMAGED)?;
    let (mut at, mut count) = (0_usize, 0_usize);
    while at < types.0.len() {
        let (name, info) = types.u32(at).zip(types.u32(at.saturating_add(4))).ok_or(DAMAGED)?;
        let more = match extra(info) {
            Some(more) => more,
            None if kind_of(info) == 0 => return Err(DAMAGED),
            None => return Err(Fault::NewerKind(kind_of(info))),
        };
        if let Some(own) = (name as usize).checked_sub(before) {
            name_at(strings.0, own).ok_or(Fault::BadHeader("it has longer names than any kernel's types"))?;
        }
        count += 1;
        if count > TYPES_MAX {
            return Err(Fault::BadHeader("it has more types than any kernel"));
        }
        at = at.saturating_add(TYPE).saturating_add(more);
    }
    Ok(())
}
