//! Programs that exec another one, under other conditions.

use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{Gid, Uid, setgid, setgroups, setsid, setuid};

use crate::number;
use crate::sys;

/// `as uid=N,caps=N+N,drop=N,memlock=BYTES CMD…`: as that user (and the group of the same number), with only these
/// capabilities, with some removed from the bounding set, with that limit of locked memory.
pub fn run_as(about: &str, command: &[&str]) {
    let settings: Vec<(&str, &str)> = about.split(',').filter_map(|setting| setting.split_once('=')).collect();
    let all = |name: &'static str| settings.iter().filter(move |(n, _)| *n == name).map(|(_, value)| *value);
    for capability in all("drop") {
        sys::drop_bounding(number(capability));
    }
    for limit in all("memlock") {
        setrlimit(Resource::RLIMIT_MEMLOCK, number(limit).into(), number(limit).into()).expect("setrlimit");
    }
    for uid in all("uid").map(number) {
        sys::keep_capabilities();
        setgroups(&[]).expect("setgroups");
        setgid(Gid::from_raw(uid)).expect("setgid");
        setuid(Uid::from_raw(uid)).expect("setuid");
        sys::only_capabilities(all("caps").flat_map(|caps| caps.split('+')).fold(0, |mask, n| mask | 1 << number(n)));
    }
    become_program(command);
}

/// `setcap N+N FILE`: gives a program these capabilities.
pub fn setcap(caps: &str, file: &str) {
    sys::file_capabilities(file, caps.split('+').fold(0, |mask, n| mask | 1 << number(n)));
}

/// `mounts -btf,-bpf,-tracefs,-proc,tmpfs-on-bpf,+tracefs,bind=DIR=DIR CMD…`: in its own mount namespace, without what
/// has a minus.
pub fn with_mounts(about: &str, command: &[&str]) {
    const TRACEFS: &str = "/sys/kernel/tracing";
    const BPF: &str = "/sys/fs/bpf";
    let none: Option<&str> = None;
    sys::own_mounts();
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).expect("making the mounts private");
    // Everything that is mounted there, layer by layer.
    let remove = |path: &str| while umount2(path, MntFlags::MNT_DETACH).is_ok() {};
    for change in about.split(',') {
        match change {
            "-btf" => {
                mount(Some("none"), "/sys/kernel/btf", Some("tmpfs"), MsFlags::empty(), none).expect("hiding BTF")
            }
            "-tracefs" => [TRACEFS, "/sys/kernel/debug/tracing", "/sys/kernel/debug"].into_iter().for_each(remove),
            "-proc" => remove("/proc"),
            "-bpf" => remove(BPF),
            "tmpfs-on-bpf" => {
                mount(Some("none"), BPF, Some("tmpfs"), MsFlags::empty(), none).expect("hiding the BPF file system")
            }
            "+tracefs" if std::path::Path::new(TRACEFS).join("events").exists() => {}
            "+tracefs" => {
                mount(Some("none"), TRACEFS, Some("tracefs"), MsFlags::empty(), none).expect("mounting tracefs")
            }
            other => {
                let places = other.strip_prefix("bind=").and_then(|places| places.split_once('='));
                let Some((from, to)) = places else { panic!("no such change: {other}") };
                std::fs::create_dir_all(to).expect("making the place of a mount");
                mount(Some(from), to, none, MsFlags::MS_BIND, none).expect("mounting a directory elsewhere");
            }
        }
    }
    become_program(command);
}

/// `on-last-cpu CMD…`: runs a command only on the last of its allowed CPUs.
pub fn on_last_cpu(command: &[&str]) {
    use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
    let me = nix::unistd::Pid::this();
    let mine = sched_getaffinity(me).expect("sched_getaffinity");
    let last = (0..CpuSet::count()).rev().find(|cpu| mine.is_set(*cpu).unwrap_or(false)).expect("a CPU");
    let mut one = CpuSet::new();
    one.set(last).expect("a CPU");
    sched_setaffinity(me, &one).expect("sched_setaffinity");
    become_program(command);
}

/// `tty CMD…`: in its own session, whose terminal is standard input.
pub fn on_terminal(command: &[&str]) {
    setsid().expect("setsid");
    sys::take_terminal();
    become_program(command);
}

fn become_program(command: &[&str]) {
    let [program, args @ ..] = command else { panic!("no program is named") };
    panic!("running {program}: {}", Command::new(program).args(args).exec());
}
