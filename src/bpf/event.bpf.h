/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Shared by every tracer: the event head, the tail's slices, the run's configuration, the `events`
 * buffer, the ledger that counts what happens to each event, and emit().
 */
#pragma once
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define COMM_LEN 16
#define UIDS_MAX 16
#define CGROUPS_MAX 8
#define KINDS_MAX 64
#define LABEL_LEN 32
#define SPACES_MAX 8

/*
 * What bpf_perf_event_output returns if this CPU has no buffer: it was offline when they were made, or lost its buffer
 * when it went offline (kernel/trace/bpf_trace.c: __bpf_perf_event_output). A full buffer is ENOSPC.
 */
#define ENOENT 2       /* include/uapi/asm-generic/errno-base.h */
#define EOPNOTSUPP 95  /* include/uapi/asm-generic/errno.h */

/* Keeps a type that only user space reads in this object's BTF, so that the skeleton has it. */
#define EXPORT_TYPE(kind, type) const kind type *__export_##type __attribute__((unused))

/*
 * The 0 that functions return which are not inlined. The compiler must not know the value: it would leave it to the
 * callers, and keep whatever is in r0. If that is an address on the stack, the verifier refuses ("cannot return stack
 * pointer to the caller").
 */
static __always_inline int nothing(void)
{
	int zero;

	asm volatile("%0 = 0" : "=r"(zero));
	return zero;
}

/* A slice of the event's tail, the bytes that follow the fixed struct. */
struct slice {
	u16 off;
	u16 len;
};

/* First member of every event. Process ids are those of coretrace's own PID namespace. */
struct event_head {
	u64 boot_ns; /* CLOCK_BOOTTIME */
	u64 seq;     /* per CPU and kind; counts lost events too, so that a gap is a loss (but for interrupted programs) */
	u64 cgroup_id;
	u32 kind;
	u32 cpu;
	u32 pid; /* the kernel's tgid */
	u32 tid; /* the kernel's pid */
	u32 ppid;
	u32 uid;
	u32 gid;
	u32 unread; /* bits, by kind: fields that could not be read */
	u8 comm[COMM_LEN];
	struct slice label; /* in the whole record */
	u8 flags; /* enum head_flag */
	u8 ancestors; /* how many struct ancestor are at `above`, the parent first */
	u16 above; /* where in the record they are; 0: they were not asked for */
};
EXPORT_TYPE(struct, event_head);

enum head_flag {
	HEAD_HEARTBEAT = 1, /* it passed the filters as a heartbeat alone: it is not shown */
	HEAD_ANCESTORS = 2, /* all above the process were asked for, not its parent alone */
	HEAD_ANCESTORS_CUT = 4, /* there are more above */
};
EXPORT_TYPE(enum, head_flag);

/* A process above the one that an event is of, by its first thread. */
struct ancestor {
	u32 pid;
	u8 comm[COMM_LEN];
};
EXPORT_TYPE(struct, ancestor);

/* The label of a user or a cgroup in the map of labels; NUL-padded. */
struct label {
	u8 text[LABEL_LEN];
} __attribute__((aligned(8)));

/* Why an event was not delivered. */
enum drop_cause {
	DROP_BUFFER_FULL,  /* the reader was too slow for the buffer's size */
	DROP_SCRATCH_BUSY, /* the CPU's scratch spaces were in use by events that were interrupted */
	DROP_MAP_FULL,     /* a new process could not be added to those followed */
	DROP_RETURN_MISSED, /* a call began whose return the kernel did not show */
	DROP_CHILD_UNKNOWN, /* a new process, to be followed, of which coretrace's PID namespace's number was not found */
	DROP_CPU_OFFLINE, /* a perf buffer: the CPU had none, as it was off when they were made, or meanwhile */
	DROP_CAUSES,
};
EXPORT_TYPE(enum, drop_cause);

/* What happened to the events of one kind on one CPU: seen = filtered + emitted + dropped. */
struct counters {
	u64 seen;
	u64 filtered;
	u64 emitted;
	u64 dropped[DROP_CAUSES];
	u64 undecided; /* of the filtered ones, those that might have been wanted: the condition's values were unreadable */
};

/*
 * What user space sets before load. Constants to the verifier: code that a run does not use is not even in the loaded
 * program.
 */
struct settings {
	u64 kinds;      /* bit mask: kinds that are wanted */
	u64 wake_from;  /* bytes in the ring buffer at which the reader is woken … */
	u64 wake_to;    /* … up to this: past it, it is awake already */
	u64 comm_start; /* comm globs, one automaton: see filter.bpf.h */
	u64 comm_loop;
	u64 comm_accept;
	u32 perf;         /* `events` is a perf buffer */
	u32 filter_comm;
	u32 filter_pids;  /* only processes in `followed` */
	u32 follow;       /* … and what they fork */
	u32 uids_len;
	u32 cgroups_len;
	u32 pidns;        /* inode of coretrace's PID namespace; 0: the initial one */
	u32 page_size;
	u32 labels;      /* events carry labels, looked up in the map `labels` */
	u32 only_label;  /* only events of only_labelled, which may be the empty one … */
	u32 ignore_label; /* … or all but those of ignore_labelled */
	u32 heartbeat; /* coretrace's own process: what it does passes all filters; 0: none */
	u32 spaces;    /* scratch spaces of each CPU, up to SPACES_MAX */
	u32 names;     /* user space looks up cgroups, which may soon be gone: see known_cgroups */
	u32 refuses;   /* … and refuses some */
	u32 parent;    /* events have the name of the process's parent */
	u32 ancestors; /* … and of all above it, at most so many */
	u32 reserved;
	struct label default_label; /* if the map has none */
	struct label only_labelled;
	struct label ignore_labelled;
	u32 uids[UIDS_MAX];
};
const volatile struct settings settings = {};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20); /* sized by user space before load, or made a perf buffer */
} events SEC(".maps");

/*
 * The cgroups that user space has looked up, by their ids. Events of all others reach it, as it alone can tell what they
 * are: the first one of each.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192); /* and more for each CPU: src/load/shared.rs */
	__type(key, u64);
	__type(value, u32); /* not 0: it shows none of their events (--container, --unit) */
} known_cgroups SEC(".maps");

/*
 * The counters of each CPU, KINDS_MAX in a row, which user space maps into its memory. It must not read them by system
 * call: while a process is interrupted in such a call, the kernel skips programs on kprobes and classic tracepoints on
 * that CPU (include/linux/bpf.h: bpf_disable_instrumentation).
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, KINDS_MAX); /* times the CPUs: sized by user space before load */
	__type(key, u32);
	__type(value, struct counters);
} ledger SEC(".maps");

/*
 * Counts. Several programs may write the counters of a kind, and the kernel may interrupt one to run another on the
 * same CPU: only an atomic addition is exact.
 */
#define COUNT(counter) ((void)__sync_fetch_and_add(&(counter), 1))

/* The counters of a kind on this CPU. */
static __always_inline struct counters *account_of(u32 kind)
{
	u32 place = bpf_get_smp_processor_id() * KINDS_MAX + kind;

	return bpf_map_lookup_elem(&ledger, &place);
}

/* Counts an event as seen; returns its counters. */
static __always_inline struct counters *open_account(u32 kind)
{
	struct counters *c = account_of(kind);

	if (c)
		COUNT(c->seen);
	return c;
}

/* The same, or NULL if the kind is not wanted. */
static __always_inline struct counters *seen(u32 kind)
{
	return settings.kinds & (1ULL << kind) ? open_account(kind) : NULL;
}

/* How many events of this kind came before this one on this CPU, including lost ones. */
static __always_inline u64 next_seq(const struct counters *c)
{
	u64 seq = c->emitted;

	for (int i = 0; i < DROP_CAUSES; i++)
		seq += c->dropped[i];
	return seq;
}

/* Whether an event is of a cgroup that user space has to look up while it is there. (0: it is of no process.) */
static __always_inline bool is_urgent(const struct event_head *head)
{
	u64 id = head->cgroup_id;

	return settings.names && id && !bpf_map_lookup_elem(&known_cgroups, &id);
}

/*
 * Sends one record, or counts it as lost. The reader sleeps up to its flush interval and is woken early only when the
 * buffer fills, or for the first event of a cgroup: a wake-up for each event costs more than the event.
 */
static __always_inline void emit(void *ctx, struct counters *c, void *event, u64 len)
{
	u64 backlog, flags;
	long err;

	if (settings.perf) {
		err = bpf_perf_event_output(ctx, &events, BPF_F_CURRENT_CPU, event, len);
	} else {
		backlog = bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA);
		flags = backlog + len >= settings.wake_from && backlog < settings.wake_to ? BPF_RB_FORCE_WAKEUP :
											    BPF_RB_NO_WAKEUP;
		if (is_urgent(event))
			flags = BPF_RB_FORCE_WAKEUP;
		err = bpf_ringbuf_output(&events, event, len, flags);
	}
	if (!err)
		COUNT(c->emitted);
	else if (settings.perf && ((int)err == -ENOENT || (int)err == -EOPNOTSUPP))
		COUNT(c->dropped[DROP_CPU_OFFLINE]);
	else
		COUNT(c->dropped[DROP_BUFFER_FULL]);
}

/* Sends an event without a tail; its label is put after it (struct { …_event e; struct label label; }). */
static __always_inline void emit_fixed(void *ctx, struct counters *c, struct event_head *head, u64 size)
{
	if (settings.labels) {
		head->label.off = size;
		head->label.len = LABEL_LEN;
		size += LABEL_LEN;
	}
	emit(ctx, c, head, size);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
