//! Targets about events and their fields. Their arguments may be any bytes.
mod attempts;
mod ends;
mod forks;
mod inside;
mod odd;
pub mod say;
mod threads;
mod times;
mod wrap;

use std::ffi::OsString;

/// Runs the target of that name, or returns false if there is none here.
pub fn run(name: &str, args: &[OsString]) -> bool {
    match name {
        // What a process knows about itself.
        "who" => say::who(),
        "exit" => std::process::exit(say::number(&args[0])),

        // These change something, then become the program that the rest of their arguments names.
        "in-dir" => wrap::in_dir(args),
        "in-deleted-dir" => wrap::in_deleted_dir(args),
        "in-cgroup" => wrap::in_cgroup(args),
        "in-chroot" => wrap::in_chroot(args),
        "in-mounts" => wrap::in_mounts(args),
        "as-user" => wrap::as_user(args),
        "arg0" => wrap::arg0(args),
        "no-args" => wrap::no_args(args),
        "copied" => wrap::copied(args),
        "deleted" => wrap::deleted(args),
        "memfd" => wrap::memfd(args),
        "execveat" => wrap::execveat(args),
        "script" => wrap::script(args),
        "pidns" => inside::pidns(args),
        "on-end-of-input" => inside::on_end_of_input(args),
        "exec-in-thread" => threads::exec_in_thread(args),

        "attempts" => attempts::attempts(args),
        "again" => attempts::again(args),
        "fails" => attempts::fails(),
        "no-exec" => wrap::no_exec(args),
        "named" => odd::named(args),
        "each-cpu" => odd::each_cpu(args),
        "ends" => ends::ends(args),
        "times" => times::times(args),
        "burn" => times::burn(args),
        "memory" => times::memory(args),
        "children" => forks::children(args),
        "threads" => threads::threads(args),
        "watch" => inside::watch(args),
        _ => return false,
    }
    true
}
