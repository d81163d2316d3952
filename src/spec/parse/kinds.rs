//! The kinds of probes, what there is to say where one is missing, and a right spec of each.

use super::lex::Cursor;
use crate::spec::ast::{How, Word};
use crate::spec::error::{Fault, nearest, quoted};

/// Whose specs: the subcommand's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grammar {
    /// `KIND:TARGET`
    Probe,
    /// `BINARY:FUNCTION`, `BINARY:0xOFFSET`, `BINARY:FILE:LINE`
    Uprobe,
    /// `BINARY:[PROVIDER:]NAME`
    Usdt,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Function(How),
    Tracepoint,
    RawTracepoint,
    TypedTracepoint,
    Syscall,
}

/// The word, what it means, an example.
const KINDS: [(&str, Kind, &str); 11] = [
    ("fn", Kind::Function(How::Any), FUNCTION),
    ("kprobe", Kind::Function(How::Kprobe), "kprobe:do_exit(code)"),
    ("kretprobe", Kind::Function(How::Kretprobe), "kretprobe:vfs_read(ret) if ret < 0"),
    ("fentry", Kind::Function(How::Fentry), "fentry:vfs_unlink(dentry->d_name.name:str)"),
    ("fexit", Kind::Function(How::Fexit), "fexit:vfs_read(count, ret) if ret == -EINTR"),
    ("tracepoint", Kind::Tracepoint, "tracepoint:sched:sched_switch(prev_comm, next_comm)"),
    ("tp", Kind::Tracepoint, "tp:sched:sched_switch(prev_comm, next_comm)"),
    ("raw_tracepoint", Kind::RawTracepoint, "raw_tracepoint:sched_switch(arg1, arg2)"),
    ("raw_tp", Kind::RawTracepoint, "raw_tp:sched_switch(arg1, arg2)"),
    ("tp_btf", Kind::TypedTracepoint, "tp_btf:sched_process_fork(parent->pid, child->pid)"),
    ("ksyscall", Kind::Syscall, "ksyscall:openat(filename:str, flags:o) if flags & 0o100"),
];
const FUNCTION: &str = "fn:vfs_write(len=count, buf:bytes[16]) if count > 4k";
const ALL: &str = "fn, kprobe, kretprobe, fentry, fexit, tracepoint (tp), raw_tracepoint (raw_tp), tp_btf and ksyscall";

/// What other programs call them.
const ELSEWHERE: [(&str, &str); 5] =
    [("kfunc", "fentry"), ("kretfunc", "fexit"), ("func", "fn"), ("function", "fn"), ("rawtracepoint", "raw_tp")];

/// A name or a kind: what stands between colons.
pub(super) fn is_segment(c: char) -> bool {
    !matches!(c, ':' | '(') && !c.is_ascii_whitespace()
}

/// A right spec, of the same kind where the text has one.
pub(super) fn example(text: &str, grammar: Grammar) -> &'static str {
    let word = Cursor::new(text).word(is_segment);
    match grammar {
        Grammar::Probe => KINDS.iter().find(|(kind, ..)| *kind == word.text).map_or(FUNCTION, |(.., example)| example),
        Grammar::Uprobe => "libc:malloc(size) if size >= 1M",
        Grammar::Usdt => "libc:libc:memory_sbrk_more(arg0:ptr, arg1:u64)",
    }
}

/// `KIND:`
pub(super) fn kind(c: &mut Cursor<'_>) -> Result<Kind, Fault> {
    let begin = *c;
    let word = c.word(is_segment);
    if !c.eat(":") {
        return Err(no_kind(&begin, word));
    }
    let known = KINDS.iter().find(|(kind, ..)| *kind == word.text).map(|(_, kind, _)| *kind);
    known.ok_or_else(|| unknown_kind(c, &word))
}

/// There is no colon, so that this is what has the kind missing before it.
fn no_kind(begin: &Cursor<'_>, word: Word) -> Fault {
    let why = match word.text.as_str() {
        "" => format!("a kind of probe is missing here: KIND:TARGET; there are {ALL}"),
        name if KINDS.iter().any(|(kind, ..)| *kind == name) => {
            format!("what is to be probed is missing: {name}:TARGET")
        }
        name => {
            format!("the kind of probe is missing before {}: of a function it is 'fn:'; there are {ALL}", quoted(name))
        }
    };
    let meant = Some(format!("fn:{}", begin.ahead()));
    Fault { message: why, span: word.span, meant }
}

fn unknown_kind(c: &Cursor<'_>, word: &Word) -> Fault {
    let name = word.text.as_str();
    let elsewhere = ELSEWHERE.iter().find(|(other, _)| *other == name).map(|(_, kind)| *kind);
    let near = elsewhere.or_else(|| nearest(name, KINDS.iter().map(|(kind, ..)| *kind)));
    let why = match (name, near) {
        ("uprobe" | "uretprobe" | "usdt", _) => {
            "programs and libraries have subcommands of their own: coretrace uprobe, coretrace usdt".to_owned()
        }
        ("", _) => format!("a kind of probe is missing here; there are {ALL}"),
        (_, Some(near)) => format!("{} is no kind of probe; did you mean '{near}'?", quoted(name)),
        _ => format!("{} is no kind of probe; there are {ALL}", quoted(name)),
    };
    let meant = near.map(|near| format!("{near}:{}", c.ahead()));
    Fault { message: why, span: word.span.clone(), meant }
}
