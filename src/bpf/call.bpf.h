/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * System calls and functions that are watched at entry and return: the arguments on each architecture, the map that
 * joins the two where the return does not have them, and the paths they name.
 */
#pragma once
#include "filter.bpf.h"
#include "path.bpf.h"

#define CALLED_BYTES 4097 /* PATH_MAX, and one more to detect a longer name */

/* The arguments of a call; each tracer defines their meaning. */
struct call {
	u64 name;  /* pointer */
	u64 list;  /* pointer */
	u64 flags;
	s32 dir;   /* descriptor of a directory */
	u32 mode;
	u32 bits;  /* of the caller's pointers, or other bits */
	u32 origin;
};

/*
 * Calls that have not returned, by the task's address: its ids change when a thread other than the first execs
 * (fs/exec.c: de_thread), its address never does. An entry whose return was missed is overwritten by the next call of
 * that task, or of a later one with the same address.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, u64);
	__type(value, struct call);
} calls SEC(".maps");

/* The caller's registers, from those of a function that handles a system call. */
static __always_inline struct pt_regs *caller_regs(struct pt_regs *ctx)
{
	return PT_REGS_SYSCALL_REGS(ctx);
}

/* The n-th argument, from 1, of a system call of a 64-bit program. */
#define NATIVE_ARG(regs, n) PT_REGS_PARM##n##_CORE_SYSCALL(regs)

/* The same of a 32-bit one. */
#define COMPAT_ARG(regs, n) ((u64)(u32)COMPAT_ARG##n(regs))

/* The outcome of the entry of a call. */
enum begun {
	BEGUN,
	BEGUN_NOT_FOLLOWED, /* filtered by its process: it is not remembered */
	BEGUN_NO_ROOM,
};

/* In call.bits: the arguments could not be read. */
#define CALL_UNREAD 0x40000000

/* Counts a call that cannot be reported: it is not wanted, or lost. */
static __noinline int count_call(u32 kind, u32 cause)
{
	struct subject who = subject_of(false, (void *)bpf_get_current_task(), false);
	struct counters *c = seen(kind);
	struct event_head head = {};
	struct label label = {};

	if (!c || cause >= DROP_CAUSES)
		return nothing();
	fill_ids(false, who.task, &head);
	if (wanted(false, &who, &head, &label, kind, false))
		COUNT(c->dropped[cause]);
	else
		COUNT(c->filtered);
	return nothing();
}

/*
 * Remembers a call until it returns. If an older one is still remembered, its return was missed: the kernel tracks a
 * limited number of tasks in a function at once (kernel/kprobes.c: maxactive, up to 6.2 no more than there are CPUs on
 * kernels that cannot be preempted).
 */
static __always_inline enum begun begin_call(u32 kind, const struct call *call)
{
	u64 task = bpf_get_current_task();

	if (!is_remembered())
		return BEGUN_NOT_FOLLOWED;
	if (!bpf_map_update_elem(&calls, &task, call, BPF_NOEXIST))
		return BEGUN;
	if (bpf_map_update_elem(&calls, &task, call, BPF_EXIST))
		return BEGUN_NO_ROOM;
	count_call(kind, DROP_RETURN_MISSED);
	return BEGUN;
}

/* The call that the current task is in. */
static __always_inline struct call *current_call(void)
{
	u64 task = bpf_get_current_task();

	return bpf_map_lookup_elem(&calls, &task);
}

static __always_inline void end_call(void)
{
	u64 task = bpf_get_current_task();

	bpf_map_delete_elem(&calls, &task);
}

/*
 * Appends a name as spelled by the caller, from its memory or (a struct filename) the kernel's. Returns enum path_flag.
 */
static __always_inline u32 append_called(struct scratch *s, const char *name, bool user, struct slice *out,
					 u32 fixed)
{
	u32 used = *(volatile u32 *)&s->used;
	long n;

	out->off = used - fixed;
	out->len = 0;
	if (used > sizeof(s->record) - CALLED_BYTES)
		return PATH_UNREAD;
	if (user)
		n = read_user_str(s->record + used, CALLED_BYTES, name);
	else
		n = bpf_probe_read_kernel_str(s->record + used, CALLED_BYTES, name);
	if (n <= 0 || n > CALLED_BYTES)
		return PATH_UNREAD;
	out->len = n - 1;
	*(volatile u32 *)&s->used = used + n;
	return n == CALLED_BYTES ? PATH_END_CUT : 0;
}

/* The open file of a descriptor of the current task; NULL if there is none. */
static __always_inline struct file *file_of(struct task_struct *task, s32 fd)
{
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file **files = BPF_CORE_READ(table, fd), *file = NULL;

	if (fd < 0 || (u32)fd >= BPF_CORE_READ(table, max_fds))
		return NULL;
	bpf_probe_read_kernel(&file, sizeof(file), &files[fd]);
	return file;
}

/* Appends the directory that a relative name starts from, as the process sees it. Returns enum path_flag. */
static __always_inline u32 append_base(struct scratch *s, struct task_struct *task, s32 dir, struct slice *out,
				       u32 fixed)
{
	struct file *file;

	if (dir == AT_FDCWD)
		return append_cwd(s, task, out, fixed);
	file = file_of(task, dir);
	out->off = s->used - fixed;
	out->len = 0;
	if (!file)
		return PATH_UNREAD;
	return place(walk_to_top((u64)&file->f_path, (u64)&BPF_CORE_READ(task, fs)->root, s->number), out,
		     fixed);
}
