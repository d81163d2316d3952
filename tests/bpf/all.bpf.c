/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Every kind of relocation, all of which resolve. */
#include "local.h"

SEC("raw_tp/sys_enter")
int handle_all(struct thing **ctx)
{
	struct thing *t = *ctx;

	out += FIELD_OFFSET(t->inners[1].b);
	out += FIELD_SIZE(t->inners);
	out += FIELD_EXISTS(t->hidden);
	out += FIELD_SIGNED(t->number);
	out += FIELD_LEFT(t->bits);
	out += FIELD_RIGHT(t->bits);
	out += TYPE_EXISTS(struct thing);
	out += TYPE_SIZE(struct thing);
	out += TYPE_ID(struct inner);
	out += LOCAL_ID(struct inner);
	out += ENUM_EXISTS(enum color, RED);
	out += ENUM_VALUE(enum color, RED);
	out += t->number;
	return 0;
}
