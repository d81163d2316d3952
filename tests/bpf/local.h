/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the programs know of the types of kernel.bpf.c, and more than there is. */
typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))
#define CORE __attribute__((preserve_access_index))
/* The numbers of enum bpf_field_info_kind, bpf_type_info_kind and bpf_enum_value_kind of bpf_core_read.h. */
#define FIELD_OFFSET(f) __builtin_preserve_field_info(f, 0)
#define FIELD_SIZE(f) __builtin_preserve_field_info(f, 1)
#define FIELD_EXISTS(f) __builtin_preserve_field_info(f, 2)
#define FIELD_SIGNED(f) __builtin_preserve_field_info(f, 3)
#define FIELD_LEFT(f) __builtin_preserve_field_info(f, 4)
#define FIELD_RIGHT(f) __builtin_preserve_field_info(f, 5)
#define TYPE_EXISTS(t) __builtin_preserve_type_info(*(t *)0, 0)
#define TYPE_SIZE(t) __builtin_preserve_type_info(*(t *)0, 1)
#define TYPE_ID(t) __builtin_btf_type_id(*(t *)0, 1)
#define LOCAL_ID(t) __builtin_btf_type_id(*(t *)0, 0)
#define ENUM_EXISTS(t, v) __builtin_preserve_enum_value(*(t *)v, 0)
#define ENUM_VALUE(t, v) __builtin_preserve_enum_value(*(t *)v, 1)

enum color {
	GREEN,
	RED,
};

enum color___blue {
	BLUE = 5,
};

struct inner {
	u32 b;
} CORE;

struct thing {
	u32 number; /* of 64 bits there */
	struct inner inners[2];
	u32 hidden;
	u32 bits : 7;
} CORE;

struct thing___new {
	u64 gone;
} CORE;

struct nowhere {
	u32 field;
} CORE;

char _license[] SEC("license") = "Dual BSD/GPL";
u64 out;
