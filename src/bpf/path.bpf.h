/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The scratch space in which a record with a tail is built: the arguments of a program, and the walk from a dentry
 * to the root (bpf_d_path is not allowed in tracepoints, on any kernel).
 */
#pragma once
#include "compat.bpf.h"

/* A per-CPU value may have 32 KiB (include/linux/percpu.h: PCPU_MIN_UNIT_SIZE), 16 bytes of it before the record. */
#define SCRATCH_MAX (32768 - 16)
#define NAME_BYTES 256   /* NAME_MAX and its NUL */
#define PATH_BYTES 4096  /* PATH_MAX */
#define ARGV_BYTES 24064 /* what is left for argv after two paths of the greatest length … */
#define ARGV_BYTES_LEAST 12288 /* … and after five */
#define PATH_STEPS 64    /* names and mounts: a path that has more is cut, visibly */

enum path_flag {
	PATH_DELETED = 1,
	PATH_CUT = 2,
	PATH_UNREAD = 4,
	PATH_OUTSIDE = 8, /* not below the root of the process */
	PATH_END_CUT = 16, /* of a name as it was called: its end is missing */
	PATH_AS_IT_IS = 32, /* no path from the root, but the text itself: an empty name, or `pipe:[1234]` */
};
EXPORT_TYPE(enum, path_flag);

/*
 * `used` counts the bytes of the record. It is in map memory and read again for every name: in a register, its ranges
 * keep the verifier's states apart, and 5.10 does not finish.
 */
struct scratch {
	u32 busy;
	u32 used;
	u32 top; /* where in the record the topmost name of the last walk begins */
	u32 number; /* which of the CPU's spaces it is */
	u8 record[SCRATCH_MAX];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1); /* settings.spaces: sized by user space before load */
	__type(key, u32);
	__type(value, struct scratch);
} scratch SEC(".maps");

/* Releases it without sending anything. */
static __always_inline void scratch_release(struct scratch *s)
{
	barrier();
	__sync_fetch_and_add(&s->busy, -1);
}

/*
 * Takes one of the CPU's scratch spaces for a record that starts with `fixed` bytes. A program may be preempted by
 * another one on the same CPU (5.11 and newer, real-time kernels before), or sleep, hence a lock for each: an atomic
 * addition, then a check whether it was the only one. (5.10 has no addition that returns the old value.) Of two at
 * once, both may be refused that space, but never both let in.
 */
static __noinline struct scratch *scratch_take(struct counters *c, u32 fixed)
{
	struct scratch *s;
	u32 number;

#pragma clang loop unroll(full)
	for (u32 i = 0; i < SPACES_MAX; i++) {
		if (i >= settings.spaces)
			break;
		number = i;
		s = bpf_map_lookup_elem(&scratch, &number);
		if (!s)
			break;
		__sync_fetch_and_add(&s->busy, 1);
		if (*(volatile u32 *)&s->busy == 1) {
			s->used = fixed;
			s->number = i;
			return s;
		}
		scratch_release(s);
	}
	COUNT(c->dropped[DROP_SCRATCH_BUSY]);
	return NULL;
}

static __always_inline void scratch_emit(void *ctx, struct counters *c, struct scratch *s)
{
	u32 used = *(volatile u32 *)&s->used;

	/* Always so; the verifier cannot know. */
	if (used <= sizeof(s->record))
		emit(ctx, c, s->record, used);
	else
		COUNT(c->dropped[DROP_SCRATCH_BUSY]);
	scratch_release(s);
}

/* Appends the label to a record that is otherwise complete. */
static __always_inline void append_label(struct scratch *s, struct event_head *head, const struct label *label)
{
	u32 used = *(volatile u32 *)&s->used;

	if (!settings.labels || used > sizeof(s->record) - sizeof(*label))
		return;
	__builtin_memcpy(s->record + used, label, sizeof(*label));
	head->label.off = used;
	head->label.len = sizeof(*label);
	*(volatile u32 *)&s->used = used + sizeof(*label);
}

/* Appends one name; returns its length with its NUL, or 0 if there is no room or it is unreadable. */
static __always_inline u32 append_name(struct scratch *s, const unsigned char *name, u32 limit)
{
	u32 used = *(volatile u32 *)&s->used;
	long n;

	if (used > limit || used > sizeof(s->record) - NAME_BYTES)
		return 0;
	n = bpf_probe_read_kernel_str(s->record + used, NAME_BYTES, name);
	if (n <= 0)
		return 0;
	s->top = used;
	*(volatile u32 *)&s->used = used + n;
	return n;
}

/* Appends a string constant, without its NUL. */
#define append_text(s, text)                                                             \
	({                                                                               \
		u32 __used = *(volatile u32 *)&(s)->used;                                \
		if (__used <= sizeof((s)->record) - NAME_BYTES) {                        \
			__builtin_memcpy((s)->record + __used, text, sizeof(text) - 1);  \
			*(volatile u32 *)&(s)->used = __used + sizeof(text) - 1;         \
		}                                                                        \
	})

/* Appends a kernel string, without its NUL. */
static __always_inline void append_string(struct scratch *s, const void *string)
{
	u32 used = *(volatile u32 *)&s->used;
	long n;

	if (used > sizeof(s->record) - NAME_BYTES)
		return;
	n = bpf_probe_read_kernel_str(s->record + used, NAME_BYTES, string);
	if (n > 1 && n <= NAME_BYTES)
		*(volatile u32 *)&s->used = used + n - 1;
}

#define DIGITS 10

/* Appends `:[NUMBER]`, of an inode: those passed here have 32 bits (fs/inode.c: get_next_ino). */
static __always_inline void append_number(struct scratch *s, u32 number)
{
	bool begun = false;
	u8 digits[DIGITS];
	u32 used;

#pragma clang loop unroll(disable)
	for (int i = DIGITS - 1; i >= 0; i--) {
		digits[i] = '0' + number % 10;
		number /= 10;
	}
	append_text(s, ":[");
#pragma clang loop unroll(disable)
	for (int i = 0; i < DIGITS; i++) {
		begun |= digits[i] != '0' || i == DIGITS - 1;
		used = *(volatile u32 *)&s->used;
		if (!begun || used >= sizeof(s->record))
			continue;
		s->record[used] = digits[i];
		*(volatile u32 *)&s->used = used + 1;
	}
	append_text(s, "]");
}

/* include/uapi/linux/magic.h */
#define PIPEFS_MAGIC 0x50495045
#define SOCKFS_MAGIC 0x534F434B
#define NSFS_MAGIC 0x6e736673
#define PID_FS_MAGIC 0x50494446
#define ANON_INODE_FS_MAGIC 0x09041934

/*
 * Appends the kernel's name of a file that is in no directory, as shown by the links in /proc/PID/fd (the d_dname of
 * fs/pipe.c, net/socket.c, fs/nsfs.c, fs/pidfs.c, fs/anon_inodes.c; for all others fs/d_path.c: simple_dname). Returns
 * enum path_flag. A global function, like walk_to_root().
 */
__noinline u64 append_pseudo(u64 dentry_address, u32 number)
{
	struct scratch *s = bpf_map_lookup_elem(&scratch, &number);
	struct dentry *dentry = (void *)dentry_address;
	struct inode *inode = BPF_CORE_READ(dentry, d_inode);
	struct ns_common *ns;

	if (!s)
		return PATH_UNREAD;
	switch (BPF_CORE_READ(dentry, d_sb, s_magic)) {
	case PIPEFS_MAGIC:
		append_text(s, "pipe");
		break;
	case SOCKFS_MAGIC:
		append_text(s, "socket");
		break;
	case NSFS_MAGIC:
		ns = BPF_CORE_READ(inode, i_private);
		append_string(s, BPF_CORE_READ(ns, ops, name));
		break;
	case PID_FS_MAGIC:
		append_text(s, "anon_inode:[pidfd]");
		return PATH_AS_IT_IS;
	case ANON_INODE_FS_MAGIC:
		append_text(s, "anon_inode:");
		append_string(s, BPF_CORE_READ(dentry, d_name.name));
		return PATH_AS_IT_IS;
	default:
		/* A memfd and the like: `/NAME (deleted)`. */
		return append_name(s, BPF_CORE_READ(dentry, d_name.name), ~0U) ? PATH_DELETED : PATH_UNREAD;
	}
	append_number(s, BPF_CORE_READ(inode, i_ino));
	return PATH_AS_IT_IS;
}

/* Where a walk put its names, in an event with this many fixed bytes; returns enum path_flag. */
static __always_inline u32 place(u64 walked, struct slice *out, u32 fixed)
{
	out->off = (u16)(walked >> 16) - fixed;
	out->len = walked >> 32;
	return (u16)walked;
}

/* A walk from a dentry up to a root. */
struct walk {
	struct scratch *s;
	struct dentry *dentry;
	struct mount *mount;
	struct dentry *root; /* of that mount */
	u64 top_dentry;      /* where the walk ends, if it comes there; else all ones */
	u64 top_mount;
	u32 limit;           /* of scratch.used */
	u32 outside;         /* PATH_OUTSIDE, if it is to end there */
	u32 flags;           /* enum path_flag */
	u32 reserved;
};

/* One step of a walk; returns whether it is at its end. */
static __always_inline long walk_step(u32 i, struct walk *w)
{
	/* Not in BPF_CORE_READ(): it looks for all structs in the kernel's types. */
	struct dentry *dentry = w->dentry, *parent;
	struct mount *mount = w->mount, *above;

	/* Both at once: one branch less to look at, for each name. */
	if (!(((u64)dentry ^ w->top_dentry) | ((u64)mount ^ w->top_mount))) {
		w->flags &= ~PATH_CUT;
		return 1;
	}
	if (dentry == w->root) {
		above = BPF_CORE_READ(mount, mnt_parent);
		if (above == mount) { /* the root of the namespace, or of a detached mount */
			w->flags &= ~PATH_CUT;
			w->flags |= w->outside;
			return 1;
		}
		w->dentry = BPF_CORE_READ(mount, mnt_mountpoint);
		w->mount = above;
		w->root = BPF_CORE_READ(above, mnt.mnt_root);
		return 0;
	}
	if (i == PATH_STEPS) /* this turn was for the root alone */
		return 1;
	parent = BPF_CORE_READ(dentry, d_parent);
	if (dentry == parent) {
		w->flags &= ~PATH_CUT;
		/* Not below a root that it could be walked to: of another mount namespace, or no longer mounted. */
		if (i)
			w->flags |= PATH_OUTSIDE;
		else
			w->flags |= append_pseudo((u64)dentry, w->s->number);
		return 1;
	}
	if (!append_name(w->s, BPF_CORE_READ(dentry, d_name.name), w->limit))
		return 1;
	w->dentry = parent;
	return 0;
}

static __noinline long walk_callback(u32 i, void *state)
{
	return walk_step(i, state);
}

/*
 * Walks from a file (a struct path) up to `top`, the root of a process; if that is 0 (a constant), up to the root of
 * the mount namespace, ignoring chroot. Appends each name, NUL-terminated, to the record in the scratch space, across
 * mounts (fs/d_path.c: prepend_path); `number` is that space's. Returns enum path_flag, then (16 bits each) where in
 * the record the names begin, and their length.
 */
static __always_inline u64 walk(u64 file_path, u64 top, u32 number)
{
	const struct path *path = (void *)file_path, *top_path = (void *)top;
	struct dentry *dentry = BPF_CORE_READ(path, dentry);
	struct vfsmount *vfsmount = BPF_CORE_READ(path, mnt);
	struct walk w = { .dentry = dentry, .top_dentry = ~0ULL, .top_mount = ~0ULL, .flags = PATH_CUT };
	struct mount *mount;
	u32 start;

	w.s = bpf_map_lookup_elem(&scratch, &number);
	if (!w.s)
		return PATH_UNREAD;
	start = *(volatile u32 *)&w.s->used;
	w.limit = start + PATH_BYTES - NAME_BYTES;
	if (!dentry || !vfsmount)
		return PATH_UNREAD | (u64)start << 16;
	mount = (void *)vfsmount - bpf_core_field_offset(struct mount, mnt);
	w.mount = mount;
	w.root = BPF_CORE_READ(mount, mnt.mnt_root);
	if (top) {
		w.top_dentry = (u64)BPF_CORE_READ(top_path, dentry);
		w.top_mount = (u64)BPF_CORE_READ(top_path, mnt) - bpf_core_field_offset(struct mount, mnt);
		w.outside = PATH_OUTSIDE;
	}
	/* include/linux/dcache.h: d_unlinked() */
	if (!BPF_CORE_READ(dentry, d_hash.pprev) && BPF_CORE_READ(dentry, d_parent) != dentry)
		w.flags |= PATH_DELETED;

	REPEAT(PATH_STEPS + 1, walk_step, walk_callback, w);
	return w.flags | (u64)start << 16 | (u64)(*(volatile u32 *)&w.s->used - start) << 32;
}

/*
 * Global functions: the verifier checks each once, for any caller and state. For that, 5.10 wants numbers as arguments.
 */
__noinline u64 walk_to_root(u64 file_path, u32 number)
{
	return walk(file_path, 0, number);
}

/* The same as seen by the process, below its own root: `top` is a struct path. */
__noinline u64 walk_to_top(u64 file_path, u64 top, u32 number)
{
	return walk(file_path, top, number);
}

/* Adds the current task's working directory, as it sees it, to an event; returns enum path_flag. */
static __always_inline u32 append_cwd(struct scratch *s, struct task_struct *task, struct slice *out, u32 fixed)
{
	struct fs_struct *fs = BPF_CORE_READ(task, fs);

	return place(walk_to_top((u64)&fs->pwd, (u64)&fs->root, s->number), out, fixed);
}

/* Adds the path of a file to an event with this many fixed bytes; returns enum path_flag. */
static __always_inline u32 append_path(struct scratch *s, const struct path *path, struct slice *out, u32 fixed)
{
	return place(walk_to_root((u64)path, s->number), out, fixed);
}

/* `most` is a constant, for the verifier. */
static __always_inline bool append_memory(struct scratch *s, u64 start, u64 n, u32 most, struct slice *out)
{
	u32 used = *(volatile u32 *)&s->used;

	if (n > most)
		n = most;
	barrier_var(n);
	if (n > most || used > sizeof(s->record) - most || bpf_probe_read_user(s->record + used, n, (void *)start))
		return false;
	out->len = n;
	*(volatile u32 *)&s->used = used + n;
	return true;
}

/*
 * Appends the arguments of a program that has just started: the kernel wrote them, so they are resident; and they are
 * right for execveat, too. Sets their whole length, including what is cut; false: they were not read.
 */
static __always_inline bool append_argv(struct scratch *s, struct mm_struct *mm, u64 *bytes,
					struct slice *out, u32 fixed)
{
	u32 used = *(volatile u32 *)&s->used;
	u64 start = BPF_CORE_READ(mm, arg_start);

	*bytes = BPF_CORE_READ(mm, arg_end) - start;
	out->off = used - fixed;
	out->len = 0;
	/* Behind it there must be room for the label. */
	if (used <= sizeof(s->record) - ARGV_BYTES - sizeof(struct label))
		return append_memory(s, start, *bytes, ARGV_BYTES, out);
	return append_memory(s, start, *bytes, ARGV_BYTES_LEAST, out);
}
