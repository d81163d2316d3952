//! Compiles each object with clang, and programs to look into; lists the objects for lib.rs.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    println!("cargo:rerun-if-changed={}", here.display());
    println!("cargo:rerun-if-env-changed=CLANG");
    let clang = env::var_os("CLANG").unwrap_or_else(|| "clang".into());
    let mut names: Vec<String> = fs::read_dir(&here)
        .expect("reading tests/bpf")
        .filter_map(|entry| Some(entry.ok()?.file_name().to_str()?.strip_suffix(".bpf.c")?.to_owned()))
        .collect();
    names.sort_unstable();
    let mut list = String::new();
    for name in &names {
        let (source, object) = (here.join(format!("{name}.bpf.c")), out.join(format!("{name}.bpf.o")));
        let mut command = Command::new(&clang);
        command.args(["-g", "-O2", "-target", "bpf", "-c", "-o"]).arg(&object).arg(&source);
        let status = command.status().unwrap_or_else(|error| panic!("starting clang: {error}"));
        assert!(status.success(), "building {}", source.display());
        list.push_str(&format!("({name:?}, include_bytes!({object:?})),\n"));
    }
    fs::write(out.join("list.rs"), format!("&[\n{list}]")).expect("writing the list");
    binaries(&here.join("binaries"), &out.join("binaries"), clang.to_str().expect("a name in ASCII"));
}

/// The compiler, clang's options, and the tool that copies object files: for the machine that the tests are for.
fn tools() -> (String, Option<String>, String) {
    let arch = env::var("CARGO_CFG_TARGET_ARCH").expect("cargo sets it");
    match env::var("HOST").expect("cargo sets it").starts_with(&arch) {
        true => ("cc".to_owned(), None, "objcopy".to_owned()),
        false => {
            let prefix = format!("{arch}-linux-gnu");
            (format!("{prefix}-gcc"), Some(format!("--target={prefix}")), format!("{prefix}-objcopy"))
        }
    }
}

/// Programs of the tests' machine: `NAME` is what binaries are called in tests.
fn binaries(from: &Path, to: &Path, clang: &str) {
    fs::create_dir_all(to).expect("making a directory");
    let (cc, clang_target, objcopy) = tools();
    let build = |name: &str, compiler: &str, source: &str, options: &str| {
        let (source, program) = (from.join(source), to.join(name));
        let mut command = Command::new(compiler);
        command.args(clang_target.iter().filter(|_| compiler == clang));
        command.args(["-Wl,--build-id=sha1", "-w"]).args(options.split(' ')).arg("-o").arg(&program).arg(&source);
        run(&mut command);
    };
    build("plain", &cc, "functions.c", "-g -gdwarf-5 -O0 -no-pie -fno-pie");
    build("small", &cc, "functions.c", "-g -gdwarf-5 -O2 -pie -fPIE");
    build("older", &cc, "functions.c", "-g -gdwarf-4 -gstrict-dwarf -O2 -pie -fPIE -fdebug-types-section");
    build("clang", clang, "functions.c", "-g -gdwarf-5 -O2 -pie -fPIE");
    build("clang4", clang, "functions.c", "-g -gdwarf-4 -O0 -pie -fPIE");
    build("packed", &cc, "functions.c", "-g -O2 -gz=zlib");
    build("split", &cc, "functions.c", "-g -gsplit-dwarf -O0 -no-pie -fno-pie");
    build("static", &cc, "functions.c", "-O2 -static");
    build("library", &cc, "functions.c", "-g -O2 -shared -fPIC -Wl,-soname,libfunctions.so.1");
    let versions = format!("-O1 -shared -fPIC -Wl,--version-script={}", from.join("versions.map").display());
    build("versions", &cc, "versions.c", &versions);
    build("methods", clang, "methods.cpp", "-x c++ -g -O1 -fno-rtti");
    // (This leaves out how classes are passed, as GCC does.)
    build("methods-strict", clang, "methods.cpp", "-x c++ -g -gdwarf-4 -gstrict-dwarf -O0 -fno-rtti -fno-exceptions");
    build("passed", &cc, "passed.c", "-g -O0");
    build("passed-small", &cc, "passed.c", "-g -O2");
    build("passed-clang", clang, "passed.c", "-g -O1");
    build("marks", &cc, "marks.c", "-O2 -pie -fPIE");
    build("marks-fixed", &cc, "marks.c", "-O0 -no-pie -fno-pie");
    build("stacks", &cc, "stacks.c", "-O1");
    build("starts", &cc, "starts.c", "-O2");
    // As distributions take debug information out of a program.
    let tool = |options: &[&str]| run(Command::new(&objcopy).args(options).current_dir(to));
    tool(&["--only-keep-debug", "small", "small.debug"]);
    tool(&["--strip-all", "--add-gnu-debuglink=small.debug", "small", "stripped"]);
    tool(&["--strip-all", "--remove-section=.note.gnu.build-id", "--add-gnu-debuglink=small.debug", "small", "linked"]);
}

fn run(command: &mut Command) {
    let status = command.status().unwrap_or_else(|error| panic!("starting {command:?}: {error}"));
    assert!(status.success(), "{command:?}");
}
