/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Hits that are added up here instead of sent: by the values of some slots, and what another slot comes to.
 *
 * Where slots are read, it runs while one of the CPU's scratch spaces is taken, which is part of the key: a program that
 * interrupts this one on the same CPU has another, so the numbers of each CPU and key have one writer at a time. Where
 * none is (total_bare), nothing but the count is written, by an atomic addition.
 */
#pragma once
#include "probe.bpf.h"

#define TOTAL_KEYS 4
#define TOTAL_TEXT 64  /* bytes of a key that is a string: what is longer is cut */
#define TOTAL_POWERS 65 /* 0, and each power of two */

#define E2BIG 7   /* include/uapi/asm-generic/errno-base.h */
#define ENOMEM 12

enum total_mode {
	TOTAL_NONE, /* hits are sent */
	TOTAL_COUNT,
	TOTAL_SUM,
	TOTAL_HIST,
};
EXPORT_TYPE(enum, total_mode);

struct total_key {
	u32 unread;             /* bit n: the n-th could not be read */
	u32 space;              /* where it was added up: struct scratch.number, or 0 */
	u64 number[TOTAL_KEYS]; /* of a string: what its slot has, but as if it began at 0 and no longer than it is here */
	u8 text[TOTAL_KEYS * TOTAL_TEXT];
};
EXPORT_TYPE(struct, total_key);

struct total {
	u64 count;  /* hits */
	u64 unread; /* … of which the value could not be read */
	u64 low;    /* the values' lower halves, added up … */
	u64 high;   /* … and their upper ones, with their sign where they have one */
	u64 min;
	u64 max;
	u64 powers[2 * TOTAL_POWERS]; /* at n, how many are from 2^(n-1) on, but below 2^n; then the same of negative ones */
};
EXPORT_TYPE(struct, total);

/* Set by user space before load. */
const volatile u32 total_mode = TOTAL_NONE;
const volatile u32 total_keys = 0;
const volatile u32 total_slot[TOTAL_KEYS] = {}; /* SLOTS_MAX: where the probe was hit */
const volatile u32 total_is_text[TOTAL_KEYS] = {};
const volatile u32 total_value = 0; /* the slot that is added up */
const volatile u32 total_signed = 0;
const volatile struct total total_zero = {};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 1); /* sized by user space before load, and so are key and value: what is not needed is left off */
	__uint(key_size, sizeof(struct total_key));
	__uint(value_size, sizeof(struct total));
} totals SEC(".maps");

/* In the scratch space, before what is known of the hit: a record never gets that long. */
#define TOTAL_KEY(s) ((struct total_key *)((s)->record + STATE_AT - sizeof(struct total_key)))

/* Hits are counted, all of them together: the ledger does that, and there is no map. A constant. */
static __always_inline bool total_in_ledger(void)
{
	return total_mode == TOTAL_COUNT && !total_keys;
}

/* All hits are counted, together or by where they were: nothing of them is read. A constant. */
static __always_inline bool total_bare(void)
{
	return total_mode == TOTAL_COUNT && !probe_slots && !probe_tests;
}

static __always_inline void total_put(struct scratch *s, struct total_key *key, u32 n)
{
	struct probe_event *e = (void *)s->record;
	u64 value, off, len;
	u32 slot = total_slot[n];

	if (slot >= SLOTS_MAX) {
		key->number[n] = e->ip;
		return;
	}
	value = e->value[slot];
	off = value & 0xffff;
	len = value >> 16 & 0xffff;
	if (e->unread >> slot & 1 || (total_is_text[n] && off > TAIL_MAX)) {
		key->unread |= 1 << n;
		return;
	}
	if (!total_is_text[n]) {
		key->number[n] = value;
		return;
	}
	if (len > TOTAL_TEXT)
		len = TOTAL_TEXT;
	barrier_var(len);
	if (len > TOTAL_TEXT)
		return;
	bpf_probe_read_kernel(key->text + n * TOTAL_TEXT, len, s->record + off);
	key->number[n] = (value & ~0xffffffffULL) | len << 16;
}

/* 0 for 0, else n where the number is from 2^(n-1) on, but below 2^n. */
static __always_inline u32 total_power(u64 number)
{
	u32 n = 0;

#pragma clang loop unroll(full)
	for (u32 step = 32; step; step /= 2) {
		if (number >> step) {
			number >>= step;
			n += step;
		}
	}
	return n + number;
}

static __always_inline bool total_less(u64 a, u64 b)
{
	return total_signed ? (s64)a < (s64)b : a < b;
}

static __noinline int total_value_of(struct probe_event *e, struct total *t)
{
	u64 value, place;
	u32 slot = total_value;

	if (slot >= SLOTS_MAX || e->unread >> slot & 1) {
		t->unread++;
		return nothing();
	}
	value = e->value[slot];
	if (total_mode == TOTAL_SUM) {
		/* This hit is counted already. */
		bool first = t->count - t->unread == 1;

		t->low += (u32)value;
		t->high += total_signed ? (u64)((s64)value >> 32) : value >> 32;
		if (first || total_less(value, t->min))
			t->min = value;
		if (first || total_less(t->max, value))
			t->max = value;
	}
	if (total_mode == TOTAL_HIST) {
		bool negative = total_signed && (s64)value < 0;

		place = total_power(negative ? -value : value) + (negative ? TOTAL_POWERS : 0);
		barrier_var(place);
		if (place < 2 * TOTAL_POWERS)
			t->powers[place]++;
	}
	return nothing();
}

/* Why a map did not take an entry: else the program has interrupted one that holds the map's lock. */
static __always_inline enum drop_cause refusal(long err)
{
	return (int)err == -E2BIG || (int)err == -ENOMEM ? DROP_MAP_FULL : DROP_SCRATCH_BUSY;
}

/* Finds the numbers of a key, or counts the hit as lost. */
static __always_inline struct total *total_of(const void *key, struct counters *c)
{
	struct total *t = bpf_map_lookup_elem(&totals, key);
	long err = 0;

	if (t)
		return t;
	/* Another CPU may be faster. */
	err = bpf_map_update_elem(&totals, key, (void *)&total_zero, BPF_NOEXIST);
	t = bpf_map_lookup_elem(&totals, key);
	if (!t)
		COUNT(c->dropped[refusal(err)]);
	return t;
}

/* Counts a hit of which no slot is read. */
static __always_inline void total_count(struct counters *c, u64 ip)
{
	struct total *t;
	/* As struct total_key: the map's keys are as long as what is needed of it. */
	struct {
		u64 reserved;
		u64 number[TOTAL_KEYS];
	} key = { .number[0] = ip };

	if (!total_in_ledger()) {
		t = total_of(&key, c);
		if (!t)
			return;
		COUNT(t->count);
	}
	COUNT(c->emitted);
}

/* Adds a hit whose slots are filled, or counts it as lost. */
static __noinline int total_add(struct scratch *s, struct counters *c)
{
	struct total_key *key = TOTAL_KEY(s);
	u32 has_text = 0;
	struct total *t;

	__builtin_memset(key, 0, offsetof(struct total_key, text));
	/* Of the strings' room, what is part of the key: up to the last one. */
#pragma clang loop unroll(full)
	for (s32 n = TOTAL_KEYS - 1; n >= 0; n--) {
		has_text |= total_is_text[n];
		if (has_text)
			__builtin_memset(key->text + n * TOTAL_TEXT, 0, TOTAL_TEXT);
	}
	key->space = s->number;
#pragma clang loop unroll(full)
	for (u32 n = 0; n < TOTAL_KEYS; n++) {
		if (n < total_keys)
			total_put(s, key, n);
	}
	t = total_of(key, c);
	if (!t)
		return nothing();
	t->count++;
	if (total_mode != TOTAL_COUNT)
		total_value_of((void *)s->record, t);
	COUNT(c->emitted);
	return nothing();
}

/* What becomes of a hit whose slots are filled: it is sent, or added up. */
static __always_inline void deliver(void *ctx, struct counters *c, struct scratch *s)
{
	if (total_mode == TOTAL_NONE) {
		scratch_emit(ctx, c, s);
		return;
	}
	if (total_in_ledger())
		COUNT(c->emitted);
	else
		total_add(s, c);
	scratch_release(s);
}
