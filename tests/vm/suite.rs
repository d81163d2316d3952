//! Runs the live tests on all kernels, several at a time, and judges each guest's end.
use crate::{
    Args,
    artifacts::Kernel,
    initramfs::Initramfs,
    protocol::{News, Outcome, Protocol},
    qemu::{End, Run},
    report::{KERNEL_ROW, Report},
    results_dir,
    skips::Skips,
    work_dir,
};
use anyhow::{Context, Result, ensure};
use std::{
    fs,
    path::Path,
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Instant,
};

/// Strings on the console that no healthy kernel prints.
const TROUBLE: &[&str] = &["Kernel panic", "Oops", "BUG:", "WARNING:", "[#1]"];

/// How many lines of the console are shown.
const CONSOLE_LINES: usize = 60;

/// Prints the names of the tests.
pub fn list(tests: &Path) -> Result<u8> {
    let status = Command::new(tests)
        .args(["--list", "--format", "terse"])
        .status()
        .with_context(|| format!("running {}", tests.display()))?;
    ensure!(status.success(), "{} --list failed", tests.display());
    Ok(0)
}

/// Runs the tests everywhere; the exit code.
pub fn run(args: &Args, kernels: &[Kernel], guest: &Initramfs) -> Result<u8> {
    let names = kernels.iter().map(|kernel| kernel.name.clone()).collect();
    // In a smoke run, a skip is a way to hook in that the kernel lacks: the tests know which may be missing.
    let report = Report::new(names, Skips::read(args.arch)?, !args.smoke);
    let once = kernels.iter().find(|kernel| kernel.name == ONCE).or(kernels.first()).map(|kernel| &kernel.name);
    // The slowest first, so that no guest is left alone at the end: the one with more tests, then newer kernels.
    let mut order: Vec<&Kernel> = kernels.iter().rev().collect();
    order.sort_by_key(|kernel| once != Some(&kernel.name));
    let next = AtomicUsize::new(0);
    let worker = || {
        while let Some(kernel) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(error) = one(args, kernel, once == Some(&kernel.name), guest.clone(), &report) {
                report.test(&kernel.name, KERNEL_ROW, Outcome::Failed(format!("{error:#}")));
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..args.jobs.max(1) {
            scope.spawn(worker);
        }
    });
    let well = if args.smoke {
        let table = report.smoke(kernels);
        let path = results_dir().join("smoke.txt");
        fs::write(&path, &table).with_context(|| format!("writing {}", path.display()))?;
        println!("\n{table}");
        report.conclude()
    } else {
        report.finish(args.filter.is_empty())
    };
    Ok(u8::from(!well))
}

/// The kernel of the matrix that also runs the tests that depend only on user space, tests/kernel/once; if it is not
/// among those booted, the first of them does.
const ONCE: &str = "6.12";

/// Which tests to run on a kernel, as libtest's options: in a smoke run those of tests/kernel/smoke.rs, else all others.
fn selection(args: &Args, once: bool) -> String {
    match (&args.filter[..], args.smoke) {
        ([], true) => " smoke::".to_owned(),
        ([], false) if once => " --skip smoke::".to_owned(),
        ([], false) => " --skip smoke:: --skip once::".to_owned(),
        (filters, _) => filters.iter().map(|filter| format!(" '{filter}'")).collect(),
    }
}

/// One kernel, from boot to verdict.
fn one(args: &Args, kernel: &Kernel, once: bool, mut guest: Initramfs, report: &Report) -> Result<()> {
    let (initramfs, logs) = work_dir(kernel)?;
    guest.kernel(kernel);
    guest.text(
        "job",
        &format!(
            "/bin/kernel-tests --test-threads={}{} </dev/null >/dev/ttyS1 2>&1\ncode=$?\n",
            args.test_threads,
            selection(args, once)
        ),
    );
    guest.write(&initramfs)?;
    let name = &kernel.name;
    report.note(name, &format!("boots {}", kernel.release));

    let mut protocol = Protocol::default();
    let mut attempt = || {
        let mut last = Instant::now();
        args.machine.run(kernel, &initramfs, &logs, &mut protocol, |line, news| {
            let Some(News::Test(test, outcome)) = news else {
                // libtest's first line: do not count the boot as a test's time.
                if line.starts_with("running ") {
                    last = Instant::now();
                }
                return;
            };
            // When tests run in parallel, the time since the last result belongs to no single test.
            if args.test_threads == 1 {
                report.took(name, &test, last.elapsed());
            }
            last = Instant::now();
            report.test(name, &test, outcome);
        })
    };
    let mut run = attempt()?;
    if run.end == End::Died && !run.started {
        // QEMU's emulation is known to crash guests at random while they boot; a kernel that really does not boot will
        // not do so on the second try either.
        report.note(name, "died before user space: trying once more (a known fault of QEMU's emulation)");
        run = attempt()?;
    }
    judge(name, &run, &mut protocol, report)?;
    report.time(name, format!("boot {:.1} s, total {:.1} s", run.boot.as_secs_f32(), run.total.as_secs_f32()));
    Ok(())
}

/// Reports faults of a run other than failed tests.
fn judge(kernel: &str, run: &Run, protocol: &mut Protocol, report: &Report) -> Result<()> {
    let console = fs::read(&run.logs.console).context("reading the console's log")?;
    let console = String::from_utf8_lossy(&console);
    let console: Vec<&str> = console.lines().map(str::trim_end).collect();
    let trouble = (console.iter()).find(|line| TROUBLE.iter().any(|word| line.contains(word)));

    if !protocol.failures.is_empty() {
        let lines: Vec<&str> = protocol.failures.iter().map(String::as_str).collect();
        report.block(kernel, "output of failed tests", &lines);
    }
    let (failed, ran) = report.counts(kernel);
    let missing = protocol.announced.saturating_sub(ran);
    let wrong = match (&run.end, trouble) {
        (End::Hang(why), _) => Some(format!("hangs: {why}")),
        (_, Some(line)) => Some(format!("the kernel printed: {}", line.trim())),
        (End::Died, None) => Some("died without a word".to_owned()),
        (End::Code(0), None) if ran == 0 => Some("ran no test".to_owned()),
        // Also with code 0: a test may have ended the whole program.
        (End::Code(code), None) if missing > 0 || (*code != 0 && failed == 0) => {
            Some(format!("the test program ended with code {code}"))
        }
        (End::Code(_), None) => None,
    };
    if let Some(wrong) = wrong {
        let test = protocol.current.take();
        let test = test.as_deref().unwrap_or(KERNEL_ROW);
        let qemu = fs::read_to_string(&run.logs.qemu).unwrap_or_default();
        let tail = &console[console.len().saturating_sub(CONSOLE_LINES)..];
        report.block(kernel, "end of the console", tail);
        report.block(kernel, "output of QEMU", &qemu.lines().collect::<Vec<_>>());
        let console = run.logs.console.display();
        report.test(kernel, test, Outcome::Failed(format!("{wrong} (all of it: {console})")));
    }
    if missing > 0 {
        let all = protocol.announced;
        report.note(kernel, &format!("did not end {missing} of {all} tests"));
    } else if matches!(run.end, End::Code(_)) {
        report.complete(kernel);
    }
    Ok(())
}
