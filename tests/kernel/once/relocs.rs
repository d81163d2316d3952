//! `coretrace relocs` as text.

use crate::support::run;

#[test]
fn it_is_explained_to_people() {
    let output = run(["relocs", "proc"]);
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && printed.starts_with("proc: "), "{printed}");
    for words in
        ["proc_exec_btf (tp_btf/sched_process_exec)", "struct task_struct.tgid", "field offset", "compat.bpf.h:"]
    {
        assert!(printed.contains(words), "{words}: {printed}");
    }
    let check = "struct trace_event_raw_sched_process_exit___group_dead.group_dead";
    assert!(printed.lines().any(|line| line.starts_with('?') && line.contains(check)), "{printed}");
    // Between a kernel and itself, nothing differs.
    let btf = "/sys/kernel/btf/vmlinux";
    let output = run(["relocs", "proc", "--diff", btf, btf]);
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && printed.starts_with("proc: 0 of "), "{printed}");
    assert_eq!(printed.lines().count(), 1);
}
