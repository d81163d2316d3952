/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Filters in the kernel, the cheapest first. Refused events are counted.
 */
#pragma once
#include "compat.bpf.h"
#include "proof.bpf.h" /* every tracer has it */

/* Processes that are watched; with settings.follow, their children join them. Only kin.bpf.c changes it. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1); /* sized by user space before load */
	__type(key, u32);       /* process id */
	__type(value, u64);     /* it began no later than then, in ns since boot */
} followed SEC(".maps");

/* Processes with several threads that were followed until they ended. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096); /* and more for each CPU: src/load/shared.rs */
	__type(key, struct process_key);
	__type(value, u8);
} ended_followed SEC(".maps");

/* Cgroups (v2) that are watched, including all below them. */
struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_ARRAY);
	__uint(max_entries, CGROUPS_MAX);
	__uint(key_size, sizeof(u32));
	__uint(value_size, sizeof(u32));
} cgroups SEC(".maps");

enum label_kind {
	LABEL_UID = 1,
	LABEL_CGROUP = 2,
};
EXPORT_TYPE(enum, label_kind);

struct label_key {
	u64 id; /* of the user, or of the cgroup */
	u32 kind; /* enum label_kind */
	u32 reserved;
};

/* Labels, which other processes may change at any time: pinned, and shared by tracers. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct label_key);
	__type(value, struct label);
} labels_v1 SEC(".maps");

/*
 * How many cgroups above the task's own are searched for a label: usually all. (The limit is in the README.)
 */
#define LABEL_LEVELS 32

/* The label of the current task: its cgroup's, or the nearest ancestor's that has one; else its user's. */
static __noinline void find_label(struct label *label, u32 uid, u64 cgroup_id)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct label_key key = { .id = cgroup_id, .kind = LABEL_CGROUP };
	struct label *found = bpf_map_lookup_elem(&labels_v1, &key);
	int level;

	if (!found) {
		level = BPF_CORE_READ(task, cgroups, dfl_cgrp, level);
		for (int i = 1; i <= LABEL_LEVELS; i++) {
			if (i > level)
				break;
			key.id = cgroup_id_at(task, level - i);
			found = bpf_map_lookup_elem(&labels_v1, &key);
			if (found)
				break;
		}
	}
	if (!found) {
		key.id = uid;
		key.kind = LABEL_UID;
		found = bpf_map_lookup_elem(&labels_v1, &key);
	}
	if (found) {
		*label = *found;
	} else {
		/* Word by word, as volatile: else the compiler takes it for the zeros that it sees here. */
		for (u32 i = 0; i < sizeof(*label) / sizeof(u64); i++)
			((u64 *)label)[i] = ((const volatile u64 *)&settings.default_label)[i];
	}
	asm volatile("r0 = 0" ::: "r0"); /* see nothing() */
}

static __always_inline bool same_label(const struct label *a, const volatile struct label *b)
{
	const u64 *left = (const void *)a;
	const volatile u64 *right = (const volatile void *)b;

	for (u32 i = 0; i < sizeof(*a) / sizeof(*left); i++) {
		if (left[i] != right[i])
			return false;
	}
	return true;
}

/*
 * All comm globs as one bit-parallel automaton (Shift-And): a bit is a place in a pattern. A byte moves every live
 * place on by one if the table allows it, and a place followed by a star stays alive on any byte.
 */
const volatile u64 comm_table[256] = {};

static __noinline bool comm_matches(const u8 *comm)
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

static __noinline bool uid_matches(u32 uid)
{
	for (u32 i = 0; i < UIDS_MAX; i++) {
		if (i >= settings.uids_len)
			break;
		if (settings.uids[i] == uid)
			return true;
	}
	return false;
}

static __noinline bool cgroup_matches(void)
{
	for (u32 i = 0; i < CGROUPS_MAX; i++) {
		if (i >= settings.cgroups_len)
			break;
		if (bpf_current_task_under_cgroup(&cgroups, i) == 1)
			return true;
	}
	return false;
}

/* Whether user space shows no events of that cgroup. */
static __always_inline bool is_refused(u64 cgroup_id)
{
	u32 *refused = bpf_map_lookup_elem(&known_cgroups, &cgroup_id);

	return refused && *refused;
}

/*
 * How much later than it was followed a process may seem to have begun: the clock that programs read may be behind the
 * one that the kernel takes start times from (kernel/time/timekeeping.c: ktime_get_mono_fast_ns).
 */
#define START_SLACK_NS 1000000

/*
 * Whether a process is followed, and not another one with the number of a followed process whose end was not seen. Used
 * in many places, so not inlined, to keep the programs small. `leads`: the task is known to be its first thread.
 */
static __noinline bool is_followed_by(struct task_struct *task, u32 pid, bool leads)
{
	u64 *since = bpf_map_lookup_elem(&followed, &pid);

	if (!since)
		return false;
	if (!leads)
		task = BPF_CORE_READ(task, group_leader);
	return BPF_CORE_READ(task, start_boottime) <= *since + START_SLACK_NS;
}

static __always_inline bool is_followed(struct task_struct *task, u32 pid)
{
	return is_followed_by(task, pid, false);
}

/* Whether an ending thread's process was followed until its own end, just before. */
static __always_inline bool was_followed(bool direct, const struct subject *who)
{
	struct process_key key;

	if (READ(direct, SIGNAL(direct, who), live.counter))
		return false;
	key = process_key(direct, who);
	return bpf_map_lookup_elem(&ended_followed, &key);
}

/* The current task's process and thread id: all that the map of followed processes needs. */
static __always_inline void fill_ids(bool direct, struct task_struct *task, struct event_head *head)
{
	u64 ids = bpf_get_current_pid_tgid();

	head->pid = settings.pidns ? process_id(direct, task) : ids >> 32;
	head->tid = settings.pidns ? thread_id(direct, task) : (u32)ids;
}

/*
 * Whether the current task is coretrace, or a process that it started as a heartbeat. (Its other child, CMD, is
 * followed.)
 */
static __always_inline bool is_heartbeat(bool direct, const struct subject *who, u32 pid)
{
	if (!settings.heartbeat)
		return false;
	if (pid == settings.heartbeat)
		return true;
	return process_id(false, READ(false, who->task, real_parent)) == settings.heartbeat &&
	       !(settings.filter_pids && is_followed(who->task, pid));
}

/* Whether calls of the current task are remembered: of one that is not followed, none is wanted. */
static __always_inline bool is_remembered(void)
{
	struct subject who = subject_of(false, (void *)bpf_get_current_task(), false);
	struct event_head head = {};

	if (!settings.filter_pids)
		return true;
	fill_ids(false, who.task, &head);
	return is_followed(who.task, head.pid) || is_heartbeat(false, &who, head.pid);
}

/*
 * Whether the user wants to see the current task, whose ids are in the head already. This runs for every process of the
 * host, wanted or not, so nothing is read before a filter needs it, but `all` (a constant) that the head has of it.
 * `known` (one, too): the process is followed, if only such are wanted. `ending`: the task is about to end. (Then it
 * needs `signal`.)
 */
static __always_inline bool passes(bool direct, const struct subject *who, struct event_head *head, struct label *label,
				   bool ending, bool known, bool all)
{
	bool beat, beat_alone = false;
	u64 uid_gid;

	/* Outside of coretrace's own PID namespace nothing is visible, as in ps. */
	if (settings.pidns && !head->pid)
		return false;
	beat = is_heartbeat(direct, who, head->pid);
	/* In this order: see on_exit() in kin.bpf.c. */
	if (settings.filter_pids && !known && !is_followed(who->task, head->pid) &&
	    !(ending && was_followed(direct, who))) {
		if (!beat)
			return false;
		beat_alone = true;
	}
	if (all || settings.uids_len || settings.labels) {
		uid_gid = bpf_get_current_uid_gid();
		head->uid = uid_gid;
		head->gid = uid_gid >> 32;
	}
	if (settings.uids_len && !uid_matches(head->uid)) {
		if (!beat)
			return false;
		beat_alone = true;
	}
	if (all || settings.filter_comm)
		bpf_get_current_comm(head->comm, sizeof(head->comm));
	if (settings.filter_comm && !comm_matches(head->comm)) {
		if (!beat)
			return false;
		beat_alone = true;
	}
	if (settings.cgroups_len && !cgroup_matches()) {
		if (!beat)
			return false;
		beat_alone = true;
	}
	if (all || settings.labels || settings.refuses)
		head->cgroup_id = bpf_get_current_cgroup_id();
	if (settings.refuses && is_refused(head->cgroup_id)) {
		if (!beat)
			return false;
		beat_alone = true;
	}
	if (settings.labels) {
		find_label(label, head->uid, head->cgroup_id);
		if ((settings.only_label && !same_label(label, &settings.only_labelled)) ||
		    (settings.ignore_label && same_label(label, &settings.ignore_labelled))) {
			if (!beat)
				return false;
			beat_alone = true;
		}
	} else {
		/* It is not read; but a register that it is in must have been written, for the verifier. */
		*label = (struct label){};
	}
	head->flags = beat_alone ? HEAD_HEARTBEAT : 0;
	return true;
}

/* Fills the rest of the head, except for its sequence number. */
static __always_inline void fill_head_of(const struct subject *who, struct event_head *head, u32 kind)
{
	head->boot_ns = bpf_ktime_get_boot_ns();
	head->kind = kind;
	head->cpu = bpf_get_smp_processor_id();
	head->ppid = process_id(false, READ(false, who->task, real_parent));
	head->unread = 0;
	head->label = (struct slice){};
}

/* Whether the user wants to see the current task; if so, fills the head and the label. */
static __always_inline bool wanted(bool direct, const struct subject *who, struct event_head *head,
				   struct label *label, u32 kind, bool ending)
{
	if (!passes(direct, who, head, label, ending, false, true))
		return false;
	fill_head_of(who, head, kind);
	return true;
}
