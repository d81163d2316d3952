/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A function whose address is passed to a helper. */
#include "local.h"

static long (*const bpf_loop)(u32 times, void *callback, void *state, u64 flags) = (void *)181;

static __attribute__((noinline)) long callback(u32 i, void *state)
{
	out += i;
	return 0;
}

SEC("raw_tp/sys_enter")
int handle_callback(void *ctx)
{
	return bpf_loop(1, callback, 0, 0);
}
