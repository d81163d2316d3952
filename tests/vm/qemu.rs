//! One guest: starts QEMU, reads its output, and never waits forever.
use crate::{
    artifacts::{Arch, Kernel},
    initramfs::find_program,
    protocol::{MARKER, News, Protocol},
};
use anyhow::{Context, Result};
use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

/// How guests are run.
#[derive(Clone, Debug, clap::Args)]
pub struct Machine {
    /// Software emulation (`tcg`), or KVM where it is known to work: only a boot shows whether it does
    #[arg(long, value_parser = ["tcg", "kvm"], env = "CORETRACE_VM_ACCEL", default_value = "tcg")]
    accel: String,
    /// Emulate the CPUs in one thread each (`multi`): shows more races, rarely crashes the emulator
    #[arg(long, value_parser = ["single", "multi"], default_value = "single")]
    smp_threads: String,
    /// The guest's memory
    #[arg(long, default_value = "512M")]
    memory: String,
    /// Seconds for one kernel, in total
    #[arg(long, default_value_t = 2400)]
    timeout: u64,
    /// Seconds without output from the tests that count as a hang
    #[arg(long, default_value_t = 120)]
    hang: u64,
}

/// How a guest ended, if not with the end marker.
#[derive(Debug, PartialEq)]
pub enum End {
    /// The job ended with this exit code.
    Code(i32),
    /// There was no output for too long, or the time was over.
    Hang(String),
    /// QEMU ended without the end marker: a kernel panic, or QEMU's own failure.
    Died,
}

/// A finished run.
pub struct Run {
    pub end: End,
    /// Whether the guest reached user space.
    pub started: bool,
    /// From the start of QEMU to user space.
    pub boot: Duration,
    pub total: Duration,
    /// The logs of this run.
    pub logs: Logs,
}

/// Where a run's logs are.
#[derive(Clone)]
pub struct Logs {
    pub console: PathBuf,
    pub protocol: PathBuf,
    pub qemu: PathBuf,
}

impl Logs {
    pub fn new(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
        Ok(Self { console: dir.join("console.log"), protocol: dir.join("protocol.log"), qemu: dir.join("qemu.log") })
    }
}

/// Ends QEMU when its run is over, for any reason.
struct Guest(Child);

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Machine {
    /// QEMU's command line, up to the serial ports.
    fn command(&self, kernel: &Kernel, initramfs: &Path) -> Result<Command> {
        let (qemu, purpose) = match kernel.arch {
            Arch::X86 => ("qemu-system-x86_64", "test"),
            Arch::Arm => ("qemu-system-aarch64", "test-cross"),
        };
        let qemu = find_program(qemu).with_context(|| format!("{qemu} is missing: run `scripts/deps {purpose}`"))?;
        // setpriv: QEMU must not outlive us when we are killed.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(qemu);
        // Never chosen automatically: /dev/kvm that opens may still fail in the guest's first instructions, as it does
        // in nested virtualization without hardware help.
        let accel = match self.accel.as_str() {
            "kvm" => "kvm".to_owned(),
            _ => format!("tcg,thread={}", self.smp_threads),
        };
        // QEMU 7.2's emulation of cmpxchg16b corrupts flags, and Linux 6.12 dies of it in one boot of seven: hide the
        // instruction. One thread for all CPUs avoids its other random crash. A CPU with few features is emulated a
        // fifth faster than one with all (`max`); it must have random numbers, or programs wait for the kernel to
        // gather them.
        let (machine, console) = match kernel.arch {
            Arch::X86 => (&["-cpu", "Nehalem,-cx16,+rdrand"][..], "ttyS0 tsc=reliable"),
            // A Cortex-A72 has no pages of 16 KiB; this one also has addresses of 52 bits, as the kernel.
            Arch::Arm if kernel.name.ends_with("-16k") => {
                (&["-M", "virt", "-cpu", "max,pauth-impdef=on"][..], "ttyAMA0")
            }
            Arch::Arm => (&["-M", "virt", "-cpu", "cortex-a72"][..], "ttyAMA0"),
        };
        command
            .args(["-accel", &accel])
            .args(machine)
            .args(["-smp", "2", "-m", &self.memory])
            .args(["-nodefaults", "-display", "none", "-nic", "none", "-no-reboot"])
            .arg("-kernel")
            .arg(&kernel.image)
            .arg("-initrd")
            .arg(initramfs);
        // panic=-1 ends QEMU at once, an Oops counts as a panic, and loglevel=5 shows warnings. A busy host makes
        // emulated time jump, so the watchdogs of stuck CPUs would only raise false alarms.
        command.arg("-append").arg(format!(
            "console={console} loglevel=5 panic=-1 oops=panic nowatchdog rcupdate.rcu_cpu_stall_suppress=1 \
             mitigations=off nokaslr",
        ));
        Ok(command)
    }

    /// The console, then the port of the tests, which is ttyS1: arm64's console is another kind of port, so there it is
    /// the second one on the PCI bus.
    fn ports(command: &mut Command, kernel: &Kernel, console: &str, tests: &str) {
        command.args(["-serial", console]);
        match kernel.arch {
            Arch::X86 => command.args(["-serial", tests]),
            Arch::Arm => command.args(["-chardev", "null,id=none", "-device", "pci-serial,chardev=none"]).args([
                "-chardev",
                &format!("{tests},id=tests"),
                "-device",
                "pci-serial,chardev=tests",
            ]),
        };
    }

    /// Runs a guest to its end, calling `hear` with each line of its output.
    pub fn run(
        &self,
        kernel: &Kernel,
        initramfs: &Path,
        logs: &Logs,
        protocol: &mut Protocol,
        mut hear: impl FnMut(&str, Option<News>),
    ) -> Result<Run> {
        let qemu_log = fs::File::create(&logs.qemu).with_context(|| format!("creating {}", logs.qemu.display()))?;
        let start = Instant::now();
        let mut command = self.command(kernel, initramfs)?;
        Self::ports(&mut command, kernel, &format!("file:{}", logs.console.display()), "stdio");
        let mut guest = Guest(
            command
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(qemu_log)
                .spawn()
                .context("starting QEMU under setpriv (package util-linux)")?,
        );
        let printed = listen(guest.0.stdout.take().context("QEMU's stdout")?);
        let deadline = start + Duration::from_secs(self.timeout);
        let (mut boot, mut all, mut line_start) = (None, Vec::new(), 0);
        let end = 'end: loop {
            let silence_max = Duration::from_secs(self.hang);
            let left = deadline.saturating_duration_since(Instant::now());
            match printed.recv_timeout(left.min(silence_max)) {
                Ok(bytes) => all.extend(bytes),
                Err(RecvTimeoutError::Disconnected) => break End::Died,
                Err(RecvTimeoutError::Timeout) if left > silence_max => {
                    break End::Hang(format!("no output for {} s", self.hang));
                }
                Err(RecvTimeoutError::Timeout) => {
                    break End::Hang(format!("not done after {} s", self.timeout));
                }
            }
            while let Some(length) = all[line_start..].iter().position(|&b| b == b'\n') {
                let line = String::from_utf8_lossy(&all[line_start..line_start + length]).into_owned();
                line_start += length + 1;
                let news = protocol.line(&line, true);
                match news {
                    Some(News::Started) => boot = Some(start.elapsed()),
                    Some(News::Ended(code)) => {
                        let words = line.split_once(MARKER).map_or("", |(words, _)| words);
                        if !words.is_empty() {
                            hear(words, None);
                        }
                        break 'end End::Code(code);
                    }
                    news => hear(&line, news),
                }
            }
            protocol.line(&String::from_utf8_lossy(&all[line_start..]), false);
        };
        fs::write(&logs.protocol, &all).with_context(|| format!("writing {}", logs.protocol.display()))?;
        Ok(Run {
            end,
            started: boot.is_some(),
            boot: boot.unwrap_or_default(),
            total: start.elapsed(),
            logs: logs.clone(),
        })
    }

    /// Runs a guest with the terminal as its console, until the shell in it ends.
    pub fn interact(&self, kernel: &Kernel, initramfs: &Path) -> Result<()> {
        // mon: passes Ctrl-C on to the guest; Ctrl-A X ends QEMU.
        let mut command = self.command(kernel, initramfs)?;
        Self::ports(&mut command, kernel, "mon:stdio", "null");
        command.status().context("starting QEMU under setpriv (package util-linux)")?;
        Ok(())
    }
}

/// Reads in another thread, so that the caller can wait with a deadline.
fn listen(mut from: impl Read + Send + 'static) -> mpsc::Receiver<Vec<u8>> {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            if send.send(buffer[..count].to_vec()).is_err() {
                break;
            }
        }
    });
    receive
}
