//! Sources of types on a kernel without its own: side archives, images on disk, this program itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::btf::{KERNEL, assert_right, first};
use crate::host::{Scratch, text};
use crate::support::{Ended, Trace, coretrace, targets};

fn release() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease").unwrap().trim().to_owned()
}

/// Traces `targets exit 3` without BTF, with these directories of a scratch one mounted over others.
fn trace(program: &Path, mounts: &str, args: &[&str]) -> Ended {
    let targets = targets();
    let mut command = Command::new(&targets);
    command.args(["mounts", &format!("-btf,+tracefs{mounts}")]).arg(program);
    command.args(["proc", "-o", "json", "-O", "-", "-v"]).args(args).args(["--", text(&targets), "exit", "3"]);
    Trace::raw(&mut command).end()
}

/// The few types of this kernel, by `btf min`.
fn small(scratch: &Scratch, name: &str) -> PathBuf {
    let path = scratch.path(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let made = Command::new(coretrace()).args(["btf", "min", text(&path), KERNEL]).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    path
}

/// The same, packed.
fn packed(scratch: &Scratch, name: &str) -> PathBuf {
    let path = scratch.path(name);
    let file = fs::File::open(small(scratch, &format!("{name}.tmp"))).unwrap();
    let gzip = |command: &mut Command| command.arg("-c").stdin(Stdio::from(file.try_clone().unwrap())).output();
    let output = gzip(Command::new("busybox").arg("gzip")).or_else(|_| gzip(&mut Command::new("gzip"))).unwrap();
    assert!(output.status.success() && !output.stdout.is_empty());
    fs::remove_file(scratch.path(&format!("{name}.tmp"))).unwrap();
    fs::write(&path, output.stdout).unwrap();
    path
}

#[test]
fn a_directory_of_types_stands_in() {
    let scratch = Scratch::new("source-dir");
    let arch = if cfg!(target_arch = "x86_64") { "x86_64" } else { "arm64" };
    let file = small(&scratch, &format!("{arch}/{}.btf", release()));
    let dir = scratch.path(".");
    let ended = trace(&coretrace(), "", &["--btf-dir", text(&dir)]);
    assert_right(&ended, &first("raw_tp/sched_process_exec"), &dir.join(file.strip_prefix(&dir).unwrap()));
    // Another kernel's is not taken.
    fs::rename(&file, file.with_file_name("1.2.3.btf")).unwrap();
    let ended = trace(&coretrace(), "", &["--btf-dir", text(&dir)]);
    assert_eq!((ended.status.code(), ended.events.len()), (Some(1), 0));
    assert!(ended.stderr.join("\n").contains("no type information (BTF)"), "{:#?}", ended.stderr);
}

#[test]
fn the_installed_directory_stands_in() {
    let scratch = Scratch::new("source-share");
    let name = format!("{}.btf", release());
    small(&scratch, &name);
    let bind = format!(",bind={}=/usr/share/coretrace/btf", text(&scratch.path(".")));
    let ended = trace(&coretrace(), &bind, &[]);
    assert_right(&ended, &first("raw_tp/sched_process_exec"), &Path::new("/usr/share/coretrace/btf").join(name));
}

#[test]
fn an_image_in_boot_stands_in_and_a_bad_one_is_passed_over() {
    let scratch = Scratch::new("source-boot");
    let (bad, good) = (format!("vmlinux-{}", release()), format!("vmlinux-{}.gz", release()));
    scratch.file(&bad, "no kernel");
    packed(&scratch, &good);
    let bind = format!(",bind={}=/boot", text(&scratch.path(".")));
    let ended = trace(&coretrace(), &bind, &[]);
    assert_right(&ended, &first("raw_tp/sched_process_exec"), &Path::new("/boot").join(good));
    let reported = format!("types not from /boot/{bad}: it is not BTF");
    assert!(ended.stderr.iter().any(|line| line.contains(&reported)), "{:#?}", ended.stderr);
}

#[test]
fn a_program_that_carries_types_needs_nothing_else() {
    let scratch = Scratch::new("source-embedded");
    let program = scratch.path("carrier");
    let file = small(&scratch, &format!("{}.btf", release()));
    let made = Command::new(coretrace()).args(["btf", "embed", text(&program), text(&file)]).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    fs::remove_file(&file).unwrap();
    let ended = trace(&program, "", &[]);
    let name = format!("the archive in {}", program.display());
    assert_right(&ended, &first("raw_tp/sched_process_exec"), Path::new(&name));
    // A copy keeps the types that it carries.
    let second = scratch.path("second");
    let made = Command::new(&program).args(["btf", "embed", text(&second), KERNEL]).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let listed = Command::new(&second).args(["btf", "ls", "--embedded"]).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.lines().count() == 2 && listed.contains(&release()), "{listed}");
    // Damage is reported, and leaves nothing behind.
    let mut bytes = fs::read(&program).unwrap();
    let at = bytes.len() - 100;
    bytes[at] ^= 1;
    fs::write(&second, bytes).unwrap();
    let ended = trace(&second, "", &[]);
    assert_eq!((ended.status.code(), ended.events.len()), (Some(1), 0));
    let reported = format!("{}: it is damaged: its checksum is wrong", second.display());
    assert!(ended.stderr.join("\n").contains(&reported), "{:#?}", ended.stderr);
}

#[test]
fn what_is_packed_is_unpacked_where_it_is_named() {
    let scratch = Scratch::new("source-packed");
    let file = packed(&scratch, "types.gz");
    assert_right(&trace(&coretrace(), "", &["--btf", text(&file)]), &first("raw_tp/sched_process_exec"), &file);
    // libbpf is given a path in /proc.
    let ended = trace(&coretrace(), ",-proc", &["--btf", text(&file)]);
    assert_eq!((ended.status.code(), ended.events.len()), (Some(1), 0));
    assert!(ended.stderr.join("\n").contains("/proc is not mounted"), "{:#?}", ended.stderr);
}

#[test]
fn check_shows_the_source() {
    let scratch = Scratch::new("source-check");
    let file = small(&scratch, &format!("{}.btf", release()));
    let mut command = Command::new(targets());
    command.args(["mounts", "-btf,+tracefs"]).arg(coretrace()).args(["check", "--btf-dir", text(&scratch.path("."))]);
    let output = command.output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let row = printed.lines().find(|line| line.contains("type information")).unwrap();
    assert!(row.contains(file.file_name().unwrap().to_str().unwrap()), "{printed}");
    assert!(
        printed.lines().any(|line| line.contains(" proc ") && line.contains(&first("raw_tp/task_newtask"))),
        "{printed}"
    );
}
