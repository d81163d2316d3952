//! The command line program: parse → run → exit code.

use std::process::ExitCode;

use coretrace::{cli::Cli, kernel::elevated, launch, run, sentinel};

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().collect();
    let done = match args.as_slice() {
        // CMD is to have the rights that its user has.
        [_, first, rest @ ..] if first == launch::CHILD && !elevated::is_set_id() => {
            elevated::give_up().map(|()| launch::child(rest))
        }
        [_, first, ..] if first == sentinel::SENTINEL && !elevated::is_set_id() => {
            elevated::give_up().map(|()| sentinel::stand())
        }
        _ => {
            // First, for --help and --version, which do no harm.
            let cli = Cli::read(args);
            elevated::refuse_set_id().and_then(|()| run::run(&cli))
        }
    };
    let code = done.unwrap_or_else(|error| {
        run::note(&run::describe(&error));
        run::failure_code(&error)
    });
    ExitCode::from(code)
}
