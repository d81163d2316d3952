//! Where the frame of a function is at an address within it: what variables on the stack are counted from.

use gimli::{
    AttributeValue, BaseAddresses, CfaRule, DebugFrame, EhFrame, LittleEndian, Operation, Unit, UnwindContext,
    UnwindSection, constants as dw,
};

use super::super::elf::Elf;
use super::super::machine::Machine;
use super::entries::{Debug, Entry as Die, Slice};
use super::place::Frame;

/// What says how to get from a function to its caller.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    /// Of the program (`.eh_frame`), with its address; of the debug information (`.debug_frame`).
    pub program: Option<(u64, Vec<u8>)>,
    pub debug: Option<Vec<u8>>,
}

impl Frames {
    pub fn read(program: &Elf, debug: Option<&Elf>) -> Self {
        let content = |elf: &Elf, name| elf.named(name).ok().flatten();
        let address = program.section(".eh_frame").map(|section| section.address);
        Self {
            program: address.and_then(|address| Some((address, content(program, ".eh_frame")?))),
            debug: debug.and_then(|elf| content(elf, ".debug_frame")),
        }
    }

    /// Where the frame is that the caller left: at a register, plus this.
    fn at(&self, machine: Machine, address: u64) -> Option<(u32, i64)> {
        let of_program = || {
            let (at, bytes) = self.program.as_ref()?;
            let section = EhFrame::new(bytes, LittleEndian);
            rule(&section, &BaseAddresses::default().set_eh_frame(*at), machine, address)
        };
        let of_debug = || {
            let section = DebugFrame::new(self.debug.as_ref()?, LittleEndian);
            rule(&section, &BaseAddresses::default(), machine, address)
        };
        of_program().or_else(of_debug)
    }
}

fn rule<'a, S>(section: &S, bases: &BaseAddresses, machine: Machine, address: u64) -> Option<(u32, i64)>
where
    S: UnwindSection<Slice<'a>>,
{
    let mut context = UnwindContext::new();
    let row = section.unwind_info_for_address(bases, &mut context, address, S::cie_from_offset).ok()?;
    match row.cfa() {
        CfaRule::RegisterAndOffset { register, offset } => Some((machine.of_dwarf(register.0)?, *offset)),
        CfaRule::Expression(_) => None,
    }
}

impl<'a> Debug<'a> {
    /// Where the frame of a function is at an address within it.
    pub(super) fn frame(
        &self,
        unit: &Unit<Slice<'a>>,
        function: &Die<'a>,
        frames: &Frames,
        machine: Machine,
        address: u64,
    ) -> Option<Frame> {
        let AttributeValue::Exprloc(expression) = function.attr_value(dw::DW_AT_frame_base)? else { return None };
        let mut operations = expression.operations(unit.encoding());
        let base = match operations.next().ok()?? {
            Operation::CallFrameCFA => frames.at(machine, address)?,
            Operation::Register { register } => (machine.of_dwarf(register.0)?, 0),
            Operation::RegisterOffset { register, offset, .. } => (machine.of_dwarf(register.0)?, offset),
            _ => return None,
        };
        Some(Frame { base })
    }
}
