/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A helper that no kernel has. */
#include "local.h"

static long (*const nobody)(void) = (void *)9999;

SEC("raw_tp/sys_enter")
int handle_helper(void *ctx)
{
	return nobody();
}
