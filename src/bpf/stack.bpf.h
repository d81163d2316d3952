/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The calls that led to a hit (--stack): those of the kernel, and those of the program. */
#pragma once
#include "probe.bpf.h"

#define FRAMES_MAX 127 /* the kernel walks no more (kernel.perf_event_max_stack) */

enum stack_flag {
	STACK_KERNEL_UNREAD = 1,
	STACK_USER_UNREAD = 2,
	STACK_NO_USER = 4,     /* a thread of the kernel */
	STACK_OTHER_IMAGE = 8, /* until the call returned, the process became another program: `exe` is not known */
};
EXPORT_TYPE(enum, stack_flag);

/* In the tail. Slices are in the whole record. */
struct hit_stack {
	u64 image;	 /* which of the process's programs: when it was started, and how many it ran before */
	u64 caller;	 /* of a function of a program: where it returns to; 0: not read */
	u64 code_start;	 /* where the code of its file is in memory … */
	u64 code_end;
	u64 inode;	 /* … and which file that is */
	u64 caller_inode; /* in which file the caller is; 0: not known … */
	u64 caller_offset; /* … and where in it */
	struct slice kernel; /* addresses, 64 bits each */
	struct slice user;   /* struct bpf_stack_build_id each */
	struct slice exe;    /* names, as walk_to_root() has them */
	u16 exe_flags;	 /* enum path_flag */
	u16 flags;	 /* enum stack_flag */
};
EXPORT_TYPE(struct, hit_stack);

/* Set by user space before load: the most frames of a program's stack, and of the kernel's; 0: it is not taken. */
const volatile u32 stack_frames = 0;
const volatile u32 stack_kernel = 0;
/* It is the entry of a function, of which the frame is not made yet: its caller is no frame, but where it returns to. */
const volatile u32 stack_caller = 0;

/* The kernel has BTF of its own: tasks are typed. */
const volatile u32 stack_typed = 0;

/* The most bytes that a call's record has behind its head, while the call is under way. */
#define ENTRY_MAX (TAIL_MAX + STR_MAX + sizeof(struct hit_stack) + FRAMES_MAX * 40)

static __always_inline u64 image_of(struct task_struct *task)
{
	return BPF_CORE_READ(task, group_leader, start_boottime) + BPF_CORE_READ(task, self_exec_id);
}

/* Appends a stack; returns whether it could be taken. */
static __noinline bool append_stack(void *ctx, struct scratch *s, struct slice *out, u64 size, u64 flags)
{
	u64 used = *(volatile u32 *)&s->used;
	long n;

	out->off = used;
	out->len = 0;
	barrier_var(used);
	if (used > TAIL_MAX + 2 * PATH_BYTES || size > FRAMES_MAX * 32)
		return false;
	n = bpf_get_stack(ctx, s->record + used, size, flags);
	if (n < 0 || n > FRAMES_MAX * 32)
		return false;
	out->len = n;
	*(volatile u32 *)&s->used = used + n;
	return true;
}

/* Which file is mapped at an address of the current task. */
struct mapped {
	u64 at;
	u64 inode;
	u64 offset; /* in the file */
};

static __noinline long mapped_callback(struct task_struct *task __attribute__((unused)), struct vm_area_struct *vma,
				       struct mapped *found)
{
	found->inode = BPF_CORE_READ(vma, vm_file, f_inode, i_ino);
	found->offset = found->at - BPF_CORE_READ(vma, vm_start) + BPF_CORE_READ(vma, vm_pgoff) * settings.page_size;
	return 0;
}

/*
 * Where a function returns to, and which file that is in: the process may have ended when somebody looks. Not before
 * 5.17 (bpf_find_vma), and not while the memory's mappings are being changed.
 */
static __always_inline void take_caller(void *ctx, struct hit_stack *h)
{
	struct mapped found = { .at = return_address(ctx) };

	h->caller = found.at;
	if (!stack_typed || !bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_find_vma))
		return;
	if (bpf_find_vma(bpf_get_current_task_btf(), found.at, mapped_callback, &found, 0))
		return;
	h->caller_inode = found.inode;
	h->caller_offset = found.offset;
}

/* Takes both, behind what is in the record. */
static __always_inline void take_stack(void *ctx, struct scratch *s)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct probe_event *e = (void *)s->record;
	u64 at = (*(volatile u32 *)&s->used + 7) & ~7ULL;
	struct hit_stack *h;
	u32 flags = 0;

	if (!stack_frames)
		return;
	barrier_var(at);
	if (at > TAIL_MAX + STR_MAX)
		return;
	h = (void *)(s->record + at);
	__builtin_memset(h, 0, sizeof(*h));
	e->stack = at;
	*(volatile u32 *)&s->used = at + sizeof(*h);
	if (stack_kernel && !append_stack(ctx, s, &h->kernel, stack_kernel * sizeof(u64), 0))
		flags |= STACK_KERNEL_UNREAD;
	if (!BPF_CORE_READ(task, mm)) {
		h->flags = flags | STACK_NO_USER;
		return;
	}
	h->image = image_of(task);
	h->code_start = BPF_CORE_READ(task, mm, start_code);
	h->code_end = BPF_CORE_READ(task, mm, end_code);
	h->inode = BPF_CORE_READ(task, mm, exe_file, f_inode, i_ino);
	if (stack_caller)
		take_caller(ctx, h);
	if (!append_stack(ctx, s, &h->user, stack_frames * sizeof(struct bpf_stack_build_id),
			  BPF_F_USER_STACK | BPF_F_USER_BUILD_ID))
		flags |= STACK_USER_UNREAD;
	h->flags = flags;
}

/* By what the files of a process that has ended are found: appended when the record is sent, as it may be long. */
static __noinline int take_exe(struct scratch *s)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct probe_event *e = (void *)s->record;
	u64 at = *(volatile u32 *)&e->stack;
	struct hit_stack *h;
	struct file *exe;

	if (!at || at > TAIL_MAX + STR_MAX)
		return nothing();
	h = (void *)(s->record + at);
	if (h->flags & STACK_NO_USER)
		return nothing();
	exe = BPF_CORE_READ(task, mm, exe_file);
	if (!exe || h->image != image_of(task)) {
		h->flags |= STACK_OTHER_IMAGE;
		return nothing();
	}
	h->exe_flags = append_path(s, &exe->f_path, &h->exe, 0);
	return nothing();
}
