//! Code that reads a slot: from the base over the pointers to the value, which goes into the record.
//!
//! r6 is the scratch space and r7 the context, throughout; r8 is the address so far, and then the value. The ways in
//! which memory can be read are in [`Reads`]: by a helper, or by a load that the verifier allows.

use anyhow::{Result, ensure};

use super::insn::{Asm, Label, Op, R0, R1, R2, R3, R4, R6, R7, R8, R10, When, With};
use super::layout::{Function, Layout};
use crate::event::BEHIND_NULL;
use crate::spec::ir::{Base, Read, Slot, Space};

/// `bpf_probe_read_user`, `bpf_probe_read_kernel`: they are in every kernel from 5.5.
const READ_USER: i32 = 112;
const READ_KERNEL: i32 = 113;
/// `bpf_copy_from_user`: for programs that may sleep.
const COPY_FROM_USER: i32 = 148;
/// Below it there is nothing: a NULL pointer, or a field of what one points to.
const FIRST_ADDRESS: i32 = 4096;
/// Where helpers put what they read.
const STACK: i32 = -8;

/// How memory is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reads {
    /// By a load: the verifier knows the pointer's type, and the kernel gives 0 where there is nothing.
    Direct,
    /// By the helper for this memory.
    Helper(Space),
}

impl Reads {
    /// How a step is read, after a step that was read like that.
    fn next(self, space: Space) -> Self {
        match (self, space) {
            (Reads::Direct, Space::Typed) => Reads::Direct,
            (_, space) => Reads::Helper(space),
        }
    }
}

/// Whether it may turn out that a slot's value cannot be read.
pub(super) fn can_fail(slot: &Slot) -> bool {
    !slot.derefs.is_empty() || !matches!(slot.read, Read::Plain { .. })
}

/// The space as C functions have it.
fn number(space: Space) -> u64 {
    match space {
        Space::Kernel | Space::Typed => 0,
        Space::User => 1,
        Space::ByAddress => 2,
    }
}

/// What is known while a slot is read.
struct Reader<'a> {
    asm: &'a mut Asm,
    /// Where the slot's value goes.
    value: i32,
    /// Goes there what cannot be read …
    unread: Label,
    /// … and what is behind a NULL pointer.
    null: Label,
    reads: Reads,
    /// Whether r8 may be no address at all.
    checked: bool,
    /// What is not in memory may be brought in.
    sleepable: bool,
}

/// Reads a slot into the record, or notes that it could not be read.
pub(super) fn slot(asm: &mut Asm, layout: &Layout, number: usize, slot: &Slot) -> Result<()> {
    let [unread, null, mark, done] = [asm.label(), asm.label(), asm.label(), asm.label()];
    let value = layout.value(number)?;
    let (reads, sleepable) = (Reads::Helper(Space::Kernel), layout.sleepable);
    let mut reader = Reader { asm, value, unread, null, reads, checked: false, sleepable };
    reader.base(layout, slot)?;
    for deref in &slot.derefs {
        reader.load(8, deref.offset, deref.space);
        reader.checked = false;
    }
    reader.read(&slot.read)?;
    asm.store(8, R6, value, R8);
    let (unread_is_used, null_is_used) = (asm.is_used(unread), asm.is_used(null));
    if unread_is_used || null_is_used {
        asm.goto(done);
        asm.bind(null);
        if null_is_used {
            asm.set(R8, BEHIND_NULL);
            if unread_is_used {
                asm.goto(mark);
            }
        }
        asm.bind(unread);
        if unread_is_used {
            asm.set(R8, 0);
        }
        asm.bind(mark);
        asm.store(8, R6, value, R8);
        let mask = i32::try_from(layout.unread)?;
        asm.load(4, R1, R6, mask);
        asm.op(Op::Or, R1, With::Imm(bit(number.saturating_add(layout.first))?));
        asm.store(4, R6, mask, R1);
    }
    asm.bind(done);
    Ok(())
}

/// The bit of a slot in the mask of those that could not be read. (The sign of the last one is extended: nothing of that
/// is in the lower 32 bits, which are all that is stored, and all that is loaded.)
pub(super) fn bit(slot: usize) -> Result<i32> {
    ensure!(slot < 32, "there is no bit for slot {slot}");
    Ok((1_u32 << slot).cast_signed())
}

impl Reader<'_> {
    /// r8 = where the way starts.
    fn base(&mut self, layout: &Layout, slot: &Slot) -> Result<()> {
        let first = match (slot.derefs.first(), &slot.read) {
            (Some(deref), _) => Some(deref.space),
            (None, Read::Number { space, .. }) => Some(*space),
            _ => None,
        };
        let at = match slot.base {
            Base::Word { index, typed: true } if first == Some(Space::Typed) => {
                self.reads = Reads::Direct;
                self.asm.load(8, R8, R7, i32::try_from(index)?.saturating_mul(8));
                return Ok(());
            }
            Base::Context => {
                self.asm.mov(R8, R7);
                self.forget();
                self.checked = true;
                return Ok(());
            }
            Base::Constant(value) => {
                self.asm.set(R8, value);
                return Ok(());
            }
            Base::Sum { word, index, shift } => {
                self.asm.load(8, R8, R6, layout.word(index)?);
                if shift > 0 {
                    self.asm.op(Op::ShiftLeft, R8, With::Imm(shift.into()));
                }
                if let Some(word) = word {
                    self.asm.load(8, R1, R6, layout.word(word)?);
                    self.asm.op(Op::Add, R8, With::Reg(R1));
                }
                return Ok(());
            }
            Base::Word { index, .. } => layout.word(index)?,
            Base::Task => i32::try_from(layout.task)?,
            Base::Return => i32::try_from(layout.ret)?,
            Base::Duration => i32::try_from(layout.duration)?,
        };
        self.asm.load(8, R8, R6, at);
        Ok(())
    }

    /// What the verifier knows as a pointer is a mere number from here on. It allows no arithmetic with pointers, but
    /// knows nothing of what it loads from a map.
    fn forget(&mut self) {
        self.asm.store(8, R6, self.value, R8);
        self.asm.load(8, R8, R6, self.value);
    }

    /// To the helpers, for good: nothing that they read is typed.
    fn by_helper(&mut self, space: Space) {
        if self.reads == Reads::Direct {
            self.forget();
        }
        self.reads = Reads::Helper(space);
    }

    /// Nothing is read by way of what is no address.
    fn check(&mut self) {
        if !self.checked {
            match self.reads {
                Reads::Direct => self.asm.jump(When::Equal, R8, With::Imm(0), self.null),
                Reads::Helper(_) => self.asm.jump(When::Below, R8, With::Imm(FIRST_ADDRESS), self.null),
            }
            self.checked = true;
        }
    }

    /// r8 = `size` bytes at r8 + offset.
    fn load(&mut self, size: u8, offset: i32, space: Space) {
        match self.reads.next(space) {
            Reads::Direct => self.load_direct(size, offset),
            Reads::Helper(space) => {
                self.by_helper(space);
                self.load_by_helper(size, offset, space);
            }
        }
    }

    fn load_direct(&mut self, size: u8, offset: i32) {
        self.check();
        if i16::try_from(offset).is_ok() {
            self.asm.load(size, R8, R8, offset);
        } else {
            self.asm.add(R8, offset);
            self.asm.load(size, R8, R8, 0);
        }
    }

    fn load_by_helper(&mut self, size: u8, offset: i32, space: Space) {
        self.check();
        self.arguments(size, offset);
        match space {
            Space::Kernel | Space::Typed => self.asm.helper(READ_KERNEL),
            Space::User => self.read_user(size, offset),
            Space::ByAddress => {
                let [kernel, done] = [self.asm.label(), self.asm.label()];
                self.asm.jump(When::Less, R3, With::Imm(0), kernel);
                self.read_user(size, offset);
                self.asm.goto(done);
                self.asm.bind(kernel);
                self.asm.helper(READ_KERNEL);
                self.asm.bind(done);
            }
        }
        self.asm.jump(When::NotEqual, R0, With::Imm(0), self.unread);
        self.asm.load(size, R8, R10, STACK);
    }

    /// Those of the helpers: what they read at r8 + offset goes to the stack.
    fn arguments(&mut self, size: u8, offset: i32) {
        self.asm.mov(R3, R8);
        self.asm.add(R3, offset);
        self.asm.mov(R1, R10);
        self.asm.add(R1, STACK);
        self.asm.set(R2, size.into());
    }

    /// Reads what is in memory, or brings it in.
    fn read_user(&mut self, size: u8, offset: i32) {
        self.asm.helper(READ_USER);
        if self.sleepable {
            let done = self.asm.label();
            self.asm.jump(When::Equal, R0, With::Imm(0), done);
            self.arguments(size, offset);
            self.asm.helper(COPY_FROM_USER);
            self.asm.bind(done);
        }
    }

    /// r8 = the value at the end of the way.
    fn read(&mut self, read: &Read) -> Result<()> {
        match *read {
            Read::Plain { offset, shift, narrow } => {
                self.by_helper(Space::Kernel);
                self.asm.add(R8, offset);
                if shift > 0 {
                    self.asm.op(Op::ShiftRight, R8, With::Imm(shift.into()));
                }
                if let Some((bytes, signed)) = narrow {
                    self.cut(64 - bytes.clamp(1, 8) * 8, 64 - bytes.clamp(1, 8) * 8, signed);
                }
            }
            Read::Number { offset, space, size, left, right, signed } => {
                self.load(size, offset, space);
                // What is loaded has zeros above.
                let above = 64 - size.clamp(1, 8) * 8;
                match (left, right) {
                    (0, 0) if signed => self.cut(above, above, true),
                    (left, right) if left == above && right == above && !signed => {}
                    _ => self.cut(left, right, signed),
                }
            }
            Read::Str { offset, space, max, array } => {
                let arg = u64::from(max) | number(space) << 32 | u64::from(array) << 63;
                self.by_function(Function::Str, offset, arg)
            }
            Read::Bytes { offset, space, len } => {
                self.by_function(Function::Bytes, offset, u64::from(len) | number(space) << 32)
            }
            Read::Located { offset, max } => self.by_function(Function::Located, offset, max.into()),
            Read::Path { offset } => self.by_function(Function::Path, offset, 0),
            Read::Dentry { offset } => self.by_function(Function::Dentry, offset, 0),
        }
        Ok(())
    }

    /// Shifts r8 left, then right.
    fn cut(&mut self, left: u8, right: u8, signed: bool) {
        if left != 0 {
            self.asm.op(Op::ShiftLeft, R8, With::Imm(left.into()));
        }
        if right != 0 {
            let op = if signed { Op::ShiftSigned } else { Op::ShiftRight };
            self.asm.op(op, R8, With::Imm(right.into()));
        }
    }

    /// r8 = what a function of the object makes of the address r8 + offset.
    fn by_function(&mut self, function: Function, offset: i32, arg: u64) {
        self.by_helper(Space::Kernel);
        // A string that is itself NULL is a value, which the function gives.
        if function != Function::Str || offset != 0 {
            self.check();
        }
        self.asm.mov(R2, R8);
        self.asm.add(R2, offset);
        call(self.asm, function, arg);
        self.asm.jump(When::Less, R0, With::Imm(0), self.unread);
        self.asm.mov(R8, R0);
    }
}

/// Calls a function of the object, with r2 as it is.
pub(super) fn call(asm: &mut Asm, function: Function, arg: u64) {
    asm.mov(R1, R6);
    asm.set(R3, arg);
    asm.mov(R4, R7);
    asm.call(function);
}
