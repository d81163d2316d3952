//! The registers of a machine, as words of `struct pt_regs`: by what they are for, by their names in assembly, and by
//! their numbers in DWARF.

/// The architecture whose registers and calling convention a binary has.
pub(crate) use crate::host::arch::Arch as Machine;

/// The names of x86's registers by size, in the order of `struct pt_regs` (arch/x86/include/uapi/asm/ptrace.h). What has
/// `h` is the second byte of a register.
const X86: [(u32, [&str; 4]); 16] = [
    (0, ["r15", "r15d", "r15w", "r15b"]),
    (1, ["r14", "r14d", "r14w", "r14b"]),
    (2, ["r13", "r13d", "r13w", "r13b"]),
    (3, ["r12", "r12d", "r12w", "r12b"]),
    (4, ["rbp", "ebp", "bp", "bpl"]),
    (5, ["rbx", "ebx", "bx", "bl"]),
    (6, ["r11", "r11d", "r11w", "r11b"]),
    (7, ["r10", "r10d", "r10w", "r10b"]),
    (8, ["r9", "r9d", "r9w", "r9b"]),
    (9, ["r8", "r8d", "r8w", "r8b"]),
    (10, ["rax", "eax", "ax", "al"]),
    (11, ["rcx", "ecx", "cx", "cl"]),
    (12, ["rdx", "edx", "dx", "dl"]),
    (13, ["rsi", "esi", "si", "sil"]),
    (14, ["rdi", "edi", "di", "dil"]),
    (19, ["rsp", "esp", "sp", "spl"]),
];
const X86_SECOND: [(&str, u32); 4] = [("ah", 10), ("bh", 5), ("ch", 11), ("dh", 12)];

impl Machine {
    /// The words that arguments are in: rdi, rsi, rdx, rcx, r8, r9; x0 to x7.
    pub fn arguments(self) -> &'static [u32] {
        match self {
            Machine::X86 => &[14, 13, 12, 11, 9, 8],
            Machine::Arm => &[0, 1, 2, 3, 4, 5, 6, 7],
        }
    }

    /// The same for a system call, in the registers that its caller had: r10 stands for rcx.
    pub fn syscall(self) -> &'static [u32] {
        match self {
            Machine::X86 => &[14, 13, 12, 7, 9, 8],
            Machine::Arm => &[0, 1, 2, 3, 4, 5],
        }
    }

    /// What is returned: rax, x0.
    pub fn result(self) -> u32 {
        match self {
            Machine::X86 => 10,
            Machine::Arm => 0,
        }
    }

    /// The second half of what is returned: rdx, x1.
    pub fn second_result(self) -> u32 {
        match self {
            Machine::X86 => 12,
            Machine::Arm => 1,
        }
    }

    /// The number of the stack pointer in DWARF.
    pub fn stack(self) -> u32 {
        match self {
            Machine::X86 => 19,
            Machine::Arm => 31,
        }
    }

    /// Where the program is.
    pub fn counter(self) -> u32 {
        match self {
            Machine::X86 => 16,
            Machine::Arm => 32,
        }
    }

    /// How far from the stack pointer the first argument on the stack is at a function's entry: behind the address that
    /// the function returns to.
    pub fn first_on_stack(self) -> i64 {
        match self {
            Machine::X86 => 8,
            Machine::Arm => 0,
        }
    }

    /// A register by its name in assembly: its word, how many of its bytes the name means, and from which on.
    pub fn register(self, name: &str) -> Option<(u32, u8, u8)> {
        match self {
            Machine::X86 => {
                let by_size = |(word, names): &(u32, [&str; 4])| {
                    let at = names.iter().position(|other| *other == name)?;
                    Some((*word, 8 >> at, 0))
                };
                let second = || X86_SECOND.iter().find(|(other, _)| *other == name).map(|(_, word)| (*word, 1, 1));
                X86.iter().find_map(by_size).or_else(second).or_else(|| (name == "rip").then_some((16, 8, 0)))
            }
            Machine::Arm => {
                let (size, rest) = match name.split_at_checked(1)? {
                    _ if name == "sp" => return Some((31, 8, 0)),
                    _ if name == "wsp" => return Some((31, 4, 0)),
                    ("x", rest) => (8, rest),
                    ("w", rest) => (4, rest),
                    _ => return None,
                };
                let number: u32 = rest.parse().ok().filter(|number| *number <= 30 && !rest.starts_with('+'))?;
                Some((number, size, 0))
            }
        }
    }

    /// A register by its number in DWARF; None: probes cannot read it.
    pub fn of_dwarf(self, number: u16) -> Option<u32> {
        match self {
            // rax, rdx, rcx, rbx, rsi, rdi, rbp, rsp, r8 to r15, and where the function returns to.
            Machine::X86 => [10, 12, 11, 5, 13, 14, 4, 19, 9, 8, 7, 6, 3, 2, 1, 0].get(usize::from(number)).copied(),
            Machine::Arm => (number <= 31).then_some(number.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_by_name_and_number() {
        let x86 = |name| Machine::X86.register(name);
        assert_eq!((x86("rdi"), x86("edi"), x86("dil")), (Some((14, 8, 0)), Some((14, 4, 0)), Some((14, 1, 0))));
        assert_eq!((x86("r8w"), x86("ah"), x86("rip")), (Some((9, 2, 0)), Some((10, 1, 1)), Some((16, 8, 0))));
        assert_eq!((x86("xmm0"), x86("")), (None, None));
        let arm = |name| Machine::Arm.register(name);
        assert_eq!((arm("x30"), arm("w3"), arm("sp")), (Some((30, 8, 0)), Some((3, 4, 0)), Some((31, 8, 0))));
        assert_eq!((arm("x31"), arm("x+1"), arm("d0"), arm("é")), (None, None, None, None));
        assert_eq!(
            (Machine::X86.of_dwarf(5), Machine::X86.of_dwarf(17), Machine::Arm.of_dwarf(31)),
            (Some(14), None, Some(31))
        );
    }
}
