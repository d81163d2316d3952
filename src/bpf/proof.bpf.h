/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The proof that the types which the programs were relocated to are the running kernel's: what they read of coretrace's
 * own task, for user space to compare with what it knows. The types of another kernel load without complaint.
 */
#pragma once
#include "compat.bpf.h"

#define PROOF_NAME 64
#define PROOF_ARGS 128

struct proof {
	u64 start_ns;   /* CLOCK_BOOTTIME, of the initial time namespace */
	u64 argv_bytes; /* whole length */
	u32 pid;
	u32 tid;
	u32 ppid;
	u32 reserved;
	u8 comm[COMM_LEN];
	u8 exe[PROOF_NAME]; /* the last name of the executable's path */
	u8 argv[PROOF_ARGS];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct proof);
} proof SEC(".maps");

/* Attached to nothing: run by coretrace in its own task (BPF_PROG_TEST_RUN of raw tracepoints, since 5.10). */
SEC("raw_tp")
int prove_self(void *ctx __attribute__((unused)))
{
	struct task_struct *task = (void *)bpf_get_current_task();
	u32 zero = 0;
	struct proof *p = bpf_map_lookup_elem(&proof, &zero);
	struct mm_struct *mm;
	u64 start, n;

	if (!p)
		return 0;
	p->pid = process_id(false, task);
	p->tid = thread_id(false, task);
	p->ppid = process_id(false, BPF_CORE_READ(task, real_parent));
	p->start_ns = BPF_CORE_READ(task, group_leader, start_boottime);
	bpf_core_read(p->comm, sizeof(p->comm), &task->comm);
	mm = BPF_CORE_READ(task, mm);
	bpf_probe_read_kernel_str(p->exe, sizeof(p->exe), BPF_CORE_READ(mm, exe_file, f_path.dentry, d_name.name));
	start = BPF_CORE_READ(mm, arg_start);
	n = BPF_CORE_READ(mm, arg_end) - start;
	p->argv_bytes = n;
	if (n > sizeof(p->argv))
		n = sizeof(p->argv);
	barrier_var(n);
	if (n <= sizeof(p->argv))
		bpf_probe_read_user(p->argv, n, (void *)start);
	return 0;
}
