/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * `exec`: every attempt to run a program, by execve or execveat. One that succeeds is reported when the new program
 * is in place (sched_process_exec), one that fails when the system call returns.
 */
#include "event.bpf.h"
#include "compat.bpf.h"

enum exec_kind {
	KIND_EXECVE = 5,
};
EXPORT_TYPE(enum, exec_kind);

#include "filter.bpf.h"
#include "above.bpf.h"
#include "call.bpf.h"

/* For failed attempts: how many strings are read, and bytes of each. */
#define ARGS_MAX 256
#define ARG_BYTES 4096
#define INTERP_BYTES 256 /* include/uapi/linux/binfmts.h: BINPRM_BUF_SIZE */
/* include/uapi/linux/fcntl.h */
#define AT_EMPTY_PATH 0x1000
/* Since 6.14: checks whether a file may be run, and runs nothing. That is not an attempt. */
#define AT_EXECVE_CHECK 0x10000
/* The length if it was not counted. */
#define UNKNOWN_BYTES (~0ULL)

enum execve_unread {
	UNREAD_ARGV = 1,
	UNREAD_INTERP = 2,
};
EXPORT_TYPE(enum, execve_unread);

struct execve_event {
	struct event_head head;
	u64 argv_bytes; /* whole length, also of what was cut; all ones: unknown */
	s32 ret;
	u16 name_flags; /* enum path_flag */
	u16 base_flags;
	u16 exe_flags;
	u16 cwd_flags;
	struct slice name;   /* the path as the caller spelled it */
	struct slice base;   /* where it starts from, when it is relative */
	struct slice exe;
	struct slice cwd;
	struct slice interp; /* of a script */
	struct slice argv;
	u32 details;
};
EXPORT_TYPE(struct, execve_event);

const volatile u32 want_details = 0;
const volatile u32 only_failed = 0;

/* Attempts under way that `calls` had no room for. */
s64 forgotten = 0;

/* Begins an event in the scratch space; NULL: it is not wanted, or lost. */
static __always_inline struct scratch *begin(struct counters *c, bool direct, const struct subject *who,
					     struct label *label, s64 ret)
{
	struct event_head head = {};
	struct execve_event *e;
	struct scratch *s;

	fill_ids(direct, who->task, &head);
	if ((only_failed && ret >= 0) || !wanted(direct, who, &head, label, KIND_EXECVE, false)) {
		COUNT(c->filtered);
		return NULL;
	}
	s = scratch_take(c, sizeof(*e));
	if (!s)
		return NULL;
	e = (void *)s->record;
	e->head = head;
	e->head.seq = next_seq(c);
	e->ret = ret;
	e->name_flags = e->base_flags = e->exe_flags = e->cwd_flags = 0;
	e->name = e->base = e->exe = e->cwd = e->interp = e->argv = (struct slice){};
	e->details = want_details;
	if (want_details)
		e->cwd_flags = append_cwd(s, who->task, &e->cwd, sizeof(*e));
	return s;
}

/* Whether a name that was appended is relative. */
static __always_inline bool is_relative(struct scratch *s, const struct slice *name)
{
	u32 at = name->off + sizeof(struct execve_event);

	return !name->len || at >= sizeof(s->record) || s->record[at] != '/';
}

/* `bprm` is NULL if the hook that has it was missed. */
static __always_inline int on_success(void *ctx, bool direct, struct task_struct *task, struct linux_binprm *bprm)
{
	struct counters *c = seen(KIND_EXECVE);
	struct subject who = subject_of(direct, task, false);
	const char *filename, *interp;
	struct execve_event *e;
	struct mm_struct *mm;
	struct label label = {};
	struct scratch *s;
	u32 used;
	long len;

	if (!c)
		return 0;
	s = begin(c, direct, &who, &label, 0);
	if (!s)
		return 0;
	e = (void *)s->record;
	mm = READ(false, task, mm);
	if (want_details) {
		e->exe_flags = append_path(s, &BPF_CORE_READ(mm, exe_file)->f_path, &e->exe, sizeof(*e));
		e->name_flags = PATH_UNREAD;
		e->head.unread |= UNREAD_INTERP;
		if (bprm) {
			filename = BPF_CORE_READ(bprm, filename);
			interp = BPF_CORE_READ(bprm, interp);
			e->name_flags = append_called(s, filename, false, &e->name, sizeof(*e));
			if (is_relative(s, &e->name))
				e->base_flags = append_base(s, task, AT_FDCWD, &e->base, sizeof(*e));
			e->head.unread &= ~UNREAD_INTERP;
			used = *(volatile u32 *)&s->used;
			if (interp != filename && used <= sizeof(s->record) - INTERP_BYTES) {
				len = bpf_probe_read_kernel_str(s->record + used, INTERP_BYTES, interp);
				if (len > 0 && len <= INTERP_BYTES) {
					e->interp.off = used - sizeof(*e);
					e->interp.len = len - 1;
					*(volatile u32 *)&s->used = used + len;
				} else {
					e->head.unread |= UNREAD_INTERP;
				}
			}
		}
	}

	if (!append_argv(s, mm, &e->argv_bytes, &e->argv, sizeof(*e)))
		e->head.unread |= UNREAD_ARGV;
	append_of_head(s, &e->head, &label);
	scratch_emit(ctx, c, s);
	return 0;
}

#define ARGS_CUT (1ULL << 32)
#define ARGS_UNREAD (2ULL << 32)

/* A walk through a caller's array of strings. */
struct args_walk {
	struct scratch *s;
	u64 array;
	u64 cut; /* ARGS_CUT until its end was found */
	u32 size; /* of an item */
	u32 reserved;
};

/* Appends one string; returns whether it is the last. */
static __always_inline long args_step(u32 i, struct args_walk *w)
{
	u64 item = 0;
	u32 used;
	long n;

	/* No array at all is one without strings (fs/exec.c: count). */
	if (w->array && bpf_probe_read_user(&item, w->size == 4 ? 4 : 8, (void *)(w->array + i * w->size)))
		return 1;
	if (!item) {
		w->cut = 0;
		return 1;
	}
	used = *(volatile u32 *)&w->s->used;
	if (used > sizeof(w->s->record) - ARG_BYTES - BEHIND_ALL)
		return 1;
	n = read_user_str(w->s->record + used, ARG_BYTES, (void *)item);
	if (n <= 0 || n > ARG_BYTES)
		return 1;
	*(volatile u32 *)&w->s->used = used + n;
	/* Without its end it looks as if it ended there. */
	return n == ARG_BYTES;
}

static __noinline long args_callback(u32 i, void *state)
{
	return args_step(i, state);
}

/*
 * Appends the strings of a caller's array; returns their length in bytes, or that of the part that was read, with
 * ARGS_CUT or (nothing was read) ARGS_UNREAD. A global function, like walk_to_root().
 */
__noinline u64 walk_args(u64 array, u32 bits, u32 number)
{
	struct args_walk w = { .array = array, .cut = ARGS_CUT, .size = bits / 8 };
	u32 start, used;

	w.s = bpf_map_lookup_elem(&scratch, &number);
	if (!w.s)
		return ARGS_UNREAD;
	start = *(volatile u32 *)&w.s->used;
	REPEAT(ARGS_MAX, args_step, args_callback, w);
	used = *(volatile u32 *)&w.s->used - start;
	return w.cut && !used ? ARGS_UNREAD : w.cut | used;
}

static __always_inline void append_args(struct scratch *s, struct execve_event *e, const struct call *call)
{
	u32 start = *(volatile u32 *)&s->used;
	u64 walked = walk_args(call->list, call->bits, s->number);

	e->argv.off = start - sizeof(*e);
	e->argv.len = walked;
	e->argv_bytes = walked & ARGS_CUT ? UNKNOWN_BYTES : (u32)walked;
	if (walked & ARGS_UNREAD)
		e->head.unread |= UNREAD_ARGV;
}

static __noinline int on_failure(void *ctx, const struct call *call, s64 ret)
{
	struct counters *c = seen(KIND_EXECVE);
	struct task_struct *task = (void *)bpf_get_current_task();
	struct subject who = subject_of(false, task, false);
	struct execve_event *e;
	struct label label = {};
	struct scratch *s;

	if (!c)
		return nothing();
	s = begin(c, false, &who, &label, ret);
	if (!s)
		return nothing();
	e = (void *)s->record;
	if (!call->bits || !BPF_CORE_READ(task, mm, env_end)) {
		/*
		 * Its arguments were not found; or it failed when the caller's memory was gone already, and the new
		 * one's was not complete (fs/binfmt_elf.c: create_elf_tables sets this last).
		 */
		e->head.unread |= UNREAD_ARGV;
		e->name_flags = PATH_UNREAD;
	} else {
		if (want_details) {
			e->name_flags = append_called(s, (void *)call->name, true, &e->name, sizeof(*e));
			/* An empty name means the descriptor's file, or (ENOENT) nothing. */
			if (!(e->name_flags & PATH_UNREAD) && !e->name.len && !(call->flags & AT_EMPTY_PATH))
				e->name_flags |= PATH_AS_IT_IS;
			else if (!(e->name_flags & PATH_UNREAD) && is_relative(s, &e->name))
				e->base_flags = append_base(s, task, call->dir, &e->base, sizeof(*e));
		}
		append_args(s, e, call);
	}
	append_of_head(s, &e->head, &label);
	scratch_emit(ctx, c, s);
	return nothing();
}

static __noinline int on_missed_success(void *ctx)
{
	on_success(ctx, false, (void *)bpf_get_current_task(), NULL);
	return nothing();
}

/* Whether the current task may be in an attempt that had no room in `calls`; if so, counts that one off. */
static __always_inline bool was_forgotten(void)
{
	if (*(volatile s64 *)&forgotten <= 0)
		return false;
	__sync_fetch_and_add(&forgotten, -1);
	return true;
}

/* A failed attempt without an entry in `calls`. If it began before the hooks were attached, it is not counted. */
static __always_inline int on_unknown_failure(void)
{
	struct counters *c;

	if (is_remembered())
		return was_forgotten() ? count_call(KIND_EXECVE, DROP_MAP_FULL) : 0;
	c = seen(KIND_EXECVE);
	if (c)
		COUNT(c->filtered);
	return 0;
}

/* An attempt that returns, and whose entry was remembered. */
static __always_inline int on_return(void *ctx, s64 ret)
{
	struct call *call = current_call();
	int done;

	if (!call) /* A success was reported already. */
		return ret < 0 ? on_unknown_failure() : 0;
	if (ret < 0)
		done = on_failure(ctx, call, ret);
	else /* The kernel did not run the program that reports successes. */
		done = on_missed_success(ctx);
	end_call();
	return done;
}

static __always_inline int on_enter(u64 name, u64 list, s32 dir, u32 flags, u32 bits)
{
	struct call call = { .name = name, .list = list, .dir = dir, .flags = flags, .bits = bits };

	if (!(flags & AT_EXECVE_CHECK) && begin_call(KIND_EXECVE, &call) == BEGUN_NO_ROOM)
		COUNT(forgotten);
	return 0;
}

/* Successful attempts. */

SEC("tp_btf/sched_process_exec")
int BPF_PROG(exec_success_btf, struct task_struct *task, pid_t old_tid, struct linux_binprm *bprm)
{
	return on_success(ctx, true, task, bprm);
}

SEC("raw_tp/sched_process_exec")
int exec_success_raw(u64 *ctx)
{
	/* The return has nothing to add. */
	if (current_call())
		end_call();
	else if (forgotten > 0 && is_remembered())
		was_forgotten();
	return on_success(ctx, false, (void *)ctx[0], (void *)ctx[2]);
}

/* Failed attempts: the return of the functions that handle the system calls; fexit has their arguments. */

SEC("fexit")
int BPF_PROG(exec_fexit, struct pt_regs *regs, long ret)
{
	struct call call = { .name = NATIVE_ARG(regs, 1), .list = NATIVE_ARG(regs, 2), .dir = AT_FDCWD, .bits = 64 };

	return ret < 0 ? on_failure(ctx, &call, ret) : 0;
}

/* `unused`: on 5.10, the verifier does not let programs read an argument of its type. */
SEC("fexit")
int BPF_PROG(execat_fexit, void *unused, long ret)
{
	struct pt_regs *regs;
	struct call call = {};

	if (ret >= 0)
		return 0;
	regs = entry_regs(true);
	if (entry_syscall(regs) == NR_EXECVEAT) {
		call.dir = NATIVE_ARG(regs, 1);
		call.name = NATIVE_ARG(regs, 2);
		call.list = NATIVE_ARG(regs, 3);
		call.flags = (u32)NATIVE_ARG(regs, 5);
		call.bits = 64;
	}
	if (call.flags & AT_EXECVE_CHECK)
		return 0;
	return on_failure(ctx, &call, ret);
}

SEC("fexit")
int BPF_PROG(exec32_fexit, struct pt_regs *regs, long ret)
{
	struct call call = { .name = COMPAT_ARG(regs, 1), .list = COMPAT_ARG(regs, 2), .dir = AT_FDCWD, .bits = 32 };

	return ret < 0 ? on_failure(ctx, &call, ret) : 0;
}

SEC("fexit")
int BPF_PROG(execat32_fexit, struct pt_regs *regs, long ret)
{
	struct call call = {
		.name = COMPAT_ARG(regs, 2), .list = COMPAT_ARG(regs, 3), .dir = COMPAT_ARG(regs, 1), .bits = 32,
		.flags = COMPAT_ARG(regs, 5),
	};

	return ret < 0 && !(call.flags & AT_EXECVE_CHECK) ? on_failure(ctx, &call, ret) : 0;
}

/* The same functions by kprobe: attached by these names, or to functions that user space names. */

SEC("ksyscall/execve")
int exec_enter(struct pt_regs *ctx)
{
	struct pt_regs *regs = caller_regs(ctx);

	return on_enter(NATIVE_ARG(regs, 1), NATIVE_ARG(regs, 2), AT_FDCWD, 0, 64);
}

SEC("ksyscall/execveat")
int execat_enter(struct pt_regs *ctx)
{
	struct pt_regs *regs = caller_regs(ctx);

	return on_enter(NATIVE_ARG(regs, 2), NATIVE_ARG(regs, 3), NATIVE_ARG(regs, 1), NATIVE_ARG(regs, 5), 64);
}

SEC("kprobe")
int exec32_enter(struct pt_regs *ctx)
{
	struct pt_regs *regs = caller_regs(ctx);

	return on_enter(COMPAT_ARG(regs, 1), COMPAT_ARG(regs, 2), AT_FDCWD, 0, 32);
}

SEC("kprobe")
int execat32_enter(struct pt_regs *ctx)
{
	struct pt_regs *regs = caller_regs(ctx);

	return on_enter(COMPAT_ARG(regs, 2), COMPAT_ARG(regs, 3), COMPAT_ARG(regs, 1), COMPAT_ARG(regs, 5), 32);
}

SEC("kretprobe")
int exec_return(struct pt_regs *ctx)
{
	return on_return(ctx, PT_REGS_RC(ctx));
}

/*
 * Tracepoints of the system calls, which 32-bit callers do not reach (ARCH_TRACE_IGNORE_COMPAT_SYSCALLS). Arguments and
 * result are where struct syscall_trace_enter and syscall_trace_exit have them (kernel/trace/trace_syscalls.c:
 * perf_call_bpf_enter), and these structs limit what programs may read (perf_event_set_bpf_prog).
 * trace_event_raw_sys_enter, the record of another tracepoint, has them elsewhere if trace_entry is longer, as in
 * Debian's 5.10 with PREEMPT_RT (the patch "sched: Add support for lazy preemption"). Do not use their `nr`: there,
 * before 6.7, it is half of what the kernel writes.
 */

SEC("tp/syscalls/sys_enter_execve")
int exec_enter_tp(struct syscall_trace_enter *ctx)
{
	return on_enter(ctx->args[0], ctx->args[1], AT_FDCWD, 0, 64);
}

SEC("tp/syscalls/sys_enter_execveat")
int execat_enter_tp(struct syscall_trace_enter *ctx)
{
	return on_enter(ctx->args[1], ctx->args[2], ctx->args[0], ctx->args[4], 64);
}

SEC("tp")
int exec_return_tp(struct syscall_trace_exit *ctx)
{
	return on_return(ctx, ctx->ret);
}
