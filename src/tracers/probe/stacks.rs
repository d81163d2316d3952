//! The stacks of a hit (stack.bpf.h), out of its record.

use anyhow::{Context, Result};

use super::probe::types::{hit_stack, probe_event, stack_flag};
use super::recorded::Meaning;
use super::way;
use crate::event::decode;
pub(super) use crate::event::stack::USER_FRAME;
use crate::event::{Event, Path, Shape, Stack, Taken, UserStack, Value};

/// The most calls of a stack that may be asked for: the kernel walks one more (`kernel.perf_event_max_stack`).
pub(super) const FRAMES_MAX: u8 = 126;

/// What leads from a hook to the program that takes the stack: no more than so many calls, which are not shown.
const OF_TRACING: u32 = 8;

/// What a program has to take for what is shown. `caller`: the function has no frame yet.
pub(super) fn taken(meaning: &Meaning, caller: bool) -> way::Stack {
    // One more shows whether there are more.
    let frames = if meaning.stack > 0 { u32::from(meaning.stack) + 1 } else { 0 };
    let kernel = if meaning.kernel_stack { (frames + OF_TRACING).min(u32::from(FRAMES_MAX) + 1) } else { 0 };
    way::Stack { frames, kernel, caller }
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
    let value = |of_kernel, unread| if unread { UNREADABLE } else { Value::Stack(Stack::taken(of_kernel)) };
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
            exe: exe.map(|names| Path::walked(names, stack.exe_flags.into())),
            frames: decode::part(sample, stack.user)?,
        });
        event.push("user_stack", value(false, is(stack_flag::STACK_USER_UNREAD)));
    }
    event.taken = Some(taken);
    Ok(())
}
