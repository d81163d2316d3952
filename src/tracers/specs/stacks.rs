//! The stacks of a hit (stack.bpf.h), out of its record.

use anyhow::{Context, Result};

use super::meaning::Meaning;
use super::probe::types::{hit_stack, probe_event, stack_flag};
use crate::event::decode;
use crate::event::stack::USER_FRAME;
use crate::event::{self, Event, Path, Shape, Taken, UserStack, Value};

/// The most calls of a stack that may be asked for: the kernel walks one more (`kernel.perf_event_max_stack`).
pub(super) const FRAMES_MAX: u8 = 126;

/// What leads from a hook to the program that takes the stack: no more than so many calls, which are not shown.
const OF_TRACING: u32 = 8;

/// Which stacks are taken.
#[derive(Debug, Default)]
pub(super) struct Stack {
    /// The most calls of a program, and of the kernel; 0: they are not taken.
    pub frames: u32,
    pub kernel: u32,
    /// Where the function returns to, as it has no frame yet.
    pub caller: bool,
}

impl Stack {
    /// The most bytes that a record has of them when a call is under way.
    pub fn bytes(&self) -> Result<u32> {
        const ADDRESS: u32 = 8;
        const ALIGNMENT: u32 = 8;
        if self.frames == 0 {
            return Ok(0);
        }
        let fixed = u32::try_from(size_of::<hit_stack>())? + ALIGNMENT;
        Ok(fixed + self.kernel * ADDRESS + self.frames * u32::try_from(USER_FRAME)?)
    }
}

/// What a program has to take for what is shown. `caller`: the function has no frame yet.
pub(super) fn taken(meaning: &Meaning, caller: bool) -> Stack {
    // One more shows whether there are more.
    let frames = if meaning.stack > 0 { u32::from(meaning.stack) + 1 } else { 0 };
    let kernel = if meaning.kernel_stack { (frames + OF_TRACING).min(u32::from(FRAMES_MAX) + 1) } else { 0 };
    Stack { frames, kernel, caller }
}

/// Adds the stacks of a hit to its event.
///
/// # Errors
/// When the record is damaged.
pub(super) fn push<'a>(
    event: &mut Event<'a>,
    meaning: &Meaning,
    e: &probe_event,
    func: &'a str,
    sample: &'a [u8],
) -> Result<()> {
    const UNREADABLE: Value<'static> = Value::Unreadable(Shape::Stack);
    let at = usize::try_from(e.stack)?;
    if at == 0 {
        // There was no room behind the values.
        if meaning.kernel_stack {
            event.push("kernel_stack", UNREADABLE);
        }
        event.push("user_stack", UNREADABLE);
        return Ok(());
    }
    let part = sample.get(at..).context("a stack behind the end of a sample")?;
    let (stack, _) = decode::split::<hit_stack>(part)?;
    let is = |flag: stack_flag| u32::from(stack.flags) & flag.0 != 0;
    let value = |of_kernel, unread| if unread { UNREADABLE } else { Value::Stack(event::Stack::taken(of_kernel)) };
    let own = meaning.itself.then_some(func);
    let mut taken = Taken { most: meaning.stack.into(), own, ..Taken::default() };
    if meaning.kernel_stack {
        taken.kernel = Some(decode::part(sample, stack.kernel)?);
        event.push("kernel_stack", value(true, is(stack_flag::STACK_KERNEL_UNREAD)));
    }
    if !is(stack_flag::STACK_NO_USER) {
        let exe = (stack.exe.len > 0).then(|| decode::part(sample, stack.exe)).transpose()?;
        taken.user = Some(UserStack {
            image: stack.image,
            caller: stack.caller,
            code: (stack.code_start, stack.code_end),
            inode: stack.inode,
            caller_in: (stack.caller_inode != 0).then_some((stack.caller_inode, stack.caller_offset)),
            exe: exe.map(|names| Path::walked(names, stack.exe_flags.into())),
            frames: decode::part(sample, stack.user)?,
        });
        event.push("user_stack", value(false, is(stack_flag::STACK_USER_UNREAD)));
    }
    event.taken = Some(taken);
    Ok(())
}
