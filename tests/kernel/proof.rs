//! Every tracer verifies its types: those of another kernel load without complaint, and are detected.

use std::fs;

use crate::host::{Scratch, text};
use crate::support::{Trace, coretrace, targets};

/// The kernel's types, with this member (the only one of that name) at another offset.
fn moved(member: &str) -> Vec<u8> {
    let mut btf = fs::read("/sys/kernel/btf/vmlinux").unwrap();
    let number = |btf: &[u8], at: usize| u32::from_ne_bytes(btf[at..at + 4].try_into().unwrap());
    // struct btf_header: the length of the header, then where types and strings are, and their lengths.
    let [header, types, types_len, strings] = [4, 8, 12, 16].map(|at| number(&btf, at) as usize);
    let wanted = [b"\0", member.as_bytes(), b"\0"].concat();
    let name = btf[header + strings..].windows(wanted.len()).position(|window| window == wanted).unwrap() + 1;
    let mut found = 0;
    for at in (header + types..header + types + types_len - 8).step_by(4) {
        // struct btf_member: name, type, and the offset in bits.
        let offset = number(&btf, at + 8);
        if number(&btf, at) as usize == name && offset.is_multiple_of(8) && (8..1 << 18).contains(&offset) {
            btf[at + 8..at + 12].copy_from_slice(&(offset + 5 * 64).to_ne_bytes());
            found += 1;
        }
    }
    assert!(found > 0, "{member} is nowhere");
    btf
}

#[test]
fn types_of_another_kernel_are_found_out() {
    let scratch = Scratch::new("proof");
    let (coretrace, targets) = (coretrace(), targets());
    for (command, member, reported) in [
        ("proc", "tgid", "pid is "),
        ("proc", "real_parent", "ppid is "),
        ("proc", "start_boottime", "start time is "),
        ("exec", "comm", "comm is "),
        ("open", "arg_start", "argv "),
    ] {
        let file = scratch.file(member, moved(member));
        let ended = Trace::raw(std::process::Command::new(&coretrace).args([
            command,
            "-o",
            "json",
            "-O",
            "-",
            "--btf",
            text(&file),
            "--",
            text(&targets),
            "exit",
            "3",
        ]))
        .end();
        let printed = ended.stderr.join("\n");
        assert_eq!((ended.status.code(), ended.events.len()), (Some(1), 0), "{member}: {printed}");
        for words in ["not that of the running kernel", reported, "leave --btf and CORETRACE_BTF out"] {
            assert!(printed.contains(words), "{member}: no {words}: {printed}");
        }
    }
}
