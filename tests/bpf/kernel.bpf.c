/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Types that stand for a kernel's: what the other objects here ask for is partly there, and partly not. */

typedef unsigned int u32;
typedef unsigned long long u64;

enum color {
	RED = 7,
	GREEN,
};

struct inner {
	u32 a;
	u32 b;
};

/* What the objects know of it is in front of what they do not. */
struct thing {
	u64 first;
	u64 number;
	struct inner inners[4];
	struct {
		u32 hidden;
	};
	u32 low : 3;
	u32 bits : 5;
};

struct thing *thing;
enum color color;
