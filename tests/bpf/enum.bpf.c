/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A value that an enum does not have. */
#include "local.h"

SEC("raw_tp/sys_enter")
int handle_enum(void *ctx)
{
	out = ENUM_VALUE(enum color___blue, BLUE);
	return 0;
}
