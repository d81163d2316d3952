//! The programs that the live tests trace, in one file: `targets NAME ARGS…`.

mod events;

use std::ffi::OsString;

fn main() {
    let mut args = std::env::args_os().skip(1);
    let name = args.next().unwrap_or_default();
    let args: Vec<OsString> = args.collect();
    if !events::run(name.to_str().unwrap_or_default(), &args) {
        eprintln!("targets: no such program: {name:?}");
        std::process::exit(64);
    }
}
