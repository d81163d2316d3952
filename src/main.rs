//! The command line program: parse → run → exit code.

use std::io::Write;
use std::process::ExitCode;

use coretrace::{cli::Cli, launch, run, sentinel, sink::Notes};

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().collect();
    if let [_, first, rest @ ..] = args.as_slice()
        && first == launch::CHILD
    {
        return ExitCode::from(launch::child(rest));
    }
    if args.get(1).is_some_and(|first| first == sentinel::SENTINEL) {
        return ExitCode::from(sentinel::stand());
    }
    match run::run(&Cli::read(args)) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            // Not eprintln: a closed stderr is no reason to panic.
            let _ = Notes.write_all(format!("coretrace: {}\n", run::describe(&error)).as_bytes());
            ExitCode::from(run::failure_code(&error))
        }
    }
}
