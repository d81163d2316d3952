//! Malicious files: every command ends with them within seconds, in little memory, with a regular exit code. Needs
//! neither root nor any kernel.

use std::fs;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Limits of CPU time and memory (address space) of a command. The tests run in parallel, and unoptimized.
const SECONDS: u32 = 15;
const KILOBYTES: u32 = 500 << 10;

/// A command's messages and its exit code: it ended by itself, within the limits.
fn limited(args: &[&str]) -> (i32, String) {
    let limits = format!("ulimit -c 0; ulimit -v {KILOBYTES}; ulimit -t {SECONDS}; exec \"$0\" \"$@\"");
    let mut command = Command::new("sh");
    command.args(["-c", &limits, env!("CARGO_BIN_EXE_coretrace")]).args(args).env_remove("CORETRACE_BTF");
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("sh starts");
    let read = |mut from: Box<dyn Read + Send>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            from.read_to_end(&mut bytes).unwrap();
            String::from_utf8_lossy(&bytes).into_owned()
        })
    };
    let (out, err) = (read(Box::new(child.stdout.take().unwrap())), read(Box::new(child.stderr.take().unwrap())));
    let status = child.wait().unwrap();
    let printed = out.join().unwrap() + &err.join().unwrap();
    let short: String = printed.chars().take(500).collect();
    assert_eq!(status.signal(), None, "{args:?}: {short}");
    let code = status.code().unwrap();
    assert!([0, 1].contains(&code), "{args:?}: {code}: {short}");
    (code, printed)
}

/// A directory that is removed after the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(test: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("coretrace-hostile-{test}-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Scratch(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    fn file(&self, name: &str, content: &[u8]) -> String {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Every command that reads types, on this file; their messages, and whether one of them accepted it.
fn all_of_types(scratch: &Scratch, file: &str, name: &str) -> String {
    let out = scratch.path("out");
    let commands: [&[&str]; 8] = [
        &["check", "--kernel", file],
        &["btf", "show", name, "--btf", file],
        &["btf", "show", name, "--btf", file, "-o", "json"],
        &["btf", "dump", "--btf", file],
        &["btf", "diff", file, file, name],
        &["btf", "min", &out, file],
        &["btf", "embed", &out, file],
        &["relocs", "--btf", file],
    ];
    commands.iter().map(|args| limited(args).1).collect()
}

/// Type information being built.
#[derive(Default)]
struct Btf {
    types: Vec<u8>,
    strings: Vec<u8>,
    count: u32,
}

impl Btf {
    fn new() -> Self {
        Btf { strings: vec![0], ..Btf::default() }
    }

    fn name(&mut self, text: &[u8]) -> u32 {
        let at = u32::try_from(self.strings.len()).unwrap();
        self.strings.extend(text);
        self.strings.push(0);
        at
    }

    /// Adds a type: name, kind, rows, size or type, what follows. Returns its number.
    fn add(&mut self, name: u32, kind: u32, rows: u32, size: u32, more: &[u32]) -> u32 {
        self.types.extend([name, kind << 24 | rows, size].iter().chain(more).flat_map(|n| n.to_ne_bytes()));
        self.count += 1;
        self.count
    }

    fn int(&mut self) -> u32 {
        let name = self.name(b"int");
        self.add(name, 1, 0, 4, &[0x0100_0020])
    }

    fn bytes(&self) -> Vec<u8> {
        let [types, strings] = [&self.types, &self.strings].map(|part| u32::try_from(part.len()).unwrap());
        let header: Vec<u8> = [24, 0, types, types, strings].iter().flat_map(|n: &u32| n.to_ne_bytes()).collect();
        [&0xeb9f_u16.to_ne_bytes()[..], &[1, 0], &header, &self.types, &self.strings].concat()
    }
}

/// An ELF file: its section names, and its sections as name, place, size.
fn elf(machine: u16, body: &[u8], sections: &[(u32, u64, u64)], names: usize) -> Vec<u8> {
    let mut bytes = vec![0; 64];
    let order = if cfg!(target_endian = "little") { 1 } else { 2 };
    bytes[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, order, 1]);
    bytes.extend(body);
    let at = bytes.len() as u64;
    for (name, at, size) in [(0, 0, 0)].iter().chain(sections) {
        let mut row = [0; 64];
        row[..4].copy_from_slice(&name.to_ne_bytes());
        row[4..8].copy_from_slice(&1_u32.to_ne_bytes());
        row[24..32].copy_from_slice(&at.to_ne_bytes());
        row[32..40].copy_from_slice(&size.to_ne_bytes());
        bytes.extend(row);
    }
    bytes[40..48].copy_from_slice(&at.to_ne_bytes());
    let count = u16::try_from(sections.len() + 1).unwrap();
    for (field, value) in [(18, machine), (58, 64), (60, count), (62, u16::try_from(names).unwrap())] {
        bytes[field..field + 2].copy_from_slice(&value.to_ne_bytes());
    }
    bytes
}

/// The same of sections with contents.
fn elf_of(machine: u16, sections: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut body, mut names, mut rows) = (Vec::new(), vec![0], Vec::new());
    for (name, content) in sections {
        rows.push((u32::try_from(names.len()).unwrap(), 64 + body.len() as u64, content.len() as u64));
        names.extend(name.bytes().chain([0]));
        body.extend(*content);
    }
    rows.push((0, 64 + body.len() as u64, names.len() as u64));
    body.extend(&names);
    elf(machine, &body, &rows, rows.len())
}

const MACHINE: u16 = if cfg!(target_arch = "x86_64") { 62 } else { 183 };

#[test]
fn what_was_found_does_no_harm() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let scratch = Scratch::new("corpus");
    for entry in fs::read_dir(corpus).unwrap() {
        let path = entry.unwrap().path();
        let file = path.to_str().unwrap();
        let names: &[&str] = if file.ends_with(".tar") { &["v"] } else { &["v", "f", "task_struct"] };
        for name in names {
            all_of_types(&scratch, file, name);
        }
        limited(&["relocs", "--object", file, "--btf", file]);
        limited(&["replay", file]);
    }
    let printed = |name: &str, args: &[&str]| {
        let file = format!("{}/tests/corpus/{name}", env!("CARGO_MANIFEST_DIR"));
        limited(&[args, &[&file]].concat())
    };
    assert!(
        printed("rettype.btf", &["btf", "dump", "--btf"]).1.contains("is damaged: its types contradict each other")
    );
    assert_eq!(
        printed("align.btf", &["btf", "show", "v", "--btf"]).0,
        0,
        "libbpf does not look into what is pointed to"
    );
    assert!(printed("bomb.tar", &["check", "--kernel"]).1.contains("takes more memory than any kernel does"));
}

#[test]
fn types_without_an_end_are_refused_in_a_run() {
    let scratch = Scratch::new("endless");
    let mut btf = Btf::new();
    let int = btf.int();
    let loops = btf.name(b"loop");
    btf.add(loops, 8, 0, int + 2, &[]);
    btf.add(loops, 8, 0, int + 1, &[]);
    let (task, member) = (btf.name(b"task_struct"), btf.name(b"exit_code"));
    btf.add(task, 4, 1, 4, &[member, int + 1, 0]);
    let file = scratch.file("endless.btf", &btf.bytes());
    for tracer in ["proc", "exec", "open"] {
        let (code, printed) = limited(&[tracer, "-n", "nobody-has-this", "-d", "0.1", "--btf", &file]);
        assert!(code == 1 && printed.contains("contradict each other"), "{printed}");
    }
    assert!(all_of_types(&scratch, &file, "loop").contains("contradict each other"));
}

#[test]
fn long_names_cost_nothing() {
    let scratch = Scratch::new("names");
    let mut btf = Btf::new();
    btf.int();
    let shared = btf.name(&vec![b'n'; 1_000_000]);
    for _ in 0..100_000 {
        btf.add(shared, 4, 0, 4, &[]);
    }
    let printed = all_of_types(&scratch, &scratch.file("types", &btf.bytes()), "n");
    assert!(printed.contains("longer names than any kernel's"), "{printed}");
    // Of members, within the limit.
    for length in [65536, 1000] {
        let mut btf = Btf::new();
        let (int, victim, shared) = (btf.int(), btf.name(b"victim"), btf.name(&vec![b'm'; length]));
        let rows: Vec<u32> = (0..60_000).flat_map(|n| [shared, int, 32 * n]).collect();
        btf.add(victim, 4, 60_000, 240_000, &rows);
        let printed = all_of_types(&scratch, &scratch.file("members", &btf.bytes()), "victim");
        assert!(printed.contains("contradict each other"), "{printed}");
    }
    // Of sections.
    let names = [&[0][..], &vec![b'n'; 1 << 20], &[0]].concat();
    let sections: Vec<_> = [(0, 64, names.len() as u64)].into_iter().chain((0..65_000).map(|_| (1, 0, 8))).collect();
    let file = scratch.file("sections", &elf(MACHINE, &names, &sections, 1));
    assert!(all_of_types(&scratch, &file, "n").contains("without a .BTF section"));
    limited(&["relocs", "--object", &file, "--btf", &file]);
}

#[test]
fn a_million_candidates_cost_nothing() {
    let scratch = Scratch::new("candidates");
    let mut btf = Btf::new();
    let (int, task, pid) = (btf.int(), btf.name(b"task_struct"), btf.name(b"pid"));
    for _ in 0..1_000_000 {
        btf.add(task, 4, 1, 4, &[pid, int, 0]);
    }
    let printed = all_of_types(&scratch, &scratch.file("types", &btf.bytes()), "task_struct");
    assert!(printed.contains("have the same name than any kernel's"), "{printed}");
    // As many types as allowed, each with another name, nested; or with holes to fill.
    let mut btf = Btf::new();
    let int = btf.int();
    for n in 0..1_000_000_u32 {
        let name = btf.name(format!("t{n:x}").as_bytes());
        let inner = if n % 300 == 0 { int } else { btf.count };
        btf.add(name, 4, 1, 4, &[name, inner, 0]);
    }
    all_of_types(&scratch, &scratch.file("types", &btf.bytes()), "t1");
    let mut btf = Btf::new();
    let int = btf.int();
    for n in 0..500_000_u32 {
        let name = btf.name(format!("t{n:x}").as_bytes());
        btf.add(name, 4, 1, 1 << 20, &[name, int, 4 << 20]);
    }
    all_of_types(&scratch, &scratch.file("types", &btf.bytes()), "t1");
}

#[test]
fn functions_do_not_each_take_their_section() {
    let scratch = Scratch::new("functions");
    let mut btf = Btf::new();
    let int = btf.int();
    let (f, a, b) = (btf.name(b"f"), btf.name(b"A"), btf.name(b"B"));
    let proto = btf.add(0, 13, 0, int, &[]);
    let f = btf.add(f, 12, 0, proto, &[]);
    let words = |words: &[u32]| words.iter().flat_map(|n| n.to_ne_bytes()).collect::<Vec<_>>();
    let func: Vec<u32> = (0..20_000).flat_map(|n| [if n % 2 == 0 { b } else { a }, 1, 0, f]).collect();
    let func = words(&[&[8][..], &func].concat());
    let length = u32::try_from(func.len()).unwrap();
    let header = words(&[32, 0, length, length, 4, length + 4, 4]);
    let ext = [&0xeb9f_u16.to_ne_bytes()[..], &[1, 0], &header, &func, &words(&[16]), &words(&[16])].concat();
    let code: Vec<u8> =
        (0..1 << 17).flat_map(|n| [if n + 1 == 1 << 17 { 0x95 } else { 0xb7 }, 0, 0, 0, 0, 0, 0, 0]).collect();
    let object = elf_of(247, &[(".BTF", &btf.bytes()), (".BTF.ext", &ext), ("A", &code), ("B", &code)]);
    let (object, types) = (scratch.file("functions.o", &object), scratch.file("types", &btf.bytes()));
    let (code, printed) = limited(&["relocs", "--object", &object, "--btf", &types]);
    assert!(code == 1 && printed.contains(".BTF.ext is damaged"), "{printed}");
}

#[test]
fn devices_are_not_read_to_their_end() {
    let kernel = test_objects::path("kernel");
    for args in [
        &["relocs", "--object", "/dev/zero", "--btf", kernel.to_str().unwrap()][..],
        &["check", "--kernel", "/dev/zero"],
        &["btf", "show", "x", "--btf", "/dev/zero"],
        &["replay", "/dev/zero"],
    ] {
        assert_eq!(limited(args).0, 1, "{args:?}");
    }
}

#[test]
fn a_zone_without_an_end_is_not_read() {
    let recording = format!("{}/tests/samples/proc.rec", env!("CARGO_MANIFEST_DIR"));
    let replay = |zone: &str| {
        let limits = format!("ulimit -v {KILOBYTES}; ulimit -t {SECONDS}; TZ={zone} exec \"$0\" replay \"$1\"");
        let output = Command::new("sh").args(["-c", &limits, env!("CARGO_BIN_EXE_coretrace"), &recording]).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{zone}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    assert_eq!(replay("/dev/zero"), replay("UTC"));
}

#[test]
fn little_stack_is_enough() {
    for args in ["--version", "schema", "check", "proc -q -d 0.1 -n nobody-has-this --btf /no/such/file"] {
        let line = format!("ulimit -c 0; ulimit -s 64; exec \"$0\" {args}");
        let status = Command::new("sh").args(["-c", &line, env!("CARGO_BIN_EXE_coretrace")]).output().unwrap().status;
        assert!(status.code().is_some_and(|code| code < 2), "{args}: {status:?}");
    }
}

/// The value of `RUST_BACKTRACE` makes no difference: there may be many damaged samples.
#[test]
fn damaged_recordings_are_read_as_fast_with_backtraces() {
    let scratch = Scratch::new("backtrace");
    let sample = fs::read(format!("{}/tests/samples/proc.rec", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let damaged: Vec<u8> = [1_u8].into_iter().chain(4_u32.to_le_bytes()).chain([0; 4]).collect();
    // After the header, which ends where the first entry begins.
    let file = scratch.file("recording", &[&sample[..sample.len()], &damaged.repeat(100_000)].concat());
    let output =
        Command::new(env!("CARGO_BIN_EXE_coretrace")).args(["replay", &file]).env("RUST_BACKTRACE", "1").output();
    let printed = String::from_utf8_lossy(&output.unwrap().stderr).into_owned();
    assert!(!printed.contains("backtrace") && !printed.contains(".rs:"), "{printed}");
}
