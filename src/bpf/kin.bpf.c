/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Keeps the map of followed processes, for all tracers of a run; nothing else adds to it or removes from it. Its fork
 * hooks are attached before those of any tracer, so that a child is followed before any tracer sees it, and its exit
 * hooks after all of them, so that an end is seen while the process is still followed.
 */
#include "filter.bpf.h"

/* Rows of the ledger that no event has. */
enum kin_row {
	/* Children that should be followed and are not: all that they do is missed. seen = dropped */
	ROW_FOLLOW = 30,
	/* How many processes joined `followed` (seen), and how many left it (emitted). */
	ROW_FOLLOWED = 31,
};
EXPORT_TYPE(enum, kin_row);

enum kin_limit {
	KIN_START_SLACK_NS = START_SLACK_NS,
};
EXPORT_TYPE(enum, kin_limit);

/*
 * Adds a new process. It is counted after it was added: if user space finds the map empty, and this count unchanged
 * meanwhile, it really is (src/load/followed.rs).
 */
static __always_inline void follow(u32 child_pid)
{
	u64 since = bpf_ktime_get_boot_ns();
	u32 cause = DROP_CAUSES;
	struct counters *c;

	if (!child_pid)
		cause = DROP_CHILD_UNKNOWN;
	else if (bpf_map_update_elem(&followed, &child_pid, &since, BPF_ANY))
		cause = DROP_MAP_FULL;
	c = open_account(cause < DROP_CAUSES ? ROW_FOLLOW : ROW_FOLLOWED);
	if (c && cause < DROP_CAUSES)
		COUNT(c->dropped[cause]);
}

/* `child` is NULL if the hook has only its number. */
static __always_inline int on_fork(bool direct, struct task_struct *child, u32 child_pid, u64 flags)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct event_head head = {};

	if (flags & CLONE_THREAD)
		return 0;
	fill_ids(false, task, &head);
	if (!is_followed(task, head.pid))
		return 0;
	follow(child ? process_id(direct, child) : child_pid);
	return 0;
}

/*
 * The process has ended. Threads that end at the same time may not have reached a tracer's hook yet: for them, remember
 * that it was followed.
 */
static __always_inline int on_exit(bool direct, const struct subject *who, bool ends)
{
	u32 row = bpf_get_smp_processor_id() * KINDS_MAX + ROW_FOLLOWED;
	struct event_head head = {};
	struct process_key key;
	struct counters *c;
	u8 yes = 1;

	if (!ends)
		return 0;
	fill_ids(direct, who->task, &head);
	if (READ(false, READ(false, who->task, signal), nr_threads) > 1 && is_followed(who->task, head.pid)) {
		key = process_key(direct, who);
		bpf_map_update_elem(&ended_followed, &key, &yes, BPF_ANY);
	}
	if (bpf_map_delete_elem(&followed, &head.pid))
		return 0;
	c = bpf_map_lookup_elem(&ledger, &row);
	if (c)
		COUNT(c->emitted);
	return 0;
}

SEC("tp_btf/task_newtask")
int BPF_PROG(kin_fork_btf, struct task_struct *child, u64 flags)
{
	return on_fork(true, child, 0, flags);
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(kin_exit_btf, struct task_struct *task)
{
	struct subject who = subject_of(true, task, !exit_has_group_dead());
	bool ends = exit_has_group_dead() ? ctx[1] : ends_process(true, &who);

	return on_exit(true, &who, ends);
}

SEC("raw_tp/task_newtask")
int kin_fork_raw(u64 *ctx)
{
	return on_fork(false, (void *)ctx[0], 0, ctx[1]);
}

SEC("raw_tp/sched_process_exit")
int kin_exit_raw(u64 *ctx)
{
	struct subject who = subject_of(false, (void *)ctx[0], false);
	bool ends = exit_has_group_dead() ? ctx[1] : ends_process(false, &who);

	return on_exit(false, &who, ends);
}

SEC("tp/task/task_newtask")
int kin_fork_tp(struct trace_event_raw_task_newtask *ctx)
{
	u32 tid = BPF_CORE_READ(ctx, pid);
	u64 flags = BPF_CORE_READ(ctx, clone_flags);

	/* A number of the initial namespace: elsewhere, only the task itself helps. */
	return on_fork(false, settings.pidns ? new_task(tid, flags) : NULL, settings.pidns ? 0 : tid, flags);
}

SEC("tp/sched/sched_process_exit")
int kin_exit_tp(struct trace_event_raw_sched_process_exit___group_dead *ctx)
{
	struct subject who = subject_of(false, (void *)bpf_get_current_task(), false);
	bool ends = exit_has_group_dead() ? BPF_CORE_READ(ctx, group_dead) : ends_process(false, &who);

	return on_exit(false, &who, ends);
}
