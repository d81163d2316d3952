/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A field that is not there. */
#include "local.h"

SEC("raw_tp/sys_enter")
int handle_field(struct thing___new **ctx)
{
	out = FIELD_OFFSET((*ctx)->gone);
	return 0;
}
