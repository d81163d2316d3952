//! The command line program: parse → run → exit code.

use std::io::{self, Write};
use std::process::ExitCode;
use std::thread;

use nix::sys::resource::{Resource, getrlimit};
use nix::sys::signal::SigSet;

use coretrace::{cli::Cli, launch, run};

fn main() -> ExitCode {
    // Where there is little of it (`ulimit -s 64`), not even the options can be read.
    const STACK_MIN: u64 = 512 << 10;
    const STACK: usize = 8 << 20;
    if getrlimit(Resource::RLIMIT_STACK).is_ok_and(|(soft, _)| soft < STACK_MIN)
        && let Ok(thread) = thread::Builder::new().stack_size(STACK).spawn(program)
    {
        // Signals are for the thread that does it all.
        let _ = SigSet::all().thread_block();
        return thread.join().unwrap_or(ExitCode::FAILURE);
    }
    program()
}

fn program() -> ExitCode {
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
