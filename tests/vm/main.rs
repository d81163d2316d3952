//! Boots the kernels of the test matrix in QEMU and runs the live tests, or a command, in each.
//! `cargo test --profile checked --test vm -- --help`
mod artifacts;
mod initramfs;
mod protocol;
mod qemu;
mod report;
mod skips;
mod suite;
mod table;

use anyhow::{Context, Result, bail, ensure};
use artifacts::{Arch, Choice, Kernel};
use clap::Parser;
use initramfs::Initramfs;
use qemu::{End, Logs, Machine};
use std::{
    env,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Run the live tests on every kernel of the matrix, each in a VM
#[derive(Parser)]
#[command(name = "vm")]
struct Args {
    /// Only these kernels: 5.10, 6.1, 6.12, newest (or its number); with --smoke, words: 6.16-rt, bookworm, oldest
    #[arg(long, value_delimiter = ',')]
    kernel: Vec<String>,
    /// What the guests are; their programs are built for it, on another architecture by scripts/cross
    #[arg(long, value_enum, default_value_t = Arch::HERE)]
    arch: Arch,
    /// Every command in every way it hooks in, in short, on the oldest and newest build of each series and flavour
    /// that Debian's suites offer (tests/vm/smoke-kernels --list)
    #[arg(long)]
    smoke: bool,
    /// With --smoke: three kernels of each flavour
    #[arg(long, requires = "smoke")]
    few: bool,
    /// Only tests whose name contains this; may be repeated
    #[arg(long)]
    filter: Vec<String>,
    /// Guests at a time
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Tests at a time in a guest; with 1, a hang is blamed on the right test
    #[arg(long, default_value_t = 1)]
    test_threads: usize,
    /// Print the kernels and the tests, and run nothing
    #[arg(long)]
    list: bool,
    /// Run this shell command instead of the tests, and end with its exit code
    #[arg(long, value_name = "COMMAND", conflicts_with = "shell")]
    cmd: Option<String>,
    /// A shell in the guest, on this terminal (Ctrl-A X ends the guest)
    #[arg(long)]
    shell: bool,
    /// One more file for the guest; may be repeated
    #[arg(long, value_name = "HOST:GUEST")]
    add: Vec<String>,
    /// Look for newer kernels now, not once a day
    #[arg(long)]
    refresh: bool,
    #[command(flatten)]
    machine: Machine,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("vm: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<u8> {
    let mut wanted = args.kernel.clone();
    if args.shell && wanted.is_empty() {
        wanted.push("6.12".to_owned());
    }
    let choice = match (args.smoke, args.few) {
        (false, _) => Choice::Matrix,
        (true, false) => Choice::Series,
        (true, true) => Choice::FewSeries,
    };
    ensure!(choice == Choice::Matrix || args.arch == Arch::X86, "--smoke: its kernels are for x86_64 only");
    let kernels = artifacts::kernels(choice, args.arch, &wanted, args.refresh)?;
    let cross = artifacts::cross(args.arch)?;
    let programs = artifacts::programs(cross.as_ref())?;
    if args.list {
        for kernel in &kernels {
            println!("kernel {} {}", kernel.name, kernel.release);
        }
        return suite::list(&programs.tests);
    }
    let mut guest = Initramfs::base(cross.as_ref().map(|cross| cross.root.as_path()))?;
    guest.file("bin/coretrace", &programs.coretrace);
    guest.file("bin/targets", &programs.targets);
    guest.file("bin/kernel-tests", &programs.tests);
    if choice == Choice::Matrix {
        for (name, path) in artifacts::newest_libc(args.arch)? {
            guest.file(&format!("newest/{name}"), &path);
        }
    }
    for pair in &args.add {
        let (host, path) = pair.split_once(':').context("--add takes HOST:GUEST")?;
        guest.program(path, Path::new(host))?;
    }
    if args.shell {
        ensure!(kernels.len() == 1, "--shell takes one --kernel");
        return shell(args, &kernels[0], guest);
    }
    match &args.cmd {
        Some(command) => commands(args, &kernels, &guest, command),
        None => suite::run(args, &kernels, &guest),
    }
}

/// The directory of logs and results: target/vm.
fn results_dir() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    // Not CARGO_TARGET_TMPDIR: that is below the target's own directory, where logs are hard to find.
    env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), PathBuf::from).join("vm")
}

/// One kernel's logs, and the path for its initramfs in the same directory: target/vm/KERNEL, of another architecture
/// target/vm/ARCH/KERNEL.
fn work_dir(kernel: &Kernel) -> Result<(PathBuf, Logs)> {
    let mut dir = results_dir();
    if kernel.arch != Arch::HERE {
        dir.push(kernel.arch.name());
    }
    dir.push(&kernel.name);
    let logs = Logs::new(&dir)?;
    Ok((dir.join("initramfs.cpio"), logs))
}

fn shell(args: &Args, kernel: &Kernel, mut guest: Initramfs) -> Result<u8> {
    let (initramfs, _) = work_dir(kernel)?;
    guest.kernel(kernel);
    guest.text("job", "setsid cttyhack sh\ncode=0\n");
    guest.write(&initramfs)?;
    args.machine.interact(kernel, &initramfs)?;
    Ok(0)
}

/// Runs one command on one kernel after the other; returns the first exit code that is not zero.
fn commands(args: &Args, kernels: &[Kernel], guest: &Initramfs, command: &str) -> Result<u8> {
    let mut first = 0;
    for kernel in kernels {
        let (initramfs, logs) = work_dir(kernel)?;
        let mut guest = guest.clone();
        guest.kernel(kernel);
        guest.text("cmd", command);
        guest.text("job", "sh /cmd </dev/null >/dev/ttyS1 2>&1\ncode=$?\n");
        guest.write(&initramfs)?;
        let mut protocol = protocol::Protocol::default();
        let say = |line: &str, _| match kernels.len() {
            1 => println!("{line}"),
            _ => println!("{} | {line}", kernel.name),
        };
        let run = args.machine.run(kernel, &initramfs, &logs, &mut protocol, say)?;
        let code = match run.end {
            End::Code(code) => u8::try_from(code).unwrap_or(1),
            End::Hang(why) => bail!("{}: {why}; see {}", kernel.name, logs.console.display()),
            End::Died => bail!("{}: the guest died; see {}", kernel.name, logs.console.display()),
        };
        if first == 0 {
            first = code;
        }
    }
    Ok(first)
}
