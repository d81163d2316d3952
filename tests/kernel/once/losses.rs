//! Losses in text, and `--strict` without any.

use crate::host::text;
use crate::losses::{TRANSPORTS, starve};
use crate::support::{Trace, targets};

#[test]
fn in_text_losses_are_lines_on_standard_error_even_if_quiet() {
    for transport in TRANSPORTS {
        let (mut trace, mut peer) = starve(&["-q", "--transport", transport]);
        trace.note("a loss", |line| line.starts_with("-- lost "));
        peer.send("exit 0");
        let ended = trace.output();
        assert_eq!(ended.status.code(), Some(0), "without --strict: {:#?}", ended.stderr);
        let number = |line: &str| line.split_whitespace().nth(2).and_then(|n| n.parse::<usize>().ok()).unwrap();
        let (losses, rest): (Vec<_>, Vec<_>) = ended.stderr.iter().partition(|line| line.starts_with("-- lost "));
        assert!(losses.iter().all(|line| line.ends_with(": buffer_full")), "{losses:#?}");
        let notes = ["attached to", "not used", "processes are followed by", "capabilities are given up"];
        assert!(rest.iter().all(|line| notes.iter().any(|word| line.contains(word))), "{rest:#?}");
        let lost: usize = losses.iter().map(|line| number(line)).sum();
        // A header, 1000 forks and exits, the last exit.
        assert_eq!(ended.stdout.len() + lost, 1 + 2000 + 1, "{transport}");
    }
}

#[test]
fn strict_without_losses_is_the_commands_code() {
    let targets = targets();
    let ended = Trace::proc(["--strict", "--", text(&targets), "exit", "42"]).end();
    assert_eq!((ended.status.code(), ended.totals().dropped), (Some(42), 0));
}
