//! Opens files as its arguments say, by the system calls themselves, and reports the result of each.
#![allow(unsafe_code)]

use std::ffi::{CString, OsStr, OsString};
use std::fs::{create_dir, remove_dir, remove_file, rename};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{Uid, chroot, setresuid};
use serde_json::json;

use crate::events::say::{number, say};
use crate::sys;

/// `opens ORDER ARGS… ORDER ARGS…`: one after the other, under the name `opening`. DIR is a descriptor or -100.
pub fn opens(args: &[OsString]) {
    sys::set_name("opening");
    let mut args = args.iter().map(OsString::as_os_str);
    while let Some(order) = args.next() {
        let mut next = || args.next().expect("one more argument");
        match order.to_str().expect("an order") {
            "open" => tell(open(next(), number(next()), number(next()))),
            "creat" => tell(creat(next(), number(next()))),
            "openat" => tell(openat(number(next()), &c_string(next()), number(next()), number(next()))),
            "openat2" => tell(openat2(number(next()), next(), number(next()), number(next()), number(next()))),
            "openat2-nowhere" => tell(openat2_nowhere(next())),
            "pipe" => std::mem::forget(std::io::pipe().expect("a pipe")),
            "memfd" => std::mem::forget(memfd_create(next(), MFdFlags::empty()).expect("a file in memory")),
            "unlink" => remove_file(next()).expect("a file"),
            "open-nowhere" => tell(sys::call(libc::SYS_openat, [libc::AT_FDCWD as i64, 8, 0, 0])),
            "bind" => bind(next(), next()),
            "cd" => std::env::set_current_dir(next()).expect("a directory"),
            "chroot" => chroot(Path::new(next())).expect("a directory"),
            "files" => {
                let most = number(next());
                setrlimit(Resource::RLIMIT_NOFILE, most, most).expect("a limit");
            }
            "fork" => {
                let rest: Vec<OsString> = args.by_ref().map(OsStr::to_owned).collect();
                sys::wait(sys::spawn(|| {
                    opens(&rest);
                    0
                }));
            }
            "mkdir" => create_dir(next()).expect("a new directory"),
            "name" => sys::set_name(next().to_str().expect("a name")),
            "rename" => rename(next(), next()).expect("renaming"),
            "rmdir" => remove_dir(next()).expect("an empty directory"),
            "tmpfs" => tmpfs(next()),
            "user" => {
                let uid = Uid::from_raw(number(next()));
                setresuid(uid, uid, uid).expect("another user");
            }
            other => panic!("no such order: {other}"),
        }
    }
}

fn tell(ret: i64) {
    // The kernel's name of the opened file.
    let file = std::fs::read_link(format!("/proc/self/fd/{ret}")).ok();
    say("open", &json!({"ret": ret, "pid": std::process::id(), "file": file}));
}

pub fn c_string(path: &OsStr) -> CString {
    CString::new(path.as_bytes()).expect("no NUL")
}

fn address(path: &CString) -> i64 {
    path.as_ptr() as i64
}

pub fn openat(dir: i32, path: &CString, flags: i32, mode: u32) -> i64 {
    sys::call(libc::SYS_openat, [dir.into(), address(path), flags.into(), mode.into()])
}

#[cfg(target_arch = "x86_64")]
fn open(path: &OsStr, flags: i32, mode: u32) -> i64 {
    sys::call(libc::SYS_open, [address(&c_string(path)), flags.into(), mode.into(), 0])
}

#[cfg(target_arch = "x86_64")]
fn creat(path: &OsStr, mode: u32) -> i64 {
    sys::call(libc::SYS_creat, [address(&c_string(path)), mode.into(), 0, 0])
}

#[cfg(not(target_arch = "x86_64"))]
fn open(path: &OsStr, flags: i32, mode: u32) -> i64 {
    openat(libc::AT_FDCWD, &c_string(path), flags, mode)
}

#[cfg(not(target_arch = "x86_64"))]
fn creat(path: &OsStr, mode: u32) -> i64 {
    open(path, libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC, mode)
}

fn openat2(dir: i32, path: &OsStr, flags: u64, mode: u64, resolve: u64) -> i64 {
    // include/uapi/linux/openat2.h: struct open_how
    let how = [flags, mode, resolve];
    let how_at = how.as_ptr() as i64;
    sys::call(libc::SYS_openat2, [dir.into(), address(&c_string(path)), how_at, size_of_val(&how) as i64])
}

/// With an invalid pointer for how.
fn openat2_nowhere(path: &OsStr) -> i64 {
    sys::call(libc::SYS_openat2, [libc::AT_FDCWD.into(), address(&c_string(path)), 8, 24])
}

const NONE: Option<&str> = None;

/// In the mount namespace made by `mounts`.
fn bind(from: &OsStr, to: &OsStr) {
    mount(Some(from), to, NONE, MsFlags::MS_BIND, NONE).expect("a bind mount");
}

fn tmpfs(at: &OsStr) {
    mount(Some("tmpfs"), at, Some("tmpfs"), MsFlags::empty(), NONE).expect("a tmpfs");
}

/// `n` opens of a file by two threads, half each; all of them closed.
pub fn storm(path: &OsStr, n: u32) {
    sys::set_name("opening");
    let path = c_string(path);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..n / 2 {
                    let fd = openat(libc::AT_FDCWD, &path, libc::O_RDONLY, 0);
                    assert!(fd > 0, "{fd}");
                    sys::call(libc::SYS_close, [fd, 0, 0, 0]);
                }
            });
        }
    });
}
