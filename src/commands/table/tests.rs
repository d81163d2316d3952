//! The table: verdicts, advice and layout.

use super::*;
use crate::fake::Tree;
use crate::host::caps::{BPF, Caps, PERFMON};
use crate::types::btf::{Wanted, find};

/// A row, and what spoils it.
type Spoil = (&'static str, fn(&Tree));

fn table(host: &Host, ring: Option<bool>) -> Table {
    Table(rows(host, find(Wanted::default(), host).as_ref(), ring))
}

fn row<'a>(table: &'a Table, name: &str) -> &'a Row {
    table.0.iter().find(|row| row.name == name).unwrap()
}

fn text(table: &Table, utf8: bool) -> String {
    let mut out = Vec::new();
    table.write_with(&mut out, utf8).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_good_host_has_no_fault() {
    let table = table(&Tree::debian().host(), Some(true));
    assert!(table.works());
    assert!(table.0.iter().all(|row| row.verdict != Verdict::Fallback && row.hint.is_none()), "{table:?}");
}

#[test]
fn each_fault_spoils_it_and_says_what_to_do() {
    let spoil: [Spoil; 5] = [
        ("kernel", |tree| tree.file("proc/sys/kernel/osrelease", "4.4.0")),
        ("type information", |tree| tree.remove("sys/kernel/btf/vmlinux")),
        ("capabilities", |tree| tree.status("1000", "0", "0")),
        ("capabilities", |tree| tree.link("proc/self/ns/user", "user:[1]")),
        ("lockdown", |tree| tree.file("sys/kernel/security/lockdown", "none integrity [confidentiality]")),
    ];
    for (name, change) in spoil {
        let tree = Tree::debian();
        change(&tree);
        let table = table(&tree.host(), Some(true));
        assert!(!table.works(), "{name}");
        let row = row(&table, name);
        assert!(row.verdict == Verdict::No && row.hint.is_some(), "{row:?}");
    }
}

#[test]
fn what_has_a_substitute_is_no_fault() {
    let spoil: [Spoil; 5] = [
        ("kernel", |tree| tree.file("proc/sys/kernel/osrelease", "5.4.0")),
        ("tracefs", |tree| tree.file("proc/self/mountinfo", "")),
        ("tracefs", |tree| tree.remove("sys/kernel/tracing")),
        ("PID namespace", |tree| tree.link("proc/self/ns/pid", "pid:[7]")),
        ("cgroup v2", |tree| tree.remove("proc/self/mountinfo")),
    ];
    for (name, change) in spoil {
        let tree = Tree::debian();
        change(&tree);
        if name == "tracefs" {
            tree.dir("sys/kernel/tracing");
            let _ = std::fs::remove_dir(tree.path("sys/kernel/tracing/events"));
        }
        let table = table(&tree.host(), Some(false));
        assert!(table.works(), "{name}");
        assert_eq!(row(&table, name).verdict, Verdict::Fallback, "{name}");
        assert_eq!(row(&table, "ring buffer").verdict, Verdict::Fallback);
    }
}

#[test]
fn few_capabilities_are_enough_but_not_for_all() {
    let mut host = Tree::debian().host();
    host.caps = Caps::of(&[BPF, PERFMON]);
    let table = table(&host, None);
    assert!(table.works());
    let capabilities = row(&table, "capabilities");
    assert!(capabilities.value.starts_with("cap_bpf, cap_perfmon; no cap_dac_read_search"), "{capabilities:?}");
    assert!(row(&table, "perf_event_paranoid").value.starts_with("3: "));
    assert_eq!(row(&table, "ring buffer").verdict, Verdict::Info);
}

#[test]
fn memlock_is_a_fault_only_before_5_11() {
    let tree = Tree::debian();
    let mut host = tree.host();
    (host.memlock, host.caps) = (65536, Caps::of(&[BPF, PERFMON]));
    assert_eq!(row(&table(&host, None), "locked memory").verdict, Verdict::Yes);
    host.version = (5, 10);
    let table = table(&host, None);
    assert_eq!(row(&table, "locked memory").value, "limit of 64 KiB: this kernel counts BPF memory against it");
    assert!(!table.works());
}

#[test]
fn the_table_is_aligned_and_escaped() {
    let mut table = Table::default();
    table.push(Row::new("a", Verdict::Yes, "fine"));
    table.push(Row::new("längst", Verdict::No, "bad\x1b[0m 'x'").hint("do …\nor that"));
    table.push(Row::new("b", Verdict::Info, "i"));
    table.push(Row::new("c", Verdict::Fallback, "f"));
    table.push(Row::new("d", Verdict::Untested, "u"));
    let expected = "✓ a       fine\n✗ längst  bad\\x1b[0m 'x'\n          → do …\n          → or that\n- b       i\n~ c       f\n? d       u\n";
    assert_eq!(text(&table, true), expected);
    let expected = "+ a       fine\nx l?ngst  bad\\x1b[0m 'x'\n          > do ...\n          > or that\n- b       i\n~ c       f\n? d       u\n";
    assert_eq!(text(&table, false), expected);
    assert!(!table.works());
}

#[test]
fn the_first_locale_variable_decides() {
    let with = |set: &'static [(&str, &str)]| {
        is_utf8(move |name| set.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()))
    };
    assert!(with(&[("LANG", "de_DE.UTF-8")]));
    assert!(with(&[("LC_ALL", ""), ("LC_CTYPE", "C.utf8"), ("LANG", "C")]));
    assert!(!with(&[("LC_ALL", "C"), ("LANG", "de_DE.UTF-8")]));
    assert!(!with(&[]));
}
