/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * `open`: every open of a file, successful or not. The event is made when the opening function returns: its arguments,
 * its result, and the path.
 */
#include "event.bpf.h"
#include "compat.bpf.h"

enum open_kind {
	KIND_OPEN = 6,
};
EXPORT_TYPE(enum, open_kind);

#include "filter.bpf.h"
#include "above.bpf.h"
#include "call.bpf.h"

/* include/uapi/asm-generic/fcntl.h: of common_open_flags() */
#define O_ACCMODE 03
#define O_WRONLY 01
#define O_CREAT 0100
#define O_TRUNC 01000
#define O_NONBLOCK 04000
#define O_LARGEFILE 0100000
#define O_TMPFILE 020000000 /* __O_TMPFILE */
/* include/linux/fs.h: opened to be run; no system call can ask for it. */
#define FMODE_EXEC 0x20
/* include/uapi/linux/openat2.h: the directory is the root, for absolute names too */
#define RESOLVE_IN_ROOT 0x10
/* include/linux/sched.h: a worker of io_uring */
#define PF_IO_WORKER 0x00000010
/* include/linux/namei.h */
#define MODE_BITS 07777
#define MAX_ERRNO 4095
/* include/uapi/asm-generic/errno-base.h */
#define EAGAIN 11
/*
 * In call.bits, unused by openat2 (and not CALL_UNREAD): io_uring tries an open that must not block, in the process
 * itself (see is_other_origin).
 */
#define IO_URING_TRIES 0x80000000

/* Who opened it. */
enum open_origin {
	OPEN_BY_CALL,
	OPEN_BY_EXEC,
	OPEN_BY_IO_URING,
};
EXPORT_TYPE(enum, open_origin);

enum open_unread {
	UNREAD_FLAGS = 1, /* the mode, too */
};
EXPORT_TYPE(enum, open_unread);

struct open_event {
	struct event_head head;
	u64 flags;
	s32 ret; /* descriptor, or a negative error; 0 where there is no descriptor to report */
	u32 mode;
	u16 name_flags; /* enum path_flag */
	u16 base_flags;
	u16 file_flags;
	u16 cwd_flags;
	struct slice name; /* as it was given */
	struct slice base; /* where it starts from, when it is relative */
	struct slice file; /* what was opened */
	struct slice cwd;
	u32 origin; /* enum open_origin */
	u32 details;
};
EXPORT_TYPE(struct, open_event);

#define PREFIXES_MAX 4
#define PREFIX_BYTES 64

const volatile u32 want_details = 0;
const volatile u32 regs_known = 0; /* the kernel has BTF of its own */
const volatile u32 only_failed = 0;
const volatile u32 only_writes = 0;
const volatile u64 only_flags = 0;
/*
 * Prefixes of wanted paths, and the first name in each. The path of the file, or the name it was opened by, must have
 * one of them: only what cannot match is refused here; user space tests whole paths.
 */
const volatile u32 prefixes_len = 0;
const volatile u32 prefix_lens[PREFIXES_MAX] = {};
const volatile u32 top_lens[PREFIXES_MAX] = {};
const volatile u8 prefixes[PREFIXES_MAX][PREFIX_BYTES] = {};
const volatile u8 tops[PREFIXES_MAX][PREFIX_BYTES] = {};

static __always_inline bool begins_with(const u8 *name, const volatile u8 *beginning, u32 len)
{
	for (u32 i = 0; i < PREFIX_BYTES; i++) {
		if (i >= len)
			break;
		if (name[i] != beginning[i])
			return false;
	}
	return true;
}

/*
 * Whether the text there in the record begins with a wanted prefix, or with the first name of one (`tops_only`). A
 * global function, like the next one: see walk_to_root. In place, each byte that may differ is a state of the verifier
 * that goes on to the end of the program, and a load took seconds.
 */
__noinline u32 begins_as_wanted(u32 number, u64 at, u32 tops_only)
{
	struct scratch *s;

	/* (Before 6.8 the verifier looks at it where nothing calls it, too.) */
	if (!prefixes_len)
		return true;
	s = bpf_map_lookup_elem(&scratch, &number);
	if (!s || at > sizeof(s->record) - PREFIX_BYTES)
		return true;
	for (u32 i = 0; i < PREFIXES_MAX; i++) {
		if (i >= prefixes_len)
			break;
		if (tops_only ? begins_with(s->record + at, tops[i], top_lens[i])
			      : begins_with(s->record + at, prefixes[i], prefix_lens[i]))
			return true;
	}
	return false;
}

/* Whether the path that was walked last may be wanted, by its topmost name. */
static __always_inline bool top_matches(const struct scratch *s, const struct slice *path, u32 flags)
{
	u32 top = *(volatile u32 *)&s->top;

	if (!path->len || flags & (PATH_CUT | PATH_UNREAD | PATH_AS_IT_IS))
		return true;
	return begins_as_wanted(s->number, top, true);
}

/* How many bytes of a name are checked: a longer one may lead anywhere. */
#define LOOKED_AT 256

/* Whether the name there in the record may lead to a path that does not begin like it: `/tmp/../etc`, `//etc`, `./etc`. */
__noinline u32 needs_normalizing(u32 number, u64 at, u32 len)
{
	u8 before = '/', byte;
	struct scratch *s;

	if (!prefixes_len || len > LOOKED_AT)
		return true;
	s = bpf_map_lookup_elem(&scratch, &number);
	if (!s || at > sizeof(s->record) - LOOKED_AT)
		return true;
	for (u32 i = 0; i < LOOKED_AT; i++) {
		if (i >= len)
			break;
		byte = s->record[at + i];
		if (before == '/' && (byte == '.' || (byte == '/' && i)))
			return true;
		before = byte;
	}
	return false;
}

/* The flags that matter: a 64-bit program opens everything with O_LARGEFILE. */
static __always_inline u64 shown_flags(u64 flags)
{
	return common_open_flags(flags) & ~(u64)(O_LARGEFILE | FMODE_EXEC);
}

/* Appends the paths of an event whose other fields are set; false: none of them begins with a prefix that is wanted. */
static __always_inline bool append_paths(struct scratch *s, struct task_struct *task, const struct call *call, s64 ret,
					 struct file *opened)
{
	struct open_event *e = (void *)s->record;
	bool absolute, maybe = true;

	e->base_flags = e->file_flags = e->cwd_flags = 0;
	e->base = e->file = e->cwd = (struct slice){};
	e->name_flags = append_called(s, (void *)call->name, call->origin == OPEN_BY_CALL, &e->name, sizeof(*e));
	absolute = e->name.len && s->record[sizeof(*e)] == '/' && !(call->bits & RESOLVE_IN_ROOT);
	if (prefixes_len && !(e->name_flags & PATH_UNREAD) && !needs_normalizing(s->number, sizeof(*e), e->name.len))
		maybe = absolute && begins_as_wanted(s->number, sizeof(*e), false);
	if (!absolute && !(e->name_flags & PATH_UNREAD)) {
		/* An empty name means nothing (ENOENT), and no directory. */
		if (e->name.len)
			e->base_flags = append_base(s, task, call->dir, &e->base, sizeof(*e));
		else
			e->name_flags |= PATH_AS_IT_IS;
		if (prefixes_len && !maybe)
			maybe = e->name.len && top_matches(s, &e->base, e->base_flags);
	}
	if (!want_details)
		return true;
	if (ret >= 0) {
		if (!opened)
			opened = file_of(task, ret);
		e->file_flags = PATH_UNREAD;
		if (opened)
			e->file_flags = append_path(s, &opened->f_path, &e->file, sizeof(*e));
		if (prefixes_len && !maybe)
			maybe = top_matches(s, &e->file, e->file_flags);
	}
	/* Coretrace's heartbeat opens no name, which no prefix matches. */
	if (!maybe && !(settings.heartbeat && e->head.pid == settings.heartbeat))
		return false;
	e->cwd_flags = append_cwd(s, task, &e->cwd, sizeof(*e));
	return true;
}

/* `opened` is the file, if no descriptor refers to it yet. */
static __noinline int on_open(void *ctx, const struct call *call, s64 ret, struct file *opened)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct counters *c = seen(KIND_OPEN);
	bool unread = call->bits & CALL_UNREAD;
	struct subject who = subject_of(false, task, false);
	struct event_head head = {};
	struct open_event *e;
	struct label label = {};
	struct scratch *s;

	if (!c)
		return nothing();
	/* Flags that could not be read may be any. */
	if ((only_failed && ret >= 0) || (only_writes && !unread && !(call->flags & O_ACCMODE)) ||
	    (!unread && (common_open_flags(call->flags) & only_flags) != only_flags))
		goto filtered;
	fill_ids(false, task, &head);
	if (!wanted(false, &who, &head, &label, KIND_OPEN, false))
		goto filtered;
	s = scratch_take(c, sizeof(*e));
	if (!s)
		return nothing();
	e = (void *)s->record;
	e->head = head;
	e->head.seq = next_seq(c);
	e->head.unread = unread ? UNREAD_FLAGS : 0;
	e->flags = shown_flags(call->flags);
	e->mode = call->flags & (O_CREAT | O_TMPFILE) ? call->mode & MODE_BITS : 0;
	e->ret = ret;
	e->origin = call->origin;
	e->details = want_details;
	if (!append_paths(s, task, call, ret, opened)) {
		scratch_release(s);
		goto filtered;
	}
	append_of_head(s, &e->head, &label);
	scratch_emit(ctx, c, s);
	return nothing();
filtered:
	COUNT(c->filtered);
	return nothing();
}

static __always_inline int on_return(void *ctx, s64 ret)
{
	struct call *call = current_call();

	/* Where it is not there, it was counted when it began, or it began before the hooks were there. */
	if (call) {
		on_open(ctx, call, ret, NULL);
		end_call();
	}
	return 0;
}

static __always_inline int on_begin(const struct call *call)
{
	return begin_call(KIND_OPEN, call) == BEGUN ? 0 : count_call(KIND_OPEN, DROP_MAP_FULL);
}

static __always_inline struct call opened_with(s32 dir, const void *name, const struct open_how *how)
{
	struct call call = { .name = (u64)name, .dir = dir };
	u64 resolve;

	resolve = BPF_CORE_READ(how, resolve);
	call.bits = resolve & ~(u64)CALL_UNREAD;
	if (bpf_core_read(&call.flags, sizeof(call.flags), &how->flags))
		call.bits |= CALL_UNREAD;
	call.mode = BPF_CORE_READ(how, mode);
	return call;
}

/* do_sys_openat2 is where open, openat, openat2 and creat end up, those of 32-bit callers too (fs/open.c). */

SEC("fexit")
int BPF_PROG(open_fexit, int dir, const char *name, struct open_how *how, long ret)
{
	struct call call = opened_with(dir, name, how);

	return on_open(ctx, &call, (s32)ret, NULL);
}

SEC("kprobe")
int BPF_KPROBE(open_enter, int dir, const char *name, struct open_how *how)
{
	struct call call = opened_with(dir, name, how);

	return on_begin(&call);
}

SEC("kretprobe")
int open_return(struct pt_regs *ctx)
{
	return on_return(ctx, (s32)PT_REGS_RC(ctx));
}

/*
 * do_filp_open (do_file_open since 7.0) does the work of do_sys_openat2, and is also called from elsewhere: exec opens
 * what it runs, io_uring what it is asked to.
 */
static __always_inline bool is_other_origin(struct filename *name, const struct open_flags *op, struct call *call)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	int flags = BPF_CORE_READ(op, open_flag);

	if (flags & FMODE_EXEC)
		call->origin = OPEN_BY_EXEC;
	else if (BPF_CORE_READ(task, flags) & PF_IO_WORKER)
		call->origin = OPEN_BY_IO_URING;
	else if (entry_syscall(entry_regs(regs_known)) == NR_IO_URING_ENTER) {
		call->origin = OPEN_BY_IO_URING;
		/*
		 * First io_uring tries with an O_NONBLOCK of its own (io_uring/openclose.c: io_openat2, since 5.12); it
		 * does not say whether it was asked for one.
		 */
		call->bits = IO_URING_TRIES;
		flags &= ~O_NONBLOCK;
	} else
		return false;
	call->name = (u64)BPF_CORE_READ(name, name);
	call->flags = (u32)flags;
	call->mode = BPF_CORE_READ(op, mode);
	return true;
}

/* A pointer that is an error is one of the last 4,095 addresses (include/linux/err.h). */
static __always_inline int on_file(void *ctx, const struct call *call, u64 file)
{
	bool failed = file >= (u64)-MAX_ERRNO;

	/* A worker does it next. */
	if (call->bits & IO_URING_TRIES && file == (u64)-EAGAIN)
		return 0;
	return on_open(ctx, call, failed ? (s64)file : 0, failed ? NULL : (void *)file);
}

SEC("fexit")
int BPF_PROG(open_file_fexit, int dir, struct filename *name, const struct open_flags *op)
{
	struct call call = { .dir = dir };
	u64 file;

	if (!is_other_origin(name, op, &call))
		return 0;
	/* What it returned follows the arguments. As a pointer, the verifier would not let it be compared. */
	bpf_probe_read_kernel(&file, sizeof(file), &ctx[3]);
	return on_file(ctx, &call, file);
}

SEC("kprobe")
int BPF_KPROBE(open_file_enter, int dir, struct filename *name, const struct open_flags *op)
{
	struct call call = { .dir = dir };

	return is_other_origin(name, op, &call) ? on_begin(&call) : 0;
}

SEC("kretprobe")
int open_file_return(struct pt_regs *ctx)
{
	struct call *call = current_call();

	/* Without an origin of its own it is part of do_sys_openat2, which has yet to return. */
	if (!call || call->origin == OPEN_BY_CALL)
		return 0;
	on_file(ctx, call, PT_REGS_RC(ctx));
	end_call();
	return 0;
}

/* Tracepoints of the system calls (what they get: see exec.bpf.c): no 32-bit callers, no io_uring, no exec. */

static __always_inline int on_enter(s32 dir, u64 name, u64 flags, u32 mode, u32 resolve)
{
	struct call call = { .name = name, .flags = flags, .dir = dir, .mode = mode, .bits = resolve };

	return on_begin(&call);
}

SEC("tp/syscalls/sys_enter_open")
int open_enter_tp(struct syscall_trace_enter *ctx)
{
	return on_enter(AT_FDCWD, ctx->args[0], (u32)ctx->args[1], ctx->args[2], 0);
}

SEC("tp/syscalls/sys_enter_creat")
int open_creat_enter_tp(struct syscall_trace_enter *ctx)
{
	return on_enter(AT_FDCWD, ctx->args[0], O_CREAT | O_WRONLY | O_TRUNC, ctx->args[1], 0);
}

SEC("tp/syscalls/sys_enter_openat")
int open_openat_enter_tp(struct syscall_trace_enter *ctx)
{
	return on_enter(ctx->args[0], ctx->args[1], (u32)ctx->args[2], ctx->args[3], 0);
}

SEC("tp/syscalls/sys_enter_openat2")
int open_openat2_enter_tp(struct syscall_trace_enter *ctx)
{
	struct open_how how = {};
	bool unread = bpf_probe_read_user(&how, sizeof(how), (void *)ctx->args[2]);

	return on_enter(ctx->args[0], ctx->args[1], how.flags, how.mode,
			(how.resolve & ~(u64)CALL_UNREAD) | (unread ? CALL_UNREAD : 0));
}

SEC("tp")
int open_return_tp(struct syscall_trace_exit *ctx)
{
	return on_return(ctx, ctx->ret);
}
