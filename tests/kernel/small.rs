//! Programs of 32 bits: for i386 or, on arm64, for ARM. They end with the error of their call, as a positive number, or (of
//! open) with its result.

/// What a program does with its first argument.
#[derive(Clone, Copy)]
pub enum Calls {
    /// `execve(argv[1], &argv[1], NULL)`
    Execve,
    /// The same by execveat, with AT_FDCWD.
    Execveat,
    /// `open(argv[1], O_RDONLY, 0)`
    Open,
}

/// The file of such a program.
pub fn program(calls: Calls) -> Vec<u8> {
    const BASE: u32 = 0x0804_8000;
    const HEADERS: u32 = 52 + 32;
    let (machine, flags, code) = if cfg!(target_arch = "aarch64") {
        (40, 0x0500_0000, arm(calls)) // EM_ARM, EF_ARM_EABI_VER5
    } else {
        (3, 0, i386(calls)) // EM_386
    };
    let size = HEADERS + code.len() as u32;
    let half = |values: &[u16]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    [
        // Elf32_Ehdr: 32 bits, little-endian, an executable.
        b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec(),
        half(&[2, machine]),
        words(&[1, BASE + HEADERS, 52, 0, flags]),
        half(&[52, 32, 1, 0, 0, 0]),
        // Elf32_Phdr: all of the file, to be read and executed.
        words(&[1, 0, BASE, BASE, size, size, 5, 0x1000]),
        code,
    ]
    .concat()
}

fn words(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn i386(calls: Calls) -> Vec<u8> {
    let call: &[u8] = match calls {
        Calls::Execve => b"\xb8\x0b\0\0\0\x8b\x5c\x24\x08\x8d\x4c\x24\x08\x31\xd2\xcd\x80",
        Calls::Execveat => {
            b"\xb8\x66\x01\0\0\xbb\x9c\xff\xff\xff\x8b\x4c\x24\x08\x8d\x54\x24\x08\x31\xf6\x31\xff\xcd\x80"
        }
        Calls::Open => b"\x8b\x5c\x24\x08\x31\xc9\x31\xd2\xb8\x05\0\0\0\xcd\x80",
    };
    // neg eax, but of a descriptor; mov ebx, eax; mov eax, 1 (exit); int 0x80
    let made_positive: &[u8] = b"\xf7\xd8";
    let exit: &[u8] = b"\x89\xc3\xb8\x01\0\0\0\xcd\x80";
    [call, if matches!(calls, Calls::Open) { &[] } else { made_positive }, exit].concat()
}

fn arm(calls: Calls) -> Vec<u8> {
    const SVC: u32 = 0xef00_0000;
    let call: &[u32] = match calls {
        // ldr r0, [sp, #8]; add r1, sp, #8; mov r2, #0; mov r7, #11
        Calls::Execve => &[0xe59d_0008, 0xe28d_1008, 0xe3a0_2000, 0xe3a0_700b, SVC],
        // mvn r0, #99; ldr r1, [sp, #8]; add r2, sp, #8; mov r3, #0; mov r4, #0; mov r7, #384; add r7, r7, #3
        Calls::Execveat => {
            &[0xe3e0_0063, 0xe59d_1008, 0xe28d_2008, 0xe3a0_3000, 0xe3a0_4000, 0xe3a0_7d06, 0xe287_7003, SVC]
        }
        // ldr r0, [sp, #8]; mov r1, #0; mov r2, #0; mov r7, #5
        Calls::Open => &[0xe59d_0008, 0xe3a0_1000, 0xe3a0_2000, 0xe3a0_7005, SVC],
    };
    // rsb r0, r0, #0, but of a descriptor; mov r7, #1 (exit)
    let made_positive: &[u32] = &[0xe260_0000];
    let exit: &[u32] = &[0xe3a0_7001, SVC];
    words(&[call, if matches!(calls, Calls::Open) { &[] } else { made_positive }, exit].concat())
}
