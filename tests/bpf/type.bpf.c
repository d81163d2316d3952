/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A type that is not there. */
#include "local.h"

SEC("raw_tp/sys_enter")
int handle_type(struct nowhere **ctx)
{
	out = TYPE_SIZE(struct nowhere) + FIELD_OFFSET((*ctx)->field);
	return 0;
}
