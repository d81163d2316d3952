/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is not there, where the program asks first. */
#include "local.h"

SEC("raw_tp/sys_enter")
int handle_guard(struct thing___new **ctx)
{
	if (FIELD_EXISTS((*ctx)->gone))
		out = FIELD_OFFSET((*ctx)->gone);
	if (TYPE_EXISTS(struct nowhere))
		out = TYPE_SIZE(struct nowhere);
	if (ENUM_EXISTS(enum color___blue, BLUE))
		out = ENUM_VALUE(enum color___blue, BLUE);
	return 0;
}
