/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Values that a user chose, where they chose. Instructions that user space generates for a spec (src/spec/code.rs) are
 * written over the holes in this object before it is opened; they call the functions here for whatever is longer than
 * a number.
 */
#pragma once
#include "filter.bpf.h"
#include "path.bpf.h"

#define SLOTS_MAX 32	 /* src/spec/ir.rs */
#define WORDS_MAX 40	 /* of the context: arguments, or registers (arm64 has 34) */
#define STR_MAX 4096	 /* bytes of one string, with its NUL */
#define TAIL_MAX (16 << 10) /* strings that begin behind this have no room */
#define TEXTS_MAX 8	 /* strings to compare with … */
#define TEXT_BYTES 128	 /* … and their length */
#define GLOBS_MAX 2
#define SMALLEST_PAGE 4096
#define STR_NULL (1ULL << 32) /* the slot of a string that is nowhere */

enum space {
	SPACE_KERNEL,
	SPACE_USER,
	SPACE_BY_ADDRESS,
};

struct probe_event {
	struct event_head head;
	u64 duration_ns; /* of a call, where its return was waited for */
	u64 ip;		 /* where the probe was hit, or what it was attached with (probe_cookies); 0: not known */
	u16 slots;
	u16 way;	 /* which of the ways to hook in: what the slots mean */
	u32 unread;	 /* bit n: the n-th slot could not be read */
	u32 stack;	 /* where in the record its struct hit_stack is; 0: it has none */
	u32 reserved;
	u64 value[];	 /* a number, or a struct slice into the whole record; unread: 1 if it is behind a NULL pointer */
};
EXPORT_TYPE(struct, probe_event);

/* What is known of a hit while its record is built: behind the record, in the same scratch space. */
struct probe_state {
	u64 words[WORDS_MAX]; /* copies of those of the context */
	u64 ret;	      /* what the function returned */
	u64 duration;	      /* how long it took */
	u64 task;	      /* the current one */
	u64 frame;	      /* what distinguishes calls that are under way in one task */
	u64 undecided;	      /* the condition asked for what could not be read */
};
EXPORT_TYPE(struct, probe_state);

#define STATE_AT (sizeof(((struct scratch *)0)->record) - sizeof(struct probe_state))
#define STATE(s) ((volatile struct probe_state *)((s)->record + STATE_AT))

/* Set by user space before load. */
const volatile u32 probe_kind = 0;
const volatile u32 probe_way = 0;
const volatile u32 probe_slots = 0;
const volatile u32 probe_words = 0;
const volatile u32 probe_ret_word = 0;
const volatile u32 probe_tests = 0;
const volatile u32 probe_sleepable = 0;
const volatile u32 probe_cookies = 0;
const volatile u32 text_lens[TEXTS_MAX] = {};
const volatile u8 texts[TEXTS_MAX][TEXT_BYTES] = {};
/* Globs, each as a bit-parallel automaton (see comm_matches): where it starts, stays on any byte, and ends. */
const volatile u64 glob_start[GLOBS_MAX] = {};
const volatile u64 glob_loop[GLOBS_MAX] = {};
const volatile u64 glob_accept[GLOBS_MAX] = {};
const volatile u64 glob_table[GLOBS_MAX][256] = {};

/*
 * A hole: fillers, over whose end the generated instructions are written, with the `exit` behind them. Nothing that
 * cannot be reached may be left: the verifier refuses it.
 */
#define HOLE(name, room)                                                                  \
	static __noinline __attribute__((used)) u64 name(void *ctx, struct scratch *s)    \
	{                                                                                 \
		register void *r1 asm("r1") = ctx;                                        \
		register struct scratch *r2 asm("r2") = s;                                \
		register u64 r0 asm("r0");                                                \
                                                                                          \
		asm volatile(".rept " room "\n"                                           \
			     "goto +0\n"                                                  \
			     ".endr\n"                                                    \
			     "r0 = 1\n"                                                   \
			     : "=r"(r0)                                                   \
			     : "r"(r1), "r"(r2)                                           \
			     : "r3", "r4", "r5", "r6", "r7", "r8", "r9", "memory");       \
		return r0;                                                                \
	}

HOLE(probe_test, "512")
HOLE(probe_fetch, "1536")
HOLE(probe_return_test, "512")
HOLE(probe_return_fetch, "512")

static __always_inline bool is_user(u64 at, u64 space)
{
	return space == SPACE_USER || (space == SPACE_BY_ADDRESS && (s64)at >= 0);
}

/* Reads so many bytes to the end of the record; returns the slice that they are, or a negative number. */
static __noinline __attribute__((used)) u64 probe_bytes(struct scratch *s, u64 at, u64 arg)
{
	u64 size = (u32)arg, used = *(volatile u32 *)&s->used;
	long err;

	if (size > STR_MAX || used > TAIL_MAX || at < SMALLEST_PAGE)
		return -1;
	barrier_var(size);
	if (size > STR_MAX)
		return -1;
	if (is_user(at, arg >> 32)) {
		err = bpf_probe_read_user(s->record + used, size, (void *)at);
		if (err && probe_sleepable)
			err = bpf_copy_from_user(s->record + used, size, (void *)at);
	} else {
		err = bpf_probe_read_kernel(s->record + used, size, (void *)at);
	}
	if (err)
		return -1;
	*(volatile u32 *)&s->used = used + size;
	return used | size << 16;
}

/* Has a page of a program brought into memory, by a byte of it. */
static __always_inline bool bring(u64 at)
{
	u8 byte;

	return probe_sleepable && !bpf_copy_from_user(&byte, sizeof(byte), (void *)at);
}

static __always_inline u64 append_str(struct scratch *s, u64 at, u64 size, bool user, bool array)
{
	u64 used = *(volatile u32 *)&s->used;
	long n;

	if (!at)
		return STR_NULL;
	if (size > STR_MAX || used > TAIL_MAX || at < SMALLEST_PAGE)
		return -1;
	barrier_var(size);
	if (size > STR_MAX)
		return -1;
	/* One more than it may have: the helpers put a NUL at the end of what they cut, too. */
	if (user) {
		n = read_user_str(s->record + used, size + 1, (void *)at);
		/* Not in memory yet, as constants that nothing has read before: where it begins, or goes on. */
		if (n < 0 && bring(at))
			n = read_user_str(s->record + used, size + 1, (void *)at);
		if (n < 0 && bring((at | (SMALLEST_PAGE - 1)) + 1))
			n = read_user_str(s->record + used, size + 1, (void *)at);
	} else {
		n = bpf_probe_read_kernel_str(s->record + used, size + 1, (void *)at);
	}
	if (n < 0 || n > STR_MAX + 1)
		return -1;
	if (n > (long)size)
		n = array ? size + 1 : size - 1;
	*(volatile u32 *)&s->used = used + n;
	return used | n << 16;
}

/*
 * The same with a string, up to its NUL, which is counted. One that has none was cut; of an array, which has no more bytes,
 * it gets one.
 */
static __noinline __attribute__((used)) u64 probe_str(struct scratch *s, u64 at, u64 arg)
{
	return append_str(s, at, (u32)arg, is_user(at, (u8)(arg >> 32)), arg >> 63);
}

/* A string in a tracepoint's record: `at` is the address of where it says where (offset, and length << 16). */
static __noinline __attribute__((used)) u64 probe_located(struct scratch *s, u64 at, u64 max, void *ctx)
{
	u32 where = 0;

	if (bpf_probe_read_kernel(&where, sizeof(where), (void *)at))
		return -1;
	STATE(s)->frame = (u64)ctx;
	return append_str(s, STATE(s)->frame + (u16)where, (u32)max, false, false);
}

/* A struct path, as a path in the mount namespace; the flags of the walk in bits 32 and up. */
static __noinline __attribute__((used)) u64 probe_path(struct scratch *s, u64 at)
{
	u64 walked, used = *(volatile u32 *)&s->used;

	if (used > TAIL_MAX || at < SMALLEST_PAGE)
		return -1;
	walked = walk_to_root(at, s->number);
	if (walked & PATH_UNREAD)
		return -1;
	return (walked >> 16 & 0xffffffff) | (walked & 0xffff) << 32;
}

/* The names of a file from it up to the root of its file system. */
struct names_up {
	struct scratch *s;
	struct dentry *dentry; /* NULL: it could not be read */
	u32 limit;	       /* of scratch.used */
	u32 flags;	       /* enum path_flag */
};

/* One step; returns whether it is at its end. */
static __always_inline long names_up_step(u32 i, struct names_up *up)
{
	struct dentry *dentry = up->dentry, *parent = BPF_CORE_READ(dentry, d_parent);

	if (!parent) {
		up->dentry = NULL;
		return 1;
	}
	if (dentry == parent) {
		up->flags = 0;
		return 1;
	}
	/* The last turn is for the root alone. */
	if (i == PATH_STEPS || !append_name(up->s, BPF_CORE_READ(dentry, d_name.name), up->limit))
		return 1;
	up->dentry = parent;
	return 0;
}

static __noinline long names_up_callback(u32 i, void *state)
{
	return names_up_step(i, state);
}

/* A struct dentry, as its path in its file system; the flags as above. */
static __noinline __attribute__((used)) u64 probe_dentry(struct scratch *s, u64 at)
{
	u64 used = *(volatile u32 *)&s->used;
	struct names_up up = { .dentry = (void *)at, .limit = used + PATH_BYTES - NAME_BYTES, .flags = PATH_CUT };
	u32 number = s->number;

	if (used > TAIL_MAX || at < SMALLEST_PAGE)
		return -1;
	/* Not the argument: what a callback gets of it, the verifier does not know on all kernels. */
	up.s = bpf_map_lookup_elem(&scratch, &number);
	if (!up.s)
		return -1;
	REPEAT(PATH_STEPS + 1, names_up_step, names_up_callback, up);
	if (!up.dentry)
		return -1;
	return used | ((u64)(*(volatile u32 *)&up.s->used - used) & 0xffff) << 16 | (u64)up.flags << 32;
}

/* Whether a slot's string is that text, or begins with it. */
static __noinline __attribute__((used)) u64 probe_same_text(struct scratch *s, u64 slice, u64 which)
{
	u64 off = slice & 0xffff, len = slice >> 16 & 0xffff, text = (u32)which, n;

	if (text >= TEXTS_MAX || off > TAIL_MAX)
		return 0;
	n = text_lens[text];
	/* NULL, which is no string, has no bytes. */
	if (!len || n > TEXT_BYTES || (which >> 32 ? len != n + 1 : len < n))
		return 0;
	/* One that was cut has no NUL. */
	if (which >> 32 && s->record[off + n])
		return 0;
	for (u64 i = 0; i < TEXT_BYTES; i++) {
		if (i >= n)
			break;
		if (s->record[off + i] != texts[text][i])
			return 0;
	}
	return 1;
}

/* How long it may be where there is no bpf_loop (5.17): the verifier of 5.10 gives up on more turns. */
#define GLOB_BYTES 256

/* A string that is held against a glob. */
struct glob_walk {
	struct scratch *s;
	u64 live; /* the glob's places that the string so far may be at */
	u32 at;	  /* where in the record the string begins */
	u32 len;
	u32 glob;
	u32 reserved;
};

/* One byte; returns whether it is at its end. */
static __always_inline long glob_step(u32 i, struct glob_walk *w)
{
	u64 at = (u64)w->at + i, glob = w->glob;
	u8 byte;

	if (i >= w->len)
		return 1;
	barrier_var(at);
	barrier_var(glob);
	if (at >= sizeof(w->s->record) || glob >= GLOBS_MAX)
		return 1;
	byte = w->s->record[at];
	if (!byte)
		return 1;
	w->live = (w->live << 1 & glob_table[glob][byte]) | (w->live & glob_loop[glob]);
	return 0;
}

static __noinline long glob_callback(u32 i, void *state)
{
	return glob_step(i, state);
}

/* Whether a slot's string matches that glob; what is undecided, as `otherwise` says. */
static __noinline __attribute__((used)) u64 probe_matches_glob(struct scratch *s, u64 slice, u64 arg)
{
	struct glob_walk w = { .at = slice & 0xffff, .len = slice >> 16 & 0xffff, .glob = arg };
	u64 glob = (u32)arg, otherwise = arg >> 32;
	u32 number = s->number;

	/* NULL, which is no string, has no bytes. */
	if (glob >= GLOBS_MAX || !w.len)
		return 0;
	w.s = bpf_map_lookup_elem(&scratch, &number);
	if (!w.s)
		return 0;
	w.live = glob_start[glob];
	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_loop)) {
		bpf_loop(STR_MAX, glob_callback, &w, 0);
	} else if (w.len > GLOB_BYTES) {
		STATE(s)->undecided = 1;
		return otherwise;
	} else {
		REPEAT(GLOB_BYTES, glob_step, glob_callback, w);
	}
	return !!(w.live & glob_accept[glob]);
}
