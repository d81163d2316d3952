/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * `proc`: programs that start, processes and threads that begin and end. Each handler exists for every hook that it may
 * be attached to; user space loads one of each.
 */
#include "event.bpf.h"
#include "compat.bpf.h"
#include "filter.bpf.h"
#include "above.bpf.h"

enum proc_kind {
	KIND_EXEC = 0,
	KIND_EXIT = 1,
	KIND_FORK = 2,
	KIND_CLONE = 3,
	KIND_THREAD_EXIT = 4,
};
EXPORT_TYPE(enum, proc_kind);

enum exec_unread {
	UNREAD_ARGV = 1,
	UNREAD_OLD_TID = 2,
	UNREAD_ENV = 4,
};
EXPORT_TYPE(enum, exec_unread);

/* What was asked for of a program that starts. */
enum exec_has {
	HAS_CWD = 1,
	HAS_ENV = 2,
	HAS_PROGRAMS = 4,
};
EXPORT_TYPE(enum, exec_has);

/* With what a program was started. */
struct exec_environ {
	u64 bytes;   /* whole length, also of what was cut */
	u64 program; /* see program_of() */
	u64 parents_program;
	u32 parents_pid;   /* see pid_of_program() */
	struct slice list; /* in the whole record */
};
EXPORT_TYPE(struct, exec_environ);

struct exec_event {
	struct event_head head;
	u64 argv_bytes; /* whole length, also of what was cut */
	u32 old_tid;    /* the thread's id before, where it was not the leader; else 0 */
	u16 exe_flags;  /* enum path_flag */
	u16 cwd_flags;
	struct slice exe;
	struct slice cwd;
	struct slice argv;
	u16 has;     /* enum exec_has */
	u16 environ; /* where in the record its struct exec_environ is; 0: there was no room for it */
};
EXPORT_TYPE(struct, exec_event);

struct exit_event {
	struct event_head head;
	u64 lifetime_ns;
	u64 cpu_ns;
	u64 max_rss_bytes;
	u32 status; /* as waitpid() has it */
	u32 reserved;
};
EXPORT_TYPE(struct, exit_event);

struct fork_event {
	struct event_head head;
	u64 flags; /* clone flags, without the exit signal in the low byte */
	u32 child_pid;
	u32 child_tid;
};
EXPORT_TYPE(struct, fork_event);

const volatile u32 want_cwd = 0;
const volatile u32 want_env = 0;
const volatile u32 want_programs = 0;

/* How much of an environment is read: as much as there is room for behind the paths and arguments. */
#define ENV_BYTES 24064
#define ENV_BYTES_LESS 8192
#define ENV_BYTES_LEAST 2048
#define BEHIND_ENV (sizeof(struct label) + ANCESTORS_MAX * sizeof(struct ancestor) + sizeof(struct exec_environ))

/*
 * Stands for the program that a process runs, and for the environment with which that was started, which its forks have, too:
 * where that is, which is chosen at random, and how many programs there were before (fs/exec.c: begin_new_exec).
 */
static __always_inline u64 program_of(struct task_struct *task)
{
	return (u64)BPF_CORE_READ(task, mm, env_start) ^ (u64)BPF_CORE_READ(task, self_exec_id) << 48;
}

#define FORKS_MAX 8

/*
 * The process that has started the program of this one: itself, or the one above of which it is a fork, or a fork of a fork:
 * forks may be gone before anybody asks for their environment.
 */
static __always_inline u32 pid_of_program(struct task_struct *task, u64 program)
{
	struct task_struct *above;

#pragma clang loop unroll(full)
	for (int i = 0; i < FORKS_MAX; i++) {
		above = BPF_CORE_READ(task, real_parent);
		if (program_of(above) != program)
			break;
		task = above;
	}
	return process_id(false, task);
}

/*
 * Appends the environment of a program that has just started, or as much of its beginning as there is room for; it is where
 * the kernel wrote it, like the arguments. Sets its whole length; false: it was not read.
 */
static __always_inline bool append_list(struct scratch *s, struct mm_struct *mm, u64 *bytes, struct slice *out)
{
	u64 start = BPF_CORE_READ(mm, env_start);
	u32 used = *(volatile u32 *)&s->used;

	*bytes = BPF_CORE_READ(mm, env_end) - start;
	out->off = used;
	if (used <= sizeof(s->record) - ENV_BYTES - BEHIND_ENV)
		return append_memory(s, start, *bytes, ENV_BYTES, out);
	if (used <= sizeof(s->record) - ENV_BYTES_LESS - BEHIND_ENV)
		return append_memory(s, start, *bytes, ENV_BYTES_LESS, out);
	if (used <= sizeof(s->record) - ENV_BYTES_LEAST - BEHIND_ENV)
		return append_memory(s, start, *bytes, ENV_BYTES_LEAST, out);
	return true;
}

/* Appends with what a program was started, and which program it and its parent run. */
static __always_inline void append_environ(struct scratch *s, struct exec_event *e, struct task_struct *task)
{
	struct exec_environ environ = {};
	struct task_struct *parent;
	u32 used;

	if (!append_list(s, BPF_CORE_READ(task, mm), &environ.bytes, &environ.list))
		e->head.unread |= UNREAD_ENV;
	if (want_programs) {
		environ.program = program_of(task);
		/* Not its leader: a thread that has ended has no memory. */
		parent = BPF_CORE_READ(task, real_parent);
		environ.parents_program = program_of(parent);
		environ.parents_pid = pid_of_program(parent, environ.parents_program);
	}
	used = *(volatile u32 *)&s->used;
	if (used > sizeof(s->record) - sizeof(environ) - BEHIND_ALL)
		return;
	__builtin_memcpy(s->record + used, &environ, sizeof(environ));
	e->environ = used;
	*(volatile u32 *)&s->used = used + sizeof(environ);
}

/* Sends an event of so many bytes without a tail of its own; its label is put behind it, as emit_fixed() does. */
static __always_inline void send(void *ctx, struct counters *c, struct event_head *head, const struct label *label, u32 size)
{
	struct scratch *s;

	if (!settings.parent && !settings.ancestors) {
		emit_fixed(ctx, c, head, size);
		return;
	}
	s = scratch_take(c, size);
	if (!s)
		return;
	append_of_head(s, head, label);
	__builtin_memcpy(s->record, head, size);
	scratch_emit(ctx, c, s);
}

static __always_inline int on_exec(void *ctx, bool direct, struct task_struct *task, u32 old_tid)
{
	struct counters *c = seen(KIND_EXEC);
	struct subject who = subject_of(direct, task, false);
	struct event_head head = {};
	struct label label = {};
	struct exec_event *e;
	struct scratch *s;
	struct mm_struct *mm;

	if (!c)
		return 0;
	fill_ids(direct, task, &head);
	if (!wanted(direct, &who, &head, &label, KIND_EXEC, false)) {
		COUNT(c->filtered);
		return 0;
	}
	s = scratch_take(c, sizeof(*e));
	if (!s)
		return 0;
	e = (void *)s->record;
	e->head = head;
	e->head.seq = next_seq(c);
	e->old_tid = 0;
	if (old_tid != (u32)READ(direct, task, pid)) {
		e->old_tid = old_tid;
		/* A number of the initial namespace, of a thread that is no more. */
		if (settings.pidns)
			e->head.unread |= UNREAD_OLD_TID;
	}

	mm = READ(false, task, mm);
	e->exe_flags = append_path(s, &BPF_CORE_READ(mm, exe_file)->f_path, &e->exe, sizeof(*e));
	e->has = (want_cwd ? HAS_CWD : 0) | (want_env ? HAS_ENV : 0) | (want_programs ? HAS_PROGRAMS : 0);
	e->cwd = (struct slice){};
	e->cwd_flags = 0;
	if (want_cwd)
		e->cwd_flags = append_cwd(s, task, &e->cwd, sizeof(*e));

	if (!append_argv(s, mm, &e->argv_bytes, &e->argv, sizeof(*e)))
		e->head.unread |= UNREAD_ARGV;
	e->environ = 0;
	if (want_env)
		append_environ(s, e, task);
	append_of_head(s, &e->head, &label);
	scratch_emit(ctx, c, s);
	return 0;
}

static __always_inline int on_exit(void *ctx, bool direct, const struct subject *who, bool ends)
{
	struct task_struct *task = who->task;
	u32 kind = ends ? KIND_EXIT : KIND_THREAD_EXIT;
	struct counters *c = seen(kind);
	struct {
		struct exit_event e;
		struct label label;
	} r = {};

	if (!c)
		return 0;
	fill_ids(direct, task, &r.e.head);
	if (!wanted(direct, who, &r.e.head, &r.label, kind, true)) {
		COUNT(c->filtered);
		return 0;
	}
	r.e.head.seq = next_seq(c);
	if (ends) {
		r.e.status = process_status(direct, who);
		r.e.cpu_ns = process_cpu_ns(direct, who);
		/* pages; brought up to date by do_exit() before */
		r.e.max_rss_bytes = READ(direct, SIGNAL(direct, who), maxrss) * settings.page_size;
		r.e.lifetime_ns = r.e.head.boot_ns -
				BPF_CORE_READ(task, group_leader, start_boottime);
	} else {
		r.e.status = READ(direct, task, exit_code);
		r.e.cpu_ns = READ(direct, task, se.sum_exec_runtime);
		r.e.lifetime_ns = r.e.head.boot_ns - READ(direct, task, start_boottime);
	}
	send(ctx, c, &r.e.head, &r.label, sizeof(r.e));
	return 0;
}

/* `child_pid` is 0 if the hook has only the thread's id. */
static __always_inline int on_fork(void *ctx, bool direct, struct task_struct *child, u32 child_tid,
				   u64 flags)
{
	u32 kind = flags & CLONE_THREAD ? KIND_CLONE : KIND_FORK;
	struct counters *c = seen(kind);
	struct task_struct *task = (void *)bpf_get_current_task();
	struct subject who = subject_of(false, task, false);
	struct {
		struct fork_event e;
		struct label label;
	} r = {};

	if (!c)
		return 0;
	fill_ids(false, task, &r.e.head);
	r.e.child_pid = child ? process_id(direct, child) :
			      (kind == KIND_CLONE ? r.e.head.pid : child_tid);
	r.e.child_tid = child ? thread_id(direct, child) : child_tid;
	if (!wanted(false, &who, &r.e.head, &r.label, kind, false)) {
		COUNT(c->filtered);
		return 0;
	}
	r.e.head.seq = next_seq(c);
	r.e.flags = flags;
	send(ctx, c, &r.e.head, &r.label, sizeof(r.e));
	return 0;
}

/* BTF-typed tracepoints: direct loads. */

SEC("tp_btf/sched_process_exec")
int BPF_PROG(proc_exec_btf, struct task_struct *task, pid_t old_tid)
{
	return on_exec(ctx, true, task, old_tid);
}

SEC("tp_btf/task_newtask")
int BPF_PROG(proc_fork_btf, struct task_struct *child, u64 flags)
{
	return on_fork(ctx, true, child, 0, flags);
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(proc_exit_btf, struct task_struct *task)
{
	struct subject who = subject_of(true, task, true);
	bool ends = exit_has_group_dead() ? ctx[1] : ends_process(true, &who);

	return on_exit(ctx, true, &who, ends);
}

/* Called once for every ending thread; do_exit() passes whether it was the last. */
SEC("fentry/taskstats_exit")
int BPF_PROG(proc_exit_fentry, struct task_struct *task, int group_dead)
{
	struct subject who = subject_of(true, task, true);

	return on_exit(ctx, true, &who, group_dead);
}

/* Raw tracepoints: the same arguments, also with BTF that is not the kernel's own. */

SEC("raw_tp/sched_process_exec")
int proc_exec_raw(u64 *ctx)
{
	return on_exec(ctx, false, (void *)ctx[0], ctx[1]);
}

SEC("raw_tp/task_newtask")
int proc_fork_raw(u64 *ctx)
{
	return on_fork(ctx, false, (void *)ctx[0], 0, ctx[1]);
}

SEC("raw_tp/sched_process_exit")
int proc_exit_raw(u64 *ctx)
{
	struct subject who = subject_of(false, (void *)ctx[0], false);
	bool ends = exit_has_group_dead() ? ctx[1] : ends_process(false, &who);

	return on_exit(ctx, false, &who, ends);
}

/* Classic tracepoints: no pointers, only the fields of their records. */

SEC("tp/sched/sched_process_exec")
int proc_exec_tp(struct trace_event_raw_sched_process_exec *ctx)
{
	return on_exec(ctx, false, (void *)bpf_get_current_task(), BPF_CORE_READ(ctx, old_pid));
}

SEC("tp/task/task_newtask")
int proc_fork_tp(struct trace_event_raw_task_newtask *ctx)
{
	u32 tid = BPF_CORE_READ(ctx, pid);
	u64 flags = BPF_CORE_READ(ctx, clone_flags);

	/* A number of the initial namespace: elsewhere, only the task itself helps. */
	if (settings.pidns)
		return on_fork(ctx, false, new_task(tid, flags), 0, flags);
	return on_fork(ctx, false, NULL, tid, flags);
}

SEC("tp/sched/sched_process_exit")
int proc_exit_tp(struct trace_event_raw_sched_process_exit___group_dead *ctx)
{
	struct subject who = subject_of(false, (void *)bpf_get_current_task(), false);
	bool ends = exit_has_group_dead() ? BPF_CORE_READ(ctx, group_dead) : ends_process(false, &who);

	return on_exit(ctx, false, &who, ends);
}
