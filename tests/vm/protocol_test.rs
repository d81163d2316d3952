//! Tests of the parser of guest output: it decides what passed, so it must not be fooled.
#[allow(dead_code)] // the VM test uses all of it
mod protocol;

use protocol::{News, Outcome, Protocol};

/// The news in a guest's whole output.
fn read(text: &str) -> (Protocol, Vec<News>) {
    let mut protocol = Protocol::default();
    let news = text.lines().filter_map(|l| protocol.line(l, true)).collect();
    (protocol, news)
}

fn passed(name: &str) -> News {
    News::Test(name.to_owned(), Outcome::Passed)
}

fn skipped(name: &str, why: &str) -> News {
    News::Test(name.to_owned(), Outcome::Skipped(why.to_owned()))
}

fn failed(name: &str) -> News {
    News::Test(name.to_owned(), Outcome::Failed("see its output".to_owned()))
}

#[test]
fn markers_frame_a_run() {
    let (protocol, news) = read("@VM START 6.12.1\nrunning 1 test\ntest a::b ... ok\n@VM END 0\n");
    assert_eq!(protocol.announced, 1);
    assert_eq!(news, [News::Started, passed("a::b"), News::Ended(0)]);
}

#[test]
fn an_end_without_a_code_is_not_success() {
    assert_eq!(read("@VM END \n@VM END x\n").1, [News::Ended(-1), News::Ended(-1)]);
}

#[test]
fn a_program_that_ends_inside_a_test_leaves_that_test_current() {
    let (protocol, news) = read("test a ... @VM END 0\n");
    assert_eq!(news, [News::Ended(0)]);
    assert_eq!(protocol.current.as_deref(), Some("a"));
}

#[test]
fn a_skip_between_name_and_result_counts_as_skipped() {
    let (_, news) = read("test a ... SKIP a: no conntrack: not built\nok\ntest b ... ok\n");
    assert_eq!(news, [skipped("a", "no conntrack: not built"), passed("b")]);
}

#[test]
fn a_test_that_says_skip_and_then_fails_has_failed() {
    assert_eq!(read("test a ... SKIP a: why\nFAILED\n").1, [failed("a")]);
}

#[test]
fn ignored_and_should_panic_are_known() {
    let (_, news) = read("test a ... ignored\ntest b ... ignored, slow\ntest c - should panic ... ok\n");
    assert_eq!(news, [skipped("a", "ignored"), skipped("b", "slow"), passed("c")]);
}

#[test]
fn words_of_a_test_are_no_result() {
    let (protocol, news) = read("test a ... it is\nok then\nnot FAILED\n");
    assert_eq!(news, []);
    assert_eq!(protocol.current.as_deref(), Some("a"));
}

#[test]
fn a_name_without_its_line_end_shows_what_runs() {
    let mut protocol = Protocol::default();
    assert_eq!(protocol.line("test a ... ", false), None);
    assert_eq!(protocol.current.as_deref(), Some("a"));
}

#[test]
fn the_report_of_failures_is_kept_once() {
    let (protocol, _) = read(
        "test a ... FAILED\n\nfailures:\n\n---- a stdout ----\npanicked\n\nfailures:\n    a\n\n\
         test result: FAILED.\n",
    );
    assert_eq!(protocol.failures.join("\n").trim(), "---- a stdout ----\npanicked");
}
