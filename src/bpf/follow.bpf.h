/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Keeps the map of followed processes, for tracers whose own events are not forks and exits: they are loaded
 * only where something is followed.
 */
#pragma once
#include "filter.bpf.h"

/* A child that could not be followed is a loss of this kind of event, the first of the tracer's. */
#ifndef FOLLOW_KIND
#error "FOLLOW_KIND is not set"
#endif

/* `child_pid` is 0 where the hook gives the task. */
static __always_inline int track_fork(bool direct, struct task_struct *child, u32 child_pid, u64 flags)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct event_head head = {};
	struct counters *c;
	u32 lost;

	if (flags & CLONE_THREAD)
		return 0;
	fill_ids(false, task, &head);
	if (!is_followed(task, head.pid))
		return 0;
	if (child)
		child_pid = process_id(direct, child);
	lost = follow(child_pid);
	if (lost < DROP_CAUSES) {
		c = open_account(FOLLOW_KIND);
		if (c)
			COUNT(c->dropped[lost]);
	}
	return 0;
}

static __always_inline int track_exit(bool direct, struct task_struct *task, bool ends)
{
	struct event_head head = {};

	if (!ends)
		return 0;
	fill_ids(direct, task, &head);
	unfollow(direct, task, head.pid);
	return 0;
}

SEC("tp_btf/task_newtask")
int BPF_PROG(track_fork_btf, struct task_struct *child, u64 flags)
{
	return track_fork(true, child, 0, flags);
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(track_exit_btf, struct task_struct *task)
{
	bool ends = exit_tells_group_dead() ? ctx[1] : ends_process(true, task);

	return track_exit(true, task, ends);
}

SEC("tp/task/task_newtask")
int track_fork_tp(struct trace_event_raw_task_newtask *ctx)
{
	u32 tid = BPF_CORE_READ(ctx, pid);
	u64 flags = BPF_CORE_READ(ctx, clone_flags);

	/* A number of the initial namespace: elsewhere, only the task itself helps. */
	return track_fork(false, settings.pidns ? new_task(tid, flags) : NULL, tid, flags);
}

SEC("tp/sched/sched_process_exit")
int track_exit_tp(struct trace_event_raw_sched_process_exit___group_dead *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	bool ends = exit_tells_group_dead() ? BPF_CORE_READ(ctx, group_dead) : ends_process(false, task);

	return track_exit(false, task, ends);
}
