/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Types that stand for a kernel's, with all that makes it hard to find the one that is meant: for namesakes.bpf.c. */

/* Two that can be meant, at different places. */
struct twin {
	int other;
	int a;
};
struct twin___second {
	int a;
	char b;
};

/* Two at the same place, one of which has more. */
struct alike {
	int a;
	int b;
};
struct alike___old {
	int a;
	long c;
};

/* The same name as something else. */
union shape {
	int a;
};
struct shape___struct {
	long before;
	int a;
};

struct element {
	short small;
	int value;
};

struct deep {
	long before;
	struct {
		long more;
		union {
			struct {
				int skipped;
				int far_down;
			};
			long other;
		};
	};
	int numbers[3];
	struct element elements[4];
	int unused[7];
	unsigned int low : 3, middle : 9;
	long long wide : 40;
};

/* An array without elements in the middle has none; at the end it has any number. */
struct no_elements {
	int n;
	int items[0];
	int after;
};
struct any_elements {
	int n;
	int items[];
};

typedef struct {
	int skipped;
	int inside;
} nameless;
typedef const nameless chained;

struct users {
	int skipped;
	volatile chained chain;
	nameless *pointer;
	int became_a_number;
	void *is_a_pointer;
};

typedef int (*function)(struct deep *, const chained *, long);
typedef int (*other_function)(struct deep *);
typedef struct users *pointer_to_users;

struct only_declared;
union only_declared_union;

enum plain {
	PLAIN_SKIPPED,
	PLAIN_VALUE = 5,
	PLAIN_FLAVOUR___of_kernel = 6,
};
enum large {
	LARGE_SKIPPED = 1,
	LARGE_VALUE = 1ULL << 40,
};
enum negative {
	NEGATIVE_VALUE = -3,
};

struct holder {
	enum plain plain;
	enum negative negative;
	struct only_declared *declared;
	union only_declared_union *declared_union;
};

struct twin twin;
struct twin___second twin_second;
struct alike alike;
struct alike___old alike_old;
union shape shape;
struct shape___struct shape_struct;
struct deep deep;
struct no_elements no_elements;
struct any_elements *any_elements;
struct users users;
chained *chain;
function a_function;
other_function another;
pointer_to_users pointer;
enum plain plain;
enum large large;
enum negative negative;
struct holder holder;
