/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Relocations that are hard to match, against namesakes_kernel.bpf.c: some of them fail, as several types are meant. */
#include "local.h"

struct twin {
	int a;
	int other;
} CORE;
struct twin___mine {
	int b;
} CORE;
struct alike {
	int a;
	int b;
	int c;
} CORE;
struct shape {
	int a;
} CORE;
union shape___union {
	int a;
} CORE;
struct element {
	int value;
} CORE;
struct deep {
	int far_down;
	struct {
		long other;
	};
	int numbers[9];
	struct element elements[8];
	unsigned int middle : 5;
	long long wide : 33;
} CORE;
struct no_elements {
	int n;
	int items[4];
} CORE;
struct any_elements {
	int n;
	int items[4];
} CORE;
typedef struct {
	int inside;
} CORE nameless;
typedef nameless chained;
struct users {
	chained chain;
	nameless *pointer;
	void *became_a_number;
	struct element *is_a_pointer;
} CORE;
typedef int (*function)(struct deep *, chained *, long);
typedef int (*other_function)(struct deep *, int);
typedef struct users *pointer_to_users;
struct only_declared;
enum plain {
	PLAIN_VALUE,
	PLAIN_FLAVOUR___mine,
	PLAIN_MISSING,
};
enum large {
	LARGE_VALUE = 1,
};
enum negative {
	NEGATIVE_VALUE = -1,
};
struct holder {
	enum plain plain;
	enum large negative;
	struct only_declared *declared;
} CORE;

#define FIELD(f)                      \
	do {                          \
		out += FIELD_OFFSET(f); \
		out += FIELD_SIZE(f); \
		out += FIELD_EXISTS(f); \
	} while (0)
#define BITS(f)                       \
	do {                          \
		out += FIELD_OFFSET(f); \
		out += FIELD_SIZE(f); \
		out += FIELD_EXISTS(f); \
		out += FIELD_SIGNED(f); \
		out += FIELD_LEFT(f); \
		out += FIELD_RIGHT(f); \
	} while (0)
#define TYPE(t)                       \
	do {                          \
		out += TYPE_EXISTS(t); \
		out += TYPE_SIZE(t); \
	} while (0)

SEC("raw_tp/sys_enter")
int handle_namesakes(void **ctx)
{
	struct twin *twin = ctx[0];
	struct twin___mine *mine = ctx[0];
	struct alike *alike = ctx[1];
	struct shape *shape = ctx[2];
	union shape___union *shape_union = ctx[2];
	struct deep *deep = ctx[3];
	struct no_elements *none = ctx[4];
	struct any_elements *any = ctx[5];
	struct users *users = ctx[6];
	struct holder *holder = ctx[7];
	chained *chain = ctx[8];

	FIELD(twin->a);
	FIELD(twin->other);
	FIELD(mine->b);
	FIELD(alike->a);
	FIELD(alike->b);
	FIELD(alike->c);
	FIELD(shape->a);
	FIELD(shape_union->a);
	FIELD(deep->far_down);
	FIELD(deep->other);
	FIELD(deep->numbers);
	FIELD(deep->numbers[2]);
	FIELD(deep->numbers[8]);
	FIELD(deep->elements[3].value);
	FIELD(deep->elements[7].value);
	FIELD(deep[1].elements[1].value);
	BITS(deep->middle);
	BITS(deep->wide);
	FIELD(none->n);
	FIELD(none->items);
	FIELD(none->items[2]);
	FIELD(any->items[2]);
	FIELD(users->chain.inside);
	FIELD(users->pointer);
	FIELD(users->became_a_number);
	FIELD(users->is_a_pointer);
	FIELD(chain->inside);
	FIELD(holder->plain);
	FIELD(holder->negative);
	FIELD(holder->declared);
	TYPE(struct twin);
	TYPE(struct shape);
	TYPE(union shape___union);
	TYPE(chained);
	TYPE(function);
	TYPE(other_function);
	TYPE(pointer_to_users);
	TYPE(enum large);
	TYPE(struct nowhere);
	out += LOCAL_ID(struct element);
	out += ENUM_EXISTS(enum plain, PLAIN_VALUE);
	out += ENUM_VALUE(enum plain, PLAIN_VALUE);
	out += ENUM_VALUE(enum plain, PLAIN_FLAVOUR___mine);
	out += ENUM_EXISTS(enum plain, PLAIN_MISSING);
	out += ENUM_EXISTS(enum large, LARGE_VALUE);
	out += ENUM_VALUE(enum large, LARGE_VALUE);
	out += ENUM_VALUE(enum negative, NEGATIVE_VALUE);
	return 0;
}
