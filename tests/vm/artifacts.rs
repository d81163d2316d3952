//! What goes into a guest from this build, and the kernels to boot.
use anyhow::{Context, Result, bail};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// What guests are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Arch {
    #[value(name = "x86_64")]
    X86,
    #[value(name = "aarch64")]
    Arm,
}

impl Arch {
    /// That of this build, whose programs need no other compiler.
    pub const HERE: Self = if cfg!(target_arch = "aarch64") { Arch::Arm } else { Arch::X86 };

    /// As Rust and QEMU call it.
    pub fn name(self) -> &'static str {
        match self {
            Arch::X86 => "x86_64",
            Arch::Arm => "aarch64",
        }
    }
}

/// What another architecture needs: cargo's environment, and where its programs are unpacked.
pub struct Cross {
    environment: Vec<(String, String)>,
    pub root: PathBuf,
}

/// The same, if it is not this build's; missing packages are installed and fetched.
pub fn cross(arch: Arch) -> Result<Option<Cross>> {
    if arch == Arch::HERE {
        return Ok(None);
    }
    let text = printed(Command::new(root().join("scripts/cross")).arg(arch.name()))?;
    let words = shlex::split(&text).context("scripts/cross printed what no shell reads")?;
    let pairs = words.iter().filter_map(|word| word.split_once('='));
    let environment: Vec<_> = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let root = environment.iter().find(|(name, _)| name == "CORETRACE_GUEST");
    let root = PathBuf::from(&root.context("scripts/cross printed no CORETRACE_GUEST")?.1);
    Ok(Some(Cross { environment, root }))
}

/// One kernel to boot.
#[derive(Clone, Debug)]
pub struct Kernel {
    pub arch: Arch,
    /// Major and minor version, as `6.12`; in the smoke run, its origin: `bookworm-6.1-rt-oldest`.
    pub name: String,
    /// The whole release; in the smoke run, the version of its package.
    pub release: String,
    /// Its bootable image.
    pub image: PathBuf,
}

impl Kernel {
    /// The modules of it that tests load, by their files; kernels of the smoke run have none here.
    pub fn modules(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(self.image.with_file_name("modules")).into_iter().flatten().flatten();
        files.map(|file| file.path()).filter(|path| path.file_name().is_some_and(|name| name != "wanted")).collect()
    }
}

/// The programs under test and of the tests.
pub struct Programs {
    pub coretrace: PathBuf,
    pub targets: PathBuf,
    pub tests: PathBuf,
}

/// The directory of the package's sources, in which cargo is run.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Which kernels are selected.
#[derive(Clone, Copy, PartialEq)]
pub enum Choice {
    /// The newest of the four suites that all live tests are run on.
    Matrix,
    /// Oldest and newest of each series and flavour.
    Series,
    /// A few of these.
    FewSeries,
}

/// The kernels with these names (all if none is given), fetched if they are not in the cache.
pub fn kernels(choice: Choice, arch: Arch, names: &[String], refresh: bool) -> Result<Vec<Kernel>> {
    let name = if choice == Choice::Matrix { "tests/vm/kernels" } else { "tests/vm/smoke-kernels" };
    let mut command = Command::new(root().join(name));
    if choice == Choice::Matrix {
        command.args(["--arch", arch.name()]);
    }
    command.args(refresh.then_some("--refresh")).args((choice == Choice::FewSeries).then_some("--few")).args(names);
    let text = printed(&mut command).context("no kernels to boot")?;
    let kernel = |line: &str| {
        let mut words = line.splitn(3, ' ');
        let [name, release, image] = [words.next()?, words.next()?, words.next()?];
        Some(Kernel { arch, name: name.to_owned(), release: release.to_owned(), image: image.into() })
    };
    text.lines().map(|line| kernel(line).with_context(|| format!("{name} printed an unknown line: {line}"))).collect()
}

/// The C library of Debian's newest suite and its loader, by their names.
pub fn newest_libc(arch: Arch) -> Result<[(&'static str, PathBuf); 2]> {
    let text = printed(Command::new(root().join("tests/vm/libc")).arg(arch.name()))
        .context("no C library with static probes")?;
    let dir = Path::new(text.trim_end());
    Ok(["libc.so.6", "ld.so"].map(|name| (name, dir.join(name))))
}

/// What a script prints; its complaints go to ours.
fn printed(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stderr(Stdio::inherit()).output().with_context(|| format!("running {name}"))?;
    if !output.status.success() {
        bail!("{name} failed (see above)");
    }
    String::from_utf8(output.stdout).with_context(|| format!("reading what {name} printed"))
}

/// Builds what the guest runs, unless the environment names it: CORETRACE (another build of the binary),
/// CORETRACE_LIVE_TESTS, CORETRACE_TARGETS.
pub fn programs(cross: Option<&Cross>) -> Result<Programs> {
    let build = |args: &[&str], target| build(args, target, cross.map_or(&[], |cross| &cross.environment));
    let given = |name| env::var_os(name).map(PathBuf::from);
    Ok(Programs {
        coretrace: match given("CORETRACE") {
            Some(path) => path,
            // The one that people get, not the one that was built beside this test.
            None => build(&["build", "--release", "--bin", "coretrace"], "coretrace")?,
        },
        tests: match given("CORETRACE_LIVE_TESTS") {
            Some(path) => path,
            // To optimize the tests takes longer than it saves.
            None => build(&["test", "--profile", "checked", "--test", "kernel", "--no-run"], "kernel")?,
        },
        targets: match given("CORETRACE_TARGETS") {
            Some(path) => path,
            // With its symbols, which probes are put on.
            None => build(&["build", "--profile", "checked", "--example", "targets"], "targets")?,
        },
    })
}

/// Runs cargo; the path of the executable that it built for this target.
fn build(args: &[&str], target: &str, environment: &[(String, String)]) -> Result<PathBuf> {
    let what = format!("cargo {}", args.join(" "));
    let output = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()))
        .args(args)
        .arg("--message-format=json-render-diagnostics")
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .current_dir(root())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("running {what}"))?;
    if !output.status.success() {
        bail!("{what} failed (see above)");
    }
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == target)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .with_context(|| format!("{what} built no executable {target}"))
}
