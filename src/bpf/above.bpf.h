/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is above the process of an event, as it is then: its parent, or all up to init. It is in the record's tail, and only
 * where it was asked for.
 */
#pragma once
#include "path.bpf.h"

#define ANCESTORS_MAX 64

/* What may come last in a record: strings of any length leave this room. */
#define BEHIND_ALL (sizeof(struct label) + sizeof(struct ancestor))

/* Appends a process by its first thread; false: there is no room. */
static __always_inline bool append_ancestor(struct scratch *s, u32 pid, struct task_struct *task)
{
	u32 used = *(volatile u32 *)&s->used;

	if (used > sizeof(s->record) - BEHIND_ALL)
		return false;
	/* Not by way of the stack, of which 5.10 has too little. */
	__builtin_memcpy(s->record + used, &pid, sizeof(pid));
	bpf_core_read(s->record + used + offsetof(struct ancestor, comm), COMM_LEN, &task->comm);
	*(volatile u32 *)&s->used = used + sizeof(struct ancestor);
	return true;
}

/* A walk from a process up to init. */
struct climb {
	struct scratch *s;
	struct task_struct *task; /* NULL: the top was found */
};

/* Appends the parent of a process; returns whether the climb is at its end. */
static __always_inline long climb_step(u32 i, struct climb *w)
{
	/* Not in BPF_CORE_READ(): it looks for all structs in the kernel's types. */
	struct task_struct *task = w->task, *parent = BPF_CORE_READ(task, real_parent, group_leader);
	u32 pid = process_id(false, parent);

	/* Above init, or outside of coretrace's PID namespace. */
	if (!pid) {
		w->task = NULL;
		return 1;
	}
	if (i >= settings.ancestors || !append_ancestor(w->s, pid, parent))
		return 1;
	w->task = parent;
	return 0;
}

static __noinline long climb_callback(u32 i, void *state)
{
	return climb_step(i, state);
}

/*
 * Appends the processes above the current one; returns HEAD_ANCESTORS_CUT or 0. A global function, like walk_to_root().
 */
__noinline u64 climb_to_init(u32 number)
{
	struct climb w = { .task = (void *)bpf_get_current_task() };

	w.s = bpf_map_lookup_elem(&scratch, &number);
	if (!w.s)
		return HEAD_ANCESTORS_CUT;
	REPEAT(ANCESTORS_MAX + 1, climb_step, climb_callback, w);
	return w.task ? HEAD_ANCESTORS_CUT : 0;
}

/* Appends what is above the current process, which an event in the scratch space is of. */
static __always_inline void append_above(struct scratch *s, struct event_head *head)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	u32 start = *(volatile u32 *)&s->used;

	if (settings.ancestors)
		head->flags |= HEAD_ANCESTORS | climb_to_init(s->number);
	else if (!settings.parent)
		return;
	else if (head->ppid)
		append_ancestor(s, head->ppid, BPF_CORE_READ(task, real_parent, group_leader));
	head->above = start;
	head->ancestors = (*(volatile u32 *)&s->used - start) / sizeof(struct ancestor);
}

/* Appends what of the head is in the tail, to a record to which nothing else is appended that has no end. */
static __always_inline void append_of_head(struct scratch *s, struct event_head *head, const struct label *label)
{
	append_above(s, head);
	append_label(s, head, label);
}
