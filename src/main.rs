//! The command line program: parse → run → exit code.

use std::io::{self, Write};
use std::process::ExitCode;

use coretrace::{cli::Cli, launch, run};

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().collect();
    if let [_, first, rest @ ..] = args.as_slice()
        && first == launch::CHILD
    {
        return ExitCode::from(launch::child(rest));
    }
    match run::run(&Cli::read(args)) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            // Not eprintln: a closed stderr is no reason to panic.
            let _ = writeln!(io::stderr(), "coretrace: {}", run::describe(&error));
            ExitCode::from(run::failure_code(&error))
        }
    }
}
