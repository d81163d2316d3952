/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A read that no verifier lets through: of the address that a number is. */
#include "local.h"

SEC("raw_tp/sys_enter")
int handle_rejected(void *ctx)
{
	return *(int *)(ctx - (void *)0 + 4711 * *(u64 *)ctx);
}
