//! The programs that the live tests trace, in one file: `targets NAME ARGS…`.

mod calls;
mod events;
mod identity;
mod kin;
mod net;
mod obey;
mod opens;
mod report;
mod storm;
mod sys;
mod umark;
mod uring;

fn main() {
    let mut args = std::env::args_os().skip(1);
    let name = args.next().unwrap_or_default();
    // For the tests of events and their fields, whose arguments may be any bytes.
    let rest = args.collect::<Vec<_>>();
    match name.to_str().unwrap_or_default() {
        "opens" => return opens::opens(&rest),
        "open-storm" => return opens::storm(&rest[0], events::say::number(&rest[1])),
        "uring" => return uring::uring(&rest),
        name if events::run(name, &rest) => return,
        _ => {}
    }
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        // For the tests of how a run behaves.
        ["as", about, command @ ..] => identity::run_as(about, command),
        ["calls", threads, n] => calls::calls(number(threads), number(n)),
        ["epolls", depth] => calls::epolls(number(depth)),
        ["naps", threads, ms] => calls::naps(number(threads), number(ms)),
        ["burst", n] => kin::burst(number(n)),
        ["daemon"] => kin::daemon(),
        ["exit", code] => std::process::exit(number(code) as i32),
        ["family"] => kin::family(),
        ["forks", n] => kin::forks(number(n)),
        ["kill", signal] => sys::kill_self(number(signal) as i32),
        ["mounts", about, command @ ..] => identity::with_mounts(about, command),
        ["nest"] => kin::nest(),
        ["on-last-cpu", command @ ..] => identity::on_last_cpu(command),
        ["obey"] => obey::obey(),
        ["self"] => report::about_self(),
        ["setcap", caps, file] => identity::setcap(caps, file),
        ["signals", n] => report::signals(number(n)),
        ["relay", n] => kin::relay(number(n)),
        ["storm"] => kin::storm(),
        // For the tests of conn.
        ["net", "serve-tcp", at, count] => net::serve_tcp(at, number(count)),
        ["net", "storm-tcp", to, count] => net::storm_tcp(to, number(count)),
        ["net", "ask-tcp", to, bytes] => net::ask_tcp(to, number(bytes)),
        ["net", "hold-tcp", to] => net::hold_tcp(to),
        ["net", "serve-udp", at, count] => net::serve_udp(at, number(count)),
        ["net", "poll-udp", at, count] => net::poll_udp(at, number(count)),
        ["net", "ask-udp", to, count] => net::ask_udp(to, number(count)),
        ["net", "send-receive", at, to] => net::send_receive(at, to),
        ["net", "send-udp", to] => net::send_udp(to),
        ["net", "serve-sctp", at] => net::serve_sctp(at),
        ["net", "ask-sctp", to] => net::ask_sctp(to),
        ["net", "send-gre", to] => net::send_gre(to),
        ["net", "refused", to] => net::refused(to),
        ["net", "hand", to] => net::hand(to, true),
        ["net", "inherit", to] => net::hand(to, false),
        // For the tests of uprobe and usdt.
        ["umark", rounds] => umark::calls(number(rounds)),
        ["umark-forms", rounds] => umark::all_forms(number(rounds)),
        ["umark-absent"] => umark::absent(),
        ["umark-compiled"] => umark::compiled(),
        ["umark-recursion", depth] => umark::recursion(number(depth)),
        ["umark-threads", count, rounds] => umark::threads(number(count), number(rounds)),
        // For the benchmarks.
        ["storm-ask", n] => storm::storm(storm::Turn::Asks, number(n)),
        ["storm-call", n] => storm::storm(storm::Turn::Calls, number(n)),
        ["storm-connect", n] => storm::storm(storm::Turn::Connects, number(n)),
        ["storm-send", n] => storm::storm(storm::Turn::Sends, number(n)),
        ["storm-exec", n] => storm::storm(storm::Turn::Execs, number(n)),
        ["storm-fail", n] => storm::storm(storm::Turn::Fails, number(n)),
        ["storm-fork", n] => storm::storm(storm::Turn::Ends, number(n)),
        ["storm-mark", n] => storm::storm(storm::Turn::Marks, number(n)),
        ["storm-open", n] => storm::storm(storm::Turn::Opens, number(n)),
        ["tty", command @ ..] => identity::on_terminal(command),
        other => panic!("no such target: {other:?}"),
    }
}

fn number(text: &str) -> u32 {
    text.parse().unwrap_or_else(|_| panic!("not a number: {text}"))
}
