/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Filters in the kernel, the cheapest first, and the map of followed processes. What they refuse is
 * counted.
 */
#pragma once
#include "compat.bpf.h"

/* Processes that are watched; with settings.follow, those that they fork join them. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1); /* sized by user space before load */
	__type(key, u32);       /* process id */
	__type(value, u64);     /* since when, in ns since boot */
} followed SEC(".maps");

/* Cgroups (v2) that are watched, all below them included. */
struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_ARRAY);
	__uint(max_entries, CGROUPS_MAX);
	__uint(key_size, sizeof(u32));
	__uint(value_size, sizeof(u32));
} cgroups SEC(".maps");

/*
 * All comm globs as one bit-parallel automaton (Shift-And): a bit is a place in a pattern. A byte
 * moves every live place on by one where the table lets it, and a place that a star follows stays
 * alive on any byte.
 */
const volatile u64 comm_table[256] = {};

static __always_inline bool comm_matches(const u8 *comm)
{
	u64 live = settings.comm_start;

	for (int i = 0; i < COMM_LEN; i++) {
		u8 byte = comm[i];

		if (!byte)
			break;
		live = ((live << 1) & comm_table[byte]) | (live & settings.comm_loop);
	}
	return live & settings.comm_accept;
}

static __always_inline bool uid_matches(u32 uid)
{
	for (u32 i = 0; i < UIDS_MAX; i++) {
		if (i >= settings.uids_len)
			break;
		if (settings.uids[i] == uid)
			return true;
	}
	return false;
}

static __always_inline bool cgroup_matches(void)
{
	for (u32 i = 0; i < CGROUPS_MAX; i++) {
		if (i >= settings.cgroups_len)
			break;
		if (bpf_current_task_under_cgroup(&cgroups, i) == 1)
			return true;
	}
	return false;
}

static __always_inline bool is_followed(u32 pid)
{
	return bpf_map_lookup_elem(&followed, &pid);
}

/*
 * The process has ended. Threads of it that end at the same time may still be on their way to the
 * hook: for them, it is remembered that it was followed.
 */
static __always_inline void unfollow(bool direct, struct task_struct *task, u32 pid)
{
	struct process_key key;
	u32 value = ENDED_FOLLOWED;

	if (READ(direct, READ(direct, task, signal), nr_threads) > 1 && is_followed(pid)) {
		key = process_key(direct, task);
		bpf_map_update_elem(&ended, &key, &value, BPF_ANY);
	}
	bpf_map_delete_elem(&followed, &pid);
}

/* Whether an ending thread's process was followed until it ended just before. */
static __always_inline bool was_followed(bool direct, struct task_struct *task)
{
	struct process_key key;
	u32 *value;

	if (READ(direct, READ(direct, task, signal), live.counter))
		return false;
	key = process_key(direct, task);
	value = bpf_map_lookup_elem(&ended, &key);
	return value && *value == ENDED_FOLLOWED;
}

/* Which process and thread the current task is: all that the map of followed processes needs. */
static __always_inline void fill_ids(bool direct, struct task_struct *task, struct event_head *head)
{
	u64 ids = bpf_get_current_pid_tgid();

	head->pid = settings.pidns ? process_id(direct, task) : ids >> 32;
	head->tid = settings.pidns ? thread_id(direct, task) : (u32)ids;
}

/*
 * Whether the current task is one of those that the user wants to see; if so, the head is filled but
 * for its sequence number (its ids are there already). What is not wanted costs every process of the
 * host, so nothing is asked for before a filter needs it. `ending`: the task is about to end.
 */
static __always_inline bool wanted(bool direct, struct task_struct *task, struct event_head *head, u32 kind,
				   bool ending)
{
	u64 uid_gid;

	/* Outside of coretrace's own PID namespace nothing is visible, as in ps. */
	if (settings.pidns && !head->pid)
		return false;
	/* In this order: see unfollow(). */
	if (settings.filter_pids && !is_followed(head->pid) && !(ending && was_followed(direct, task)))
		return false;
	uid_gid = bpf_get_current_uid_gid();
	head->uid = uid_gid;
	head->gid = uid_gid >> 32;
	if (settings.uids_len && !uid_matches(head->uid))
		return false;
	bpf_get_current_comm(head->comm, sizeof(head->comm));
	if (settings.filter_comm && !comm_matches(head->comm))
		return false;
	if (settings.cgroups_len && !cgroup_matches())
		return false;
	head->boot_ns = bpf_ktime_get_boot_ns();
	head->cgroup_id = bpf_get_current_cgroup_id();
	head->kind = kind;
	head->cpu = bpf_get_smp_processor_id();
	head->ppid = process_id(direct, READ(direct, task, real_parent));
	head->unread = 0;
	return true;
}
