//! Targets that change something and then become another program, as env(1) does: `targets in-dir /tmp PROGRAM ARGS…`.

use std::ffi::{CString, OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use nix::fcntl::AtFlags;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::time::ClockId;
use nix::unistd::{Gid, Uid, chroot, setgroups, setresgid, setresuid};
use serde_json::json;

use super::say::{now, number, say};

/// Execs the program that the arguments name, after reporting the time.
pub fn become_program(args: &[OsString]) -> ! {
    exec(Command::new(&args[0]).args(&args[1..]))
}

fn exec(command: &mut Command) -> ! {
    say("exec", &json!({"boot_ns": now(ClockId::CLOCK_BOOTTIME), "wall_ns": now(ClockId::CLOCK_REALTIME)}));
    let error = command.exec();
    panic!("becoming {command:?}: {error}");
}

/// `in-dir DIR PROGRAM…`
pub fn in_dir(args: &[OsString]) {
    std::env::set_current_dir(&args[0]).expect("a directory");
    become_program(&args[1..]);
}

/// `in-deleted-dir DIR PROGRAM…`
pub fn in_deleted_dir(args: &[OsString]) {
    fs::create_dir(&args[0]).expect("a new directory");
    std::env::set_current_dir(&args[0]).expect("a directory");
    fs::remove_dir(&args[0]).expect("an empty directory");
    become_program(&args[1..]);
}

/// `in-cgroup DIR PROGRAM…`
pub fn in_cgroup(args: &[OsString]) {
    fs::write(Path::new(&args[0]).join("cgroup.procs"), "0").expect("a cgroup to move to");
    become_program(&args[1..]);
}

/// `in-chroot DIR PROGRAM…`: the program's path is one below DIR.
pub fn in_chroot(args: &[OsString]) {
    chroot(Path::new(&args[0])).expect("changing the root");
    std::env::set_current_dir("/").expect("the new root");
    become_program(&args[1..]);
}

/// `in-mounts DIR ARGS…`: its own file, run from a bind mount (DIR/there) on a tmpfs (DIR), in a mount namespace
/// of its own.
pub fn in_mounts(args: &[OsString]) {
    let dir = Path::new(&args[0]);
    let me = fs::canonicalize("/proc/self/exe").expect("/proc");
    unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace");
    const NONE: Option<&str> = None;
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE).expect("mounts of its own");
    mount(Some("tmpfs"), dir, Some("tmpfs"), MsFlags::empty(), NONE).expect("a tmpfs");
    let there = dir.join("there");
    fs::create_dir(&there).expect("a mount point");
    mount(me.parent(), &there, NONE, MsFlags::MS_BIND, NONE).expect("a bind mount");
    exec(Command::new(there.join(me.file_name().expect("a file"))).args(&args[1..]));
}

/// `as-user UID GID PROGRAM…`
pub fn as_user(args: &[OsString]) {
    let (uid, gid) = (Uid::from_raw(number(&args[0])), Gid::from_raw(number(&args[1])));
    setgroups(&[]).expect("dropping groups");
    setresgid(gid, gid, gid).expect("dropping the group");
    setresuid(uid, uid, uid).expect("dropping the user");
    become_program(&args[2..]);
}

/// `arg0 NAME PROGRAM…`: the program, called by another name.
pub fn arg0(args: &[OsString]) {
    exec(Command::new(&args[1]).arg0(&args[0]).args(&args[2..]));
}

/// `no-args PROGRAM`: without even its own name.
pub fn no_args(args: &[OsString]) {
    let error = nix::unistd::execve::<CString, CString>(&c_string(&args[0]), &[], &[]).unwrap_err();
    panic!("becoming {:?}: {error}", args[0]);
}

/// `copied FILE PROGRAM…`: after making FILE a copy of this program.
pub fn copied(args: &[OsString]) {
    fs::copy("/proc/self/exe", &args[0]).expect("copying");
    become_program(&args[1..]);
}

/// `deleted FILE ARGS…`: a copy of this program that has no name any more.
pub fn deleted(args: &[OsString]) {
    fs::copy("/proc/self/exe", &args[0]).expect("copying");
    let file = File::open(&args[0]).expect("the copy");
    fs::remove_file(&args[0]).expect("deleting the copy");
    exec(Command::new(format!("/proc/self/fd/{}", file.as_raw_fd())).args(&args[1..]));
}

/// `memfd NAME ARGS…`: a copy of this program that never had a name, by fexecve().
pub fn memfd(args: &[OsString]) {
    let memory = memfd_create(args[0].as_os_str(), MFdFlags::MFD_CLOEXEC).expect("a file in memory");
    let mut written = File::from(memory);
    io::copy(&mut File::open("/proc/self/exe").expect("/proc"), &mut written).expect("copying");
    let file = File::open(format!("/proc/self/fd/{}", written.as_raw_fd())).expect("the copy");
    // A file that is open for writing cannot be run.
    drop(written);
    let error = nix::unistd::fexecve(file, &c_strings(args), &env()).unwrap_err();
    panic!("running a file in memory: {error}");
}

/// `execveat DIR NAME ARGS…`: NAME, which is in DIR.
pub fn execveat(args: &[OsString]) {
    let dir = OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(&args[0]).expect("a directory");
    let name = c_string(&args[1]);
    let error = nix::unistd::execveat(dir, &name, &c_strings(&args[1..]), &env(), AtFlags::empty()).unwrap_err();
    panic!("execveat {name:?}: {error}");
}

/// `script FILE INTERPRETER ARGS…`: a script, run with these arguments.
pub fn script(args: &[OsString]) {
    fs::write(&args[0], [b"#!", args[1].as_bytes(), b"\nnot a program\n"].concat()).expect("writing");
    fs::set_permissions(&args[0], fs::Permissions::from_mode(0o755)).expect("making it executable");
    exec(Command::new(&args[0]).args(&args[2..]));
}

/// `no-exec FILE…`: tries each, none of which can be run, and ends well.
pub fn no_exec(args: &[OsString]) {
    for file in args {
        // Not by Command: that hands what is no program to /bin/sh.
        let error = nix::unistd::execve(&c_string(file), &c_strings(std::slice::from_ref(file)), &env()).unwrap_err();
        say("failed", &json!({"file": file.to_string_lossy(), "errno": error as i32}));
    }
}

fn c_string(arg: &OsStr) -> CString {
    CString::new(arg.as_bytes()).expect("arguments have no NUL")
}

fn c_strings(args: &[OsString]) -> Vec<CString> {
    args.iter().map(|arg| c_string(arg)).collect()
}

fn env() -> Vec<CString> {
    std::env::vars_os().map(|(name, value)| c_string(&[name, value].join(OsStr::new("=")))).collect()
}
