//! The calls that led to an event.

use std::fmt::Write as _;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::path::Path;

/// The calls that led to an event, as they are shown: innermost first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stack<'a> {
    /// Of the kernel; else of the program.
    pub of_kernel: bool,
    /// What is known of each, once that was looked up …
    pub known: &'a [Arc<[Call]>],
    /// … and whether there are more.
    pub cut: bool,
}

/// The stacks of an event, as the kernel took them. (Not in the values: those are to be small.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Taken<'a> {
    /// Of the kernel: addresses of 64 bits each.
    pub kernel: Option<&'a [u8]>,
    /// Of the program.
    pub user: Option<UserStack<'a>>,
    /// The most that are shown of each; more were taken, to see whether there are more.
    pub most: usize,
    /// The function that was hooked, if it may be missing in front: where the kernel jumps to the program instead of calling
    /// it (7.x: FTRACE_OPS_FL_JMP), nothing on the stack says that it was about to run.
    pub own: Option<&'a str>,
}

/// The calls of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserStack<'a> {
    /// Which of the programs that its process ran: a number that no other of them has.
    pub image: u64,
    /// Where the innermost function returns to, which may not be among the others; 0: not known.
    pub caller: u64,
    /// The inode of the file that this is in, and where in it; None: not known.
    pub caller_in: Option<(u64, u64)>,
    /// Where the code of the process's own file is in its memory.
    pub code: (u64, u64),
    /// That file: its inode, and its path, where that is known.
    pub inode: u64,
    pub exe: Option<Path<'a>>,
    /// `struct bpf_stack_build_id` each.
    pub frames: &'a [u8],
}

/// Where a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// In memory.
    Address(u64),
    /// In the file that has this build id, so far behind its beginning.
    File { id: [u8; BUILD_ID], offset: u64 },
}

/// Bytes of a build id (`BPF_BUILD_ID_SIZE` of include/uapi/linux/bpf.h).
pub const BUILD_ID: usize = 20;
/// Bytes of a `struct bpf_stack_build_id`.
pub const USER_FRAME: usize = 32;

impl<'a> Stack<'a> {
    /// One that was not looked up yet.
    #[must_use]
    pub fn taken(of_kernel: bool) -> Self {
        Stack { of_kernel, known: &[], cut: false }
    }

    /// What is known of the calls, those that the compiler has inlined, too.
    pub fn calls(&self) -> impl Iterator<Item = &'a Call> + use<'a> {
        self.known.iter().flat_map(|calls| calls.iter())
    }
}

/// The addresses of a stack of the kernel, innermost first.
pub fn addresses(kernel: &[u8]) -> impl Iterator<Item = u64> + '_ {
    kernel.as_chunks().0.iter().map(|frame| u64::from_ne_bytes(*frame))
}

impl<'a> UserStack<'a> {
    /// Where each call is that was taken, innermost first.
    pub fn places(&self) -> impl Iterator<Item = Place> + use<'a> {
        self.frames.as_chunks::<USER_FRAME>().0.iter().map(user_place).take_while(Place::may_be_of_program)
    }
}

impl Place {
    /// Whether it may be in a program: where code is without frame pointers, the kernel's walk ends astray.
    fn may_be_of_program(&self) -> bool {
        const FIRST: u64 = 4096;
        const END: u64 = 1 << 56;
        match self {
            Place::Address(at) => (FIRST..END).contains(at),
            // Before its file (kernel/bpf/stackmap.c takes the next mapping, whether it has the address or not).
            Place::File { offset, .. } => *offset < END,
        }
    }
}

/// `s32 status, u8 build_id[20], u64 offset or ip` (include/uapi/linux/bpf.h).
fn user_place(frame: &[u8; USER_FRAME]) -> Place {
    /// `BPF_STACK_BUILD_ID_VALID`
    const VALID: i32 = 1;
    let (status, rest) = frame.split_first_chunk::<4>().unwrap_or((&[0; 4], &[]));
    let (id, at) = rest.split_first_chunk::<BUILD_ID>().unwrap_or((&[0; BUILD_ID], &[]));
    let at = at.first_chunk().map_or(0, |at| u64::from_ne_bytes(*at));
    match i32::from_ne_bytes(*status) {
        VALID => Place::File { id: *id, offset: at },
        _ => Place::Address(at),
    }
}

/// What is known of a call.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Call {
    /// Where it is in memory, if nothing better is known.
    pub address: Option<u64>,
    /// The function, and how far behind its beginning.
    pub function: Option<Box<str>>,
    pub offset: u64,
    /// The kernel's module, or the path of the file that it is in.
    pub file: Option<Box<str>>,
    /// The place in that file, where no function is known.
    pub file_offset: Option<u64>,
    /// The build id of that file, where no path is known; in hex.
    pub build_id: Option<Box<str>>,
    /// The line of the source, as `file.c:42`.
    pub source: Option<Box<str>>,
    /// The compiler has put it into the next one.
    pub inlined: bool,
}

impl Call {
    /// One in a file of which the build id alone is known.
    #[must_use]
    pub fn in_unknown_file(id: &[u8; BUILD_ID], offset: u64) -> Self {
        let mut hex = String::with_capacity(2 * BUILD_ID);
        id.iter().for_each(|byte| _ = write!(hex, "{byte:02x}"));
        Call { build_id: Some(hex.into()), file_offset: Some(offset), ..Call::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(status: i32, at: u64) -> [u8; USER_FRAME] {
        let mut frame = [7; USER_FRAME];
        frame[..4].copy_from_slice(&status.to_ne_bytes());
        frame[24..].copy_from_slice(&at.to_ne_bytes());
        frame
    }

    fn places(frames: &[u8]) -> Vec<Place> {
        UserStack { image: 1, caller: 0, caller_in: None, code: (0, 0), inode: 0, exe: None, frames }.places().collect()
    }

    #[test]
    fn a_call_is_in_a_file_if_the_kernel_knew_which() {
        let frames = [frame(1, 0x1234), frame(2, 0x7fff_0000)].concat();
        let expected = [Place::File { id: [7; BUILD_ID], offset: 0x1234 }, Place::Address(0x7fff_0000)];
        assert_eq!(places(&frames), expected);
    }

    #[test]
    fn a_stack_ends_where_no_code_can_be() {
        let frames = [frame(1, 0x1234), frame(2, 0xbe55_2274_c085_4800), frame(1, 0x99)].concat();
        assert_eq!(places(&frames), [Place::File { id: [7; BUILD_ID], offset: 0x1234 }]);
        assert!(places(&frame(1, u64::MAX - 5)).is_empty(), "before the file");
    }

    #[test]
    fn half_a_frame_is_none() {
        assert!(places(&frame(1, 5)[..31]).is_empty());
        assert_eq!(addresses(&[1; 15]).count(), 1);
    }
}
