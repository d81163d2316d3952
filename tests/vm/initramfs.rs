//! The guest's root file system: an uncompressed newc archive, unpacked by the kernel into memory.
use crate::artifacts::Kernel;
use anyhow::{Context, Result, ensure};
use cpio::{NewcBuilder, newc::ModeFileType};
use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{BufWriter, Cursor, Write},
    path::{Path, PathBuf},
    process::Command,
};

/// Mount points, and directories that programs expect.
const DIRS: &[&str] = &["bin", "btf", "dev", "etc", "proc", "root", "run", "sbin", "sys", "tmp", "usr/bin", "var/tmp"];

/// Accounts: tests drop to `tester`, which also has a supplementary group.
const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n\
    tester:x:1000:1000:tester:/tmp:/bin/sh\n\
    nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n";
const GROUP: &str = "root:x:0:\ntester:x:1000:\nextra:x:2000:tester\nnogroup:x:65534:\n";

/// Debian's own, for its static probes: another one may come first in PATH.
const PYTHON: &str = "/usr/bin/python3";

/// Where packages of arm64 have libraries; in a guest, its loader looks into /usr/lib, too.
const LIBRARIES: &[&str] = &["lib/aarch64-linux-gnu", "usr/lib/aarch64-linux-gnu"];

/// What sets up networks, shows what the connection tracker knows (busybox has less of it), and starts containers.
const TOOLS: [(&str, &str); 4] =
    [("ip", "iproute2"), ("nft", "nftables"), ("conntrack", "conntrack"), ("crun", "crun")];

/// What the archive holds, by path in the guest (without a leading `/`).
#[derive(Clone, Default)]
pub struct Initramfs {
    files: Vec<(String, Content)>,
}

#[derive(Clone)]
enum Content {
    Host(PathBuf),
    Text(String),
}

impl Initramfs {
    /// A bootable guest: busybox, the init script and accounts; Debian's python3, and bpftool if the host has it. The
    /// programs of another architecture are below `foreign`.
    pub fn base(foreign: Option<&Path>) -> Result<Self> {
        let mut guest = Self::default();
        guest.text("init", include_str!("init"));
        guest.text("etc/passwd", PASSWD);
        guest.text("etc/group", GROUP);
        match foreign {
            Some(root) => guest.foreign_programs(root)?,
            None => guest.host_programs()?,
        }
        Ok(guest)
    }

    fn host_programs(&mut self) -> Result<()> {
        let guest = self;
        let busybox =
            find_program("busybox").context("busybox is missing: run `scripts/deps test` (package busybox-static)")?;
        guest.file("bin/busybox", &busybox);
        if let Some(bpftool) = find_program("bpftool") {
            guest.program("bin/bpftool", &bpftool)?;
        }
        for (name, package) in TOOLS {
            let tool = find_program(name);
            let tool =
                tool.with_context(|| format!("{name} is missing: run `scripts/deps test` (package {package})"))?;
            guest.program(&format!("usr/sbin/{name}"), &tool)?;
        }
        guest.program(PYTHON, Path::new(PYTHON))?;
        for module in python_modules()? {
            guest.file(&module, Path::new(&module));
        }
        Ok(())
    }

    /// The same programs, as their packages were unpacked.
    fn foreign_programs(&mut self, root: &Path) -> Result<()> {
        let tools = TOOLS.iter().map(|(name, _)| (format!("usr/sbin/{name}"), *name));
        let others = ["busybox", "bpftool"].map(|name| (format!("bin/{name}"), name));
        for (guest, name) in tools.chain(others).chain([(PYTHON.to_owned(), "python3")]) {
            self.foreign(root, &guest, &["usr/bin", "bin", "usr/sbin", "sbin"], name)?;
        }
        // The host's own Debian has the same modules: scripts/cross takes the packages of its release.
        for module in python_modules()?.iter().filter(|module| module.ends_with(".py")) {
            self.file(module, &root.join(module.trim_start_matches('/')));
        }
        Ok(())
    }

    /// Adds a file of one of these directories, and the libraries that it needs.
    fn foreign(&mut self, root: &Path, guest: &str, dirs: &[&str], name: &str) -> Result<()> {
        let found = dirs.iter().map(|dir| root.join(dir).join(name)).find(|file| file.is_file());
        let file = found.with_context(|| format!("no {name} in {}", root.display()))?;
        self.file(guest, &file);
        for library in needed(&file)? {
            let guest = match library.starts_with("ld-") {
                true => format!("lib/{library}"),
                false => format!("usr/lib/{library}"),
            };
            if !self.files.iter().any(|(there, _)| *there == guest) {
                self.foreign(root, &guest, LIBRARIES, &library)?;
            }
        }
        Ok(())
    }

    /// Adds a file of the host, and if it is a program, the libraries that it needs.
    pub fn program(&mut self, guest: &str, host: &Path) -> Result<()> {
        self.file(guest, host);
        for library in libraries(host)? {
            let name = library.trim_start_matches('/');
            if !self.files.iter().any(|(there, _)| there == name) {
                self.file(name, Path::new(&library));
            }
        }
        Ok(())
    }

    /// Adds a file of the host.
    pub fn file(&mut self, guest: &str, host: &Path) {
        let guest = guest.trim_start_matches('/').to_owned();
        self.files.push((guest, Content::Host(host.to_owned())));
    }

    /// Adds what belongs to a kernel.
    pub fn kernel(&mut self, kernel: &Kernel) {
        for file in kernel.modules() {
            if let Some(name) = file.file_name().and_then(|name| name.to_str()) {
                self.file(&format!("lib/modules/{name}"), &file);
            }
        }
    }

    /// Adds a file with this text.
    pub fn text(&mut self, guest: &str, text: &str) {
        self.files.push((guest.to_owned(), Content::Text(text.to_owned())));
    }

    /// Writes the archive.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut dirs: BTreeSet<&Path> = BTreeSet::new();
        let named = self.files.iter().filter_map(|(name, _)| Path::new(name).parent());
        for dir in DIRS.iter().map(Path::new).chain(named) {
            dirs.extend(dir.ancestors().filter(|d| !d.as_os_str().is_empty()));
        }
        // Sorted, so a directory comes before what is in it.
        let mut entries: Vec<(NewcBuilder, Cursor<Vec<u8>>)> =
            dirs.iter().map(|dir| (entry(dir, ModeFileType::Directory, 0o755), Cursor::default())).collect();
        // The kernel opens the first process's console before that process could create it.
        entries.push((
            entry(Path::new("dev/console"), ModeFileType::Char, 0o600).rdev_major(5).rdev_minor(1),
            Cursor::default(),
        ));
        for (name, content) in &self.files {
            let bytes = match content {
                Content::Host(host) => {
                    fs::read(host).with_context(|| format!("reading {} for the guest", host.display()))?
                }
                Content::Text(text) => text.clone().into_bytes(),
            };
            let entry = entry(Path::new(name), ModeFileType::Regular, 0o755);
            entries.push((entry, Cursor::new(bytes)));
        }
        let write = || -> std::io::Result<()> {
            cpio::write_cpio(entries.into_iter(), BufWriter::new(File::create(path)?))?.flush()
        };
        write().with_context(|| format!("writing the guest's files to {}", path.display()))
    }
}

fn entry(path: &Path, kind: ModeFileType, mode: u32) -> NewcBuilder {
    NewcBuilder::new(&path.to_string_lossy()).mode(mode).set_mode_file_type(kind)
}

/// A program of the host, also outside of a user's PATH.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':')
        .chain(["/usr/bin", "/bin", "/usr/sbin", "/sbin"])
        .map(|dir| Path::new(dir).join(name))
        .find(|file| file.is_file())
}

/// The shared libraries of a program, and its loader, as ldd names them.
fn libraries(program: &Path) -> Result<Vec<String>> {
    let output =
        Command::new("ldd").arg(program).output().with_context(|| format!("running ldd {}", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    // `libz.so.1 => /lib/…/libz.so.1 (0x…)` or `/lib64/ld-linux-x86-64.so.2 (0x…)`
    let paths = text.split_whitespace().filter(|word| word.starts_with('/'));
    Ok(paths.map(str::to_owned).collect())
}

/// The names of the libraries that a program or library of any architecture needs, and of the loader.
fn needed(file: &Path) -> Result<Vec<String>> {
    let output = Command::new("readelf").args(["-W", "-d"]).arg(file).output();
    let output = output.context("running readelf: run `scripts/deps test` (package binutils)")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let names = text.lines().filter(|line| line.contains("(NEEDED)"));
    Ok(names.filter_map(|line| Some(line.split_once('[')?.1.trim_end_matches(']').to_owned())).collect())
}

/// The files that python3 has read when it begins a program, if it is not to look for more.
fn python_modules() -> Result<Vec<String>> {
    const LIST: &str = "import sys; print(*(m.__file__ for m in sys.modules.values() if getattr(m, '__file__', None)))";
    const MISSING: &str = "it is missing: run `scripts/deps test` (package python3-minimal)";
    let output = Command::new(PYTHON).args(["-ISBc", LIST]).output();
    let output = output.with_context(|| format!("running {PYTHON}: {MISSING}"))?;
    ensure!(output.status.success(), "{PYTHON}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).context("python3's modules")?;
    Ok(text.split_whitespace().map(str::to_owned).collect())
}
