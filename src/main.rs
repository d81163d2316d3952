//! The command line program: parse → run → exit code.

use std::process::ExitCode;
use std::thread;

use coretrace::cli::Cli;
use coretrace::host::elevated;
use coretrace::report::note;
use coretrace::run::{launch, sentinel};
use coretrace::{describe, exit_code};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::signal::SigSet;

fn main() -> ExitCode {
    // With a small stack (`ulimit -s 64`), not even the options can be parsed.
    const STACK_MIN: u64 = 512 << 10;
    const STACK: usize = 8 << 20;
    if getrlimit(Resource::RLIMIT_STACK).is_ok_and(|(soft, _)| soft < STACK_MIN)
        && let Ok(thread) = thread::Builder::new().stack_size(STACK).spawn(program)
    {
        // Signals are for the thread that does all the work.
        let _ = SigSet::all().thread_block();
        let _ = elevated::keep(&[]);
        return thread.join().unwrap_or(ExitCode::FAILURE);
    }
    program()
}

fn program() -> ExitCode {
    let args: Vec<_> = std::env::args_os().collect();
    let done = match args.as_slice() {
        // CMD must have the rights of its user.
        [_, first, rest @ ..] if first == launch::CHILD && !elevated::is_set_id() => {
            elevated::give_up().map(|()| launch::child(rest))
        }
        [_, first, ..] if first == sentinel::SENTINEL && !elevated::is_set_id() => {
            elevated::give_up().map(|()| sentinel::serve())
        }
        _ => {
            // First, for --help and --version, which are harmless.
            let cli = Cli::read(args);
            elevated::refuse_set_id().and_then(|()| cli.run())
        }
    };
    let code = done.unwrap_or_else(|error| {
        note(&describe(&error));
        exit_code(&error)
    });
    ExitCode::from(code)
}
