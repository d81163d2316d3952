/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Two functions that are holes for code, and those that such code calls: all as probe.bpf.c has them, but smaller. */
#include "local.h"

typedef unsigned char u8;

struct scratch {
	u64 words[16];
	u64 values[32];
	u64 ret;
	u64 duration;
	u64 task;
	u32 unread;
	u32 used;
};

struct scratch scratch;

#define HOLE(count, result) \
	asm volatile(".rept " #count "\n\tgoto +0\n\t.endr" : "=r"(result) : "r"(in_r1), "r"(in_r2) : "memory")
#define FUNCTION static __attribute__((noinline, used))

FUNCTION u64 probe_test(void *ctx, struct scratch *s)
{
	register void *in_r1 asm("r1") = ctx;
	register struct scratch *in_r2 asm("r2") = s;
	register u64 wanted asm("r0");

	HOLE(400, wanted);
	return wanted;
}

FUNCTION u64 probe_fetch(void *ctx, struct scratch *s)
{
	register void *in_r1 asm("r1") = ctx;
	register struct scratch *in_r2 asm("r2") = s;
	register u64 nothing asm("r0");

	HOLE(800, nothing);
	return nothing;
}

#define CALLED(name) \
	FUNCTION u64 name(struct scratch *s, u64 at, u64 arg, void *ctx) \
	{ \
		s->used += arg; \
		return at & 0xffffff; \
	}

CALLED(probe_str)
CALLED(probe_bytes)
CALLED(probe_located)
CALLED(probe_path)
CALLED(probe_dentry)
CALLED(probe_same_text)
CALLED(probe_matches_glob)

SEC("raw_tp/sys_enter")
int handle_hole(void *ctx)
{
	if (probe_test(ctx, &scratch))
		probe_fetch(ctx, &scratch);
	return 0;
}
