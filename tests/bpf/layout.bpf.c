/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Types of every kind, for what shows them. */

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

enum sign {
	ZERO,
	PLUS,
};

typedef struct {
	int counter;
} atomic;

struct leaf {
	u8 a;
	u32 b;
};

struct shapes {
	u8 first;
	u64 second;
	union {
		u32 one;
		struct {
			u8 x;
			u8 y;
		} pair[2];
	};
	u32 low : 3;
	u32 high : 7;
	const char *text;
	int (*call)(struct shapes *self, const void *data, ...);
	u8 grid[2][3];
	struct leaf leaf;
	struct {
		u64 inner;
	} *hidden;
	atomic count;
	enum sign sign;
	volatile u8 last;
};

struct later;

struct shapes *shapes;
struct later *later;

int number_of(struct shapes *shapes, u32 n)
{
	return shapes->grid[n & 1][0];
}
