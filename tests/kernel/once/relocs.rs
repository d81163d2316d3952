//! `coretrace relocs` for people.

use crate::support::run;

#[test]
fn it_is_explained_to_people() {
    let output = run(["relocs", "proc"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && said.starts_with("proc: "), "{said}");
    for words in
        ["proc_exec_btf (tp_btf/sched_process_exec)", "struct task_struct.tgid", "field offset", "compat.bpf.h:"]
    {
        assert!(said.contains(words), "{words}: {said}");
    }
    let check = "struct trace_event_raw_sched_process_exit___group_dead.group_dead";
    assert!(said.lines().any(|line| line.starts_with('?') && line.contains(check)), "{said}");
    // Between a kernel and itself, nothing differs.
    let btf = "/sys/kernel/btf/vmlinux";
    let output = run(["relocs", "proc", "--diff", btf, btf]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && said.starts_with("proc: 0 of "), "{said}");
    assert_eq!(said.lines().count(), 1);
}
