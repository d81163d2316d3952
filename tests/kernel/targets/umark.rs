//! Functions and static probes to put probes on: with arguments that are known, of every form, called so often.

use std::thread;

/// A static probe, as sys/sdt.h of SystemTap writes its note; with the arguments as the architecture's assembler has them.
macro_rules! probe {
    ($provider:literal, $name:literal, $args:literal) => {
        probe!($provider, $name, $args, "0")
    };
    ($provider:literal, $name:literal, $args:literal, $semaphore:literal) => {
        concat!(
            "990: nop\n",
            ".pushsection .note.stapsdt,\"\",\"note\"\n.balign 4\n.4byte 992f-991f, 994f-993f, 3\n",
            "991: .asciz \"stapsdt\"\n992: .balign 4\n993: .8byte 990b\n.8byte _.stapsdt.base\n.8byte ",
            $semaphore,
            "\n.asciz \"",
            $provider,
            "\"\n.asciz \"",
            $name,
            "\"\n.asciz \"",
            $args,
            "\"\n994: .balign 4\n.popsection\n",
            ".ifndef _.stapsdt.base\n",
            ".pushsection .stapsdt.base,\"aG\",\"progbits\",.stapsdt.base,comdat\n",
            ".weak _.stapsdt.base\n.hidden _.stapsdt.base\n_.stapsdt.base: .space 1\n.size _.stapsdt.base, 1\n",
            ".popsection\n.endif\n"
        )
    };
}

/// Counted up by those who want to see `groupc:counted`.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
#[unsafe(link_section = ".probes")]
static mut groupc_counted_semaphore: u16 = 0;

/// For arguments that are in the program's memory.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
static groupc_table: [u64; 4] = [1000, 1001, 1002, 1003];

#[allow(unsafe_code)]
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn func_uprobe1(x: u64) -> u64 {
    std::hint::black_box(x) + 1
}

/// One call, for the benchmarks.
pub fn call() {
    std::hint::black_box(func_uprobe1(1));
}

/// One static probe, for the benchmarks.
pub fn mark() {
    probe1(1);
}

#[allow(unsafe_code)]
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn func_uprobe2(x: u64, y: u64) -> u64 {
    std::hint::black_box(x) + std::hint::black_box(y)
}

/// Calls itself so often, and returns how often that was.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn func_recursive(depth: u64) -> u64 {
    if std::hint::black_box(depth) == 0 { 0 } else { func_recursive(depth - 1) + 1 }
}

/// Where code is inlined, its probe is in several places; where it is left out, a note is left of it. So nothing is.
#[allow(unsafe_code)]
#[inline(never)]
fn probe1(n: i32) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a `nop`, and a note on where the argument is.
    unsafe {
        std::arch::asm!(probe!("groupa", "probe1", "-4@{0:e}"), in(reg) n, options(att_syntax));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    unsafe {
        std::arch::asm!(probe!("groupa", "probe1", "-4@{0:w}"), in(reg) n);
    }
}

/// One probe in two places, with its arguments in other registers.
#[allow(unsafe_code)]
#[inline(never)]
fn probe2(n: i32, m: i32) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: as above.
    unsafe {
        if n % 2 == 0 {
            std::arch::asm!(probe!("groupb", "probe2", "-4@%ecx -4@%r8d"), in("ecx") n, in("r8d") m, options(att_syntax));
        } else {
            std::arch::asm!(probe!("groupb", "probe2", "-4@%r9d -4@%r10d"), in("r9d") n, in("r10d") m, options(att_syntax));
        }
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    unsafe {
        if n % 2 == 0 {
            std::arch::asm!(probe!("groupb", "probe2", "-4@w3 -4@w4"), in("w3") n, in("w4") m);
        } else {
            std::arch::asm!(probe!("groupb", "probe2", "-4@w5 -4@w6"), in("w5") n, in("w6") m);
        }
    }
}

/// Twelve arguments: 1 to 12, the even ones negative (where they have a sign); then one of each form.
#[allow(unsafe_code)]
#[inline(never)]
fn forms() {
    // What was not used yet is not in memory, where kernels before 6.1 cannot read it.
    std::hint::black_box(std::hint::black_box(&groupc_table).iter().sum::<u64>());
    #[cfg(target_arch = "x86_64")]
    // SAFETY: registers are given back as they are; what is below the stack pointer is nobody's (there is a red zone of
    // 128 bytes), and written there by this very code.
    unsafe {
        std::arch::asm!(
            probe!(
                "groupc",
                "twelve",
                "8@%rdi -8@%rsi 4@%edx -4@%ecx 2@%r8w -2@%r9w 1@%al -1@%r10b 8@$9 -4@$-10 8@groupc_table(%rip) 8@groupc_table+8(%rip)"
            ),
            in("rdi") 1_u64, in("rsi") -2_i64, in("rdx") 0xffff_0000_0003_u64, in("rcx") 0xffff_ffff_fffc_u64,
            in("r8") 0x7_0005_u64, in("r9") 0x7_fffa_u64, in("rax") 0x107_u64, in("r10") 0x1f8_u64,
            options(att_syntax)
        );
        // -8(%rsp) is in the red zone; the two numbers behind the stack pointer are put there.
        std::arch::asm!(
            "movq ${below}, -8(%rsp)",
            "movl ${small}, -12(%rsp)",
            probe!("groupc", "redzone", "8@-8(%rsp) -4@-12(%rsp)"),
            below = const 4242, small = const -17,
            options(att_syntax)
        );
        let (table, at) = (groupc_table.as_ptr(), 2_u64);
        std::arch::asm!(
            probe!(
                "groupc",
                "forms",
                "8@(%rdi) 8@8(%rdi) 8@(%rdi,%rsi,8) 8@-8(%rdi,%rsi,8) 8@(%rdi,%rsi) 1@%dh 8@groupc_table(,%rsi,8) 8f@%xmm0 8f@(%rcx)"
            ),
            in("rdi") table, in("rsi") at, in("rdx") 0x1234_u64, in("rcx") &raw const FLOAT,
            options(att_syntax)
        );
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: registers are given back as they are.
    unsafe {
        std::arch::asm!(
            probe!(
                "groupc",
                "twelve",
                "8@x0 -8@x1 4@w2 -4@w3 2@w4 -2@w5 1@w6 -1@w7 8@9 -4@-10 8@[x9] 8@[x9, 8]"
            ),
            in("x0") 1_u64, in("x1") -2_i64, in("x2") 0xffff_0000_0003_u64, in("x3") 0xffff_ffff_fffc_u64,
            in("x4") 0x7_0005_u64, in("x5") 0x7_fffa_u64, in("x6") 0x107_u64, in("x7") 0x1f8_u64,
            in("x9") groupc_table.as_ptr(),
        );
        let (table, at) = (groupc_table.as_ptr(), 2_u64);
        std::arch::asm!(
            probe!("groupc", "forms", "8@[x0] 8@[x0, 8] 8@[x0, x1, lsl 3] 8@xzr 8f@d0 8f@[x2]"),
            in("x0") table, in("x1") at, in("x2") &raw const FLOAT,
        );
    }
}

static FLOAT: f64 = 2.5;

/// Hits `groupc:counted` where somebody wants to see it; whether that was so.
#[allow(unsafe_code)]
#[inline(never)]
fn counted(n: u64) -> bool {
    // SAFETY: the kernel alone changes it, and a number of two bytes is never half of one.
    let wanted = unsafe { (&raw const groupc_counted_semaphore).read_volatile() } > 0;
    if wanted {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        unsafe {
            std::arch::asm!(probe!("groupc", "counted", "8@{0}", "groupc_counted_semaphore"), in(reg) n, options(att_syntax));
        }
        #[cfg(target_arch = "aarch64")]
        // SAFETY: as above.
        unsafe {
            std::arch::asm!(probe!("groupc", "counted", "8@{0}", "groupc_counted_semaphore"), in(reg) n);
        }
    }
    wanted
}

/// Two pages that are not in this program's memory until somebody looks: a number 8 bytes from the start, and a text that
/// goes on from the first to the second. They are mapped one by one: with a page its neighbours of the same mapping come.
#[allow(unsafe_code)]
fn unseen_pages(page: usize) -> *const u8 {
    use nix::libc::{MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, PROT_NONE, PROT_READ, mmap};
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::FileExt;
    let flags = nix::sys::memfd::MFdFlags::empty();
    let file: std::fs::File = nix::sys::memfd::memfd_create("absent", flags).unwrap().into();
    for (offset, bytes) in
        [(8, &4711_u64.to_ne_bytes()[..]), (page - 8, b"from one"), (2 * page, b" to another\0"), (3 * page - 1, b"\0")]
    {
        file.write_all_at(bytes, offset as u64).unwrap();
    }
    // SAFETY: what is mapped over was mapped just before, and nothing writes there.
    unsafe {
        let place = mmap(std::ptr::null_mut(), 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        for (to, from) in [(0, 0), (page, 2 * page)] {
            let from = i64::try_from(from).unwrap();
            let to = place.wrapping_byte_add(to);
            assert_eq!(mmap(to, page, PROT_READ, MAP_PRIVATE | MAP_FIXED, file.as_raw_fd(), from), to);
        }
        place.cast()
    }
}

/// `func_uprobe1(5)`, called by code that is in no file, but in `/tmp/perf-PID.map`: as a compiler would have made it while
/// the program runs.
#[allow(unsafe_code)]
pub fn compiled() {
    use nix::libc::{MAP_PRIVATE, PROT_EXEC, PROT_READ, mmap};
    use std::io::Write;
    use std::os::fd::AsRawFd;
    // f(called, with): a frame, called(with), and the end.
    #[cfg(target_arch = "x86_64")]
    const CODE: &[u8] = b"\x55\x48\x89\xe5\x48\x89\xf8\x48\x89\xf7\xff\xd0\x5d\xc3";
    #[cfg(target_arch = "aarch64")]
    const CODE: &[u8] = b"\xfd\x7b\xbf\xa9\xfd\x03\x00\x91\xe9\x03\x00\xaa\xe0\x03\x01\xaa\x20\x01\x3f\xd6\
        \xfd\x7b\xc1\xa8\xc0\x03\x5f\xd6";
    let flags = nix::sys::memfd::MFdFlags::empty();
    let mut file: std::fs::File = nix::sys::memfd::memfd_create("compiled", flags).unwrap().into();
    file.write_all(CODE).unwrap();
    // SAFETY: the code is a function of this type, and stays as it is.
    let caller = unsafe {
        let at = mmap(std::ptr::null_mut(), CODE.len(), PROT_READ | PROT_EXEC, MAP_PRIVATE, file.as_raw_fd(), 0);
        std::mem::transmute::<*mut nix::libc::c_void, extern "C" fn(extern "C" fn(u64) -> u64, u64) -> u64>(at)
    };
    let map = format!("{:x} {:x} compiled while it ran\n", caller as usize, CODE.len());
    std::fs::write(format!("/tmp/perf-{}.map", std::process::id()), map).unwrap();
    assert_eq!(caller(func_uprobe1, 5), 6);
}

/// `groupd:absent`, once: a number, a text and four bytes that are not in memory.
#[allow(unsafe_code)]
#[inline(never)]
pub fn absent() {
    let page = usize::try_from(nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).unwrap().unwrap()).unwrap();
    let number = unseen_pages(page);
    let text = unseen_pages(page).wrapping_add(page - 8);
    let bytes = unseen_pages(page).wrapping_add(page - 4);
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a `nop`, and a note on where the arguments are.
    unsafe {
        std::arch::asm!(
            probe!("groupd", "absent", "8@8(%rdi) 8@%rsi 8@%rdx"),
            in("rdi") number, in("rsi") text, in("rdx") bytes, options(att_syntax)
        );
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    unsafe {
        std::arch::asm!(
            probe!("groupd", "absent", "8@[x0, 8] 8@x1 8@x2"), in("x0") number, in("x1") text, in("x2") bytes
        );
    }
}

/// So many rounds: `func_uprobe1(n)`, `func_uprobe2(n, 2n)`, `groupa:probe1(n)`, `groupb:probe2(n, -n)`.
pub fn calls(rounds: u32) {
    for n in 1..=rounds {
        std::hint::black_box(func_uprobe1(n.into()));
        std::hint::black_box(func_uprobe2(n.into(), 2 * u64::from(n)));
        let n = n.cast_signed();
        probe1(n);
        probe2(n, n.wrapping_neg());
    }
}

/// All forms of arguments, once; then so many hits of a probe with a semaphore, and a line that says how many it wanted.
pub fn all_forms(rounds: u32) {
    forms();
    let wanted = (1..=rounds).filter(|n| counted((*n).into())).count();
    println!("{wanted}");
}

/// A function that calls itself so often, with what it returned.
pub fn recursion(depth: u32) {
    println!("{}", func_recursive(depth.into()));
}

/// The same in so many threads at once, each with so many rounds.
pub fn threads(count: u32, rounds: u32) {
    let all: Vec<_> = (0..count).map(|_| thread::spawn(move || calls(rounds))).collect();
    all.into_iter().for_each(|one| one.join().unwrap());
}
