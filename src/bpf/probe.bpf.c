/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* `probe`: kernel functions and tracepoints that a user chose. A program for each way to hook in. */
#include "event.bpf.h"
#include "compat.bpf.h"
#include "above.bpf.h"
#include "probe.bpf.h"
#include "stack.bpf.h"
#include "totals.bpf.h"

/* Which of the calls that are under way in a task: by where its stack is. */
struct frame_key {
	u64 task;
	u64 frame;
};

/*
 * Calls that have not returned, and what was read at their entry: the record behind its head, as it stands in the
 * scratch space, but for `duration_ns`, which is when the call began (0: it has returned), and `slots`, which is how long
 * the record is.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1); /* sized by user space before load, and so is the value */
	__type(key, struct frame_key);
	__uint(value_size, 64);
} frames SEC(".maps");

const volatile u32 probe_frame_bytes = 64;

#define FIXED (offsetof(struct probe_event, value) + probe_slots * sizeof(u64))

/* The cheapest filter; false: the hit is counted as filtered. */
static __always_inline bool may_be_wanted(struct counters *c, struct task_struct *task)
{
	u64 ids;

	if (!settings.filter_pids)
		return true;
	ids = bpf_get_current_pid_tgid();
	if (is_followed_by(task, settings.pidns ? process_id(false, task) : ids >> 32, (u32)ids == ids >> 32))
		return true;
	COUNT(c->filtered);
	return false;
}

/* That filter, and the scratch space. */
static __noinline struct scratch *begin_hit(struct counters *c)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct probe_event *e;
	struct scratch *s;

	if (!may_be_wanted(c, task))
		return NULL;
	s = scratch_take(c, FIXED);
	if (!s)
		return NULL;
	e = (void *)s->record;
	e->duration_ns = 0;
	e->ip = 0;
	e->slots = probe_slots;
	e->way = probe_way;
	e->unread = 0;
	e->stack = 0;
	e->reserved = 0;
	STATE(s)->task = (u64)task;
	STATE(s)->undecided = 0;
	return s;
}

/*
 * The other filters, of a hit that is added up. That its process is followed was seen before: at its entry, if it is a
 * call. (Of what is sent, user space knows which are heartbeats.)
 */
static __noinline bool passes_unsent(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct subject who = subject_of(false, task, false);
	struct event_head head = {};
	struct label label = {};

	fill_ids(false, task, &head);
	return passes(false, &who, &head, &label, false, !settings.heartbeat, false) && !is_heartbeat(false, &who, head.pid);
}

/* Whether there are such filters: a constant. */
static __always_inline bool has_other_filters(void)
{
	return settings.pidns || settings.uids_len || settings.filter_comm || settings.cgroups_len || settings.refuses ||
	       settings.labels || settings.heartbeat;
}

/* All filters, and then the head, which what is added up has no need of; false: the event is not wanted. */
static __noinline bool fill_head(struct scratch *s, struct counters *c)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct subject who = subject_of(false, task, false);
	struct probe_event *e = (void *)s->record;
	struct event_head head = {};
	struct label label = {};

	if (total_mode)
		return !has_other_filters() || passes_unsent();
	fill_ids(false, task, &head);
	if (!passes(false, &who, &head, &label, false, !settings.heartbeat, true))
		return false;
	fill_head_of(&who, &head, probe_kind);
	e->head = head;
	e->head.seq = next_seq(c);
	append_of_head(s, &e->head, &label);
	return true;
}

/*
 * The words by the helper: then one may be of any type (as a load, 5.10 to 7.2 refuse pointers to what is no struct), and
 * the verifier takes it for a number.
 */
static __always_inline void take_words(void *ctx, struct scratch *s)
{
	u64 size = probe_words * sizeof(u64);

	barrier_var(size);
	if (size && size <= WORDS_MAX * sizeof(u64))
		bpf_probe_read_kernel((void *)STATE(s)->words, size, ctx);
}

/* What the function returned: among the words, or what the program was given. */
static __always_inline u64 returned(struct scratch *s, u64 ret)
{
	u64 word = probe_ret_word;

	barrier_var(word);
	return word && word < WORDS_MAX ? STATE(s)->words[word] : ret;
}

/* Of an event that is not wanted. */
static __always_inline int refuse(struct scratch *s, struct counters *c)
{
	COUNT(c->filtered);
	scratch_release(s);
	return 0;
}

/* Of one that does not meet the condition, as far as that could be read. */
static __always_inline int refuse_by_test(struct scratch *s, struct counters *c)
{
	if (STATE(s)->undecided && fill_head(s, c))
		COUNT(c->undecided);
	return refuse(s, c);
}

/* A hit that is only counted. */
static __noinline int count_hit(struct counters *c, u64 ip)
{
	if (!may_be_wanted(c, (void *)bpf_get_current_task()))
		return nothing();
	if (has_other_filters() && !passes_unsent())
		COUNT(c->filtered);
	else
		total_count(c, ip);
	return nothing();
}

/* One event for each hit. */
static __always_inline int on_hit(void *ctx, u64 ip, u64 ret)
{
	struct counters *c = seen(probe_kind);
	struct probe_event *e;
	struct scratch *s;

	if (!c)
		return 0;
	if (total_bare()) {
		count_hit(c, ip);
		return 0;
	}
	s = begin_hit(c);
	if (!s)
		return 0;
	e = (void *)s->record;
	take_words(ctx, s);
	STATE(s)->ret = returned(s, ret);
	if (!probe_test(ctx, s))
		return refuse_by_test(s, c);
	if (!fill_head(s, c))
		return refuse(s, c);
	e->ip = ip;
	probe_fetch(ctx, s);
	take_stack(ctx, s);
	if (stack_frames)
		take_exe(s);
	deliver(ctx, c, s);
	return 0;
}

/* Of a call that has not returned. */
static __always_inline void *find_frame(const struct frame_key *key)
{
	u64 *began = bpf_map_lookup_elem(&frames, key);

	return began && *began ? began : NULL;
}

/* It has returned. It stays where the program has interrupted one that holds the map's lock. */
static __always_inline void forget_frame(const struct frame_key *key, u64 *began)
{
	if (bpf_map_delete_elem(&frames, key))
		*began = 0;
}

/* A call begins: what is wanted of its entry is kept until it returns. Only what ends here is counted here. */
static __always_inline int on_enter(void *ctx, u64 ip, u64 frame)
{
	struct counters *c = settings.kinds & (1ULL << probe_kind) ? account_of(probe_kind) : NULL;
	struct frame_key key = { .task = bpf_get_current_task(), .frame = frame };
	struct scratch *s;
	struct probe_event *e;
	long err;

	if (!c || !is_remembered())
		return 0;
	s = scratch_take(c, FIXED);
	if (!s) {
		COUNT(c->seen);
		return 0;
	}
	e = (void *)s->record;
	e->way = probe_way;
	e->unread = 0;
	e->stack = 0;
	e->reserved = 0;
	STATE(s)->task = key.task;
	STATE(s)->undecided = 0;
	take_words(ctx, s);
	if (!probe_test(ctx, s)) {
		COUNT(c->seen);
		return refuse_by_test(s, c);
	}
	probe_fetch(ctx, s);
	take_stack(ctx, s);
	e->ip = ip;
	e->slots = *(volatile u32 *)&s->used;
	e->duration_ns = bpf_ktime_get_boot_ns();
	err = bpf_map_update_elem(&frames, &key, &e->duration_ns, BPF_NOEXIST);
	if (err) {
		/* Where one is there that has not returned, that was missed. */
		bool missed = find_frame(&key);
		bool lost = bpf_map_update_elem(&frames, &key, &e->duration_ns, BPF_EXIST);

		if (lost || missed) {
			COUNT(c->seen);
			COUNT(c->dropped[lost ? refusal(err) : DROP_RETURN_MISSED]);
		}
	}
	scratch_release(s);
	return 0;
}

/* A call returns whose entry is known; if none is known by that frame, by the other. */
static __always_inline int on_return_of(void *ctx, u64 frame, u64 other, u64 ret)
{
	struct frame_key key = { .task = bpf_get_current_task(), .frame = frame };
	void *began = find_frame(&key);
	struct probe_event *e;
	struct counters *c;
	struct scratch *s;

	if (!began && other != frame) {
		key.frame = other;
		began = find_frame(&key);
	}
	c = began ? seen(probe_kind) : NULL;
	if (!c)
		return 0;
	s = scratch_take(c, FIXED);
	if (!s) {
		forget_frame(&key, began);
		return 0;
	}
	e = (void *)s->record;
	bpf_probe_read_kernel(&e->duration_ns, probe_frame_bytes, began);
	forget_frame(&key, began);
	if (e->slots >= FIXED && e->slots <= ENTRY_MAX)
		*(volatile u32 *)&s->used = e->slots;
	e->slots = probe_slots;
	STATE(s)->task = key.task;
	STATE(s)->undecided = 0;
	STATE(s)->duration = bpf_ktime_get_boot_ns() - e->duration_ns;
	e->duration_ns = STATE(s)->duration;
	take_words(ctx, s);
	STATE(s)->ret = returned(s, ret);
	if (!probe_return_test(ctx, s))
		return refuse_by_test(s, c);
	if (!fill_head(s, c))
		return refuse(s, c);
	probe_return_fetch(ctx, s);
	if (stack_frames)
		take_exe(s);
	deliver(ctx, c, s);
	return 0;
}

static __always_inline int on_return(void *ctx, u64 frame, u64 ret)
{
	return on_return_of(ctx, frame, frame, ret);
}

/* An address as a number, by a copy: on 5.10 no other thing of it may be in a map's key. */
static __always_inline u64 number_of(void *ctx)
{
	u64 number = 0;

	bpf_probe_read_kernel(&number, sizeof(number), &ctx);
	return number;
}

/* Which of several functions of a binary was called: its offset, where the kernel keeps that (5.15), else where the code is. */
static __always_inline u64 which_place(struct pt_regs *ctx)
{
	if (!probe_cookies)
		return PT_REGS_IP(ctx);
	/* Also for `check`, which sees by this alone that a kernel without the helper does not need it. */
	if (!bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_get_attach_cookie))
		return 0;
	return bpf_get_attach_cookie(ctx);
}

SEC("kprobe")
int probe_kprobe(struct pt_regs *ctx)
{
	return on_hit(ctx, PT_REGS_IP(ctx), 0);
}

SEC("kretprobe")
int probe_kretprobe(struct pt_regs *ctx)
{
	return on_hit(ctx, 0, PT_REGS_RC(ctx));
}

SEC("kprobe")
int probe_enter(struct pt_regs *ctx)
{
	return on_enter(ctx, PT_REGS_IP(ctx), PT_REGS_SP(ctx));
}

SEC("kretprobe")
int probe_return(struct pt_regs *ctx)
{
	return on_return(ctx, PT_REGS_SP(ctx) - RETURN_ADDRESS_BYTES, PT_REGS_RC(ctx));
}

/* Many functions by one link (5.18; where the kernel has CONFIG_FPROBE). */
SEC("kprobe.multi")
int probe_multi(struct pt_regs *ctx)
{
	return on_hit(ctx, PT_REGS_IP(ctx), 0);
}

SEC("kprobe.multi")
int probe_enter_multi(struct pt_regs *ctx)
{
	return on_enter(ctx, PT_REGS_IP(ctx), FRAME_TOGETHER(ctx));
}

SEC("kretprobe.multi")
int probe_return_multi(struct pt_regs *ctx)
{
	u64 frame = FRAME_TOGETHER(ctx);

	/*
	 * The registers are just below where the stack was, or (since 20a0bc10272f, shortly before it was fixed) below the
	 * return address. The lower of the two is tried first: where it is the wrong one, no call can be there that has not
	 * returned.
	 */
	if (STACK_POINTER_MAY_BE_REGS && frame == number_of(ctx))
		return on_return_of(ctx, frame + sizeof(*ctx) - RETURN_ADDRESS_BYTES, frame + sizeof(*ctx), PT_REGS_RC(ctx));
	return on_return(ctx, frame - RETURN_ADDRESS_BYTES, PT_REGS_RC(ctx));
}

const volatile u32 probe_never = 0;

/*
 * From 6.13 ("bpf: Find eligible subprogs for private stack support") stacks of programs may be memory of their CPU,
 * which is right where the kernel runs one at a time there. Programs of uprobes it does not hold back, and where it can
 * be preempted (Debian's 7.x) it interrupts them: the next one then writes over the stack of the first, whose event has
 * the ids of another thread. With a tail call in it, also one that is never made, a program stays on the kernel's stack
 * (kernel/bpf/verifier.c: check_max_stack_depth).
 */
static __always_inline void on_own_stack(void)
{
	if (probe_never)
		asm volatile("call %[tail_call]" : : [tail_call] "i"(BPF_FUNC_tail_call)
			     : "r0", "r1", "r2", "r3", "r4", "r5", "memory");
}

/* In binaries. Those that may sleep bring in strings that are not in memory yet (6.1, for probes). */
#define USER_PROGRAMS(suffix, kind, kind_of_return)                                     \
	SEC(kind)                                                                       \
	int uprobe_hit##suffix(struct pt_regs *ctx)                                     \
	{                                                                               \
		on_own_stack();                                                         \
		return on_hit(ctx, which_place(ctx), 0);                                      \
	}                                                                               \
                                                                                        \
	SEC(kind)                                                                       \
	int uprobe_enter##suffix(struct pt_regs *ctx)                                   \
	{                                                                               \
		on_own_stack();                                                         \
		return on_enter(ctx, which_place(ctx), PT_REGS_SP(ctx));                      \
	}                                                                               \
                                                                                        \
	SEC(kind_of_return)                                                             \
	int uprobe_return##suffix(struct pt_regs *ctx)                                  \
	{                                                                               \
		on_own_stack();                                                         \
		return on_return(ctx, PT_REGS_SP(ctx) - RETURN_ADDRESS_BYTES, PT_REGS_RC(ctx)); \
	}

USER_PROGRAMS(, "uprobe", "uretprobe")
USER_PROGRAMS(_sleepable, "uprobe.s", "uretprobe.s")
USER_PROGRAMS(_multi, "uprobe.multi", "uretprobe.multi")
USER_PROGRAMS(_multi_sleepable, "uprobe.multi.s", "uretprobe.multi.s")

SEC("fentry")
int probe_fentry(u64 *ctx)
{
	return on_hit(ctx, 0, 0);
}

SEC("fexit")
int probe_fexit(u64 *ctx)
{
	return on_hit(ctx, 0, 0);
}

/* Both are run by one trampoline, with one place for the arguments: its address distinguishes calls. */
SEC("fentry")
int probe_enter_fentry(u64 *ctx)
{
	return on_enter(ctx, 0, number_of(ctx));
}

SEC("fexit")
int probe_return_fexit(u64 *ctx)
{
	return on_return(ctx, number_of(ctx), 0);
}

SEC("raw_tp")
int probe_raw(u64 *ctx)
{
	return on_hit(ctx, 0, 0);
}

SEC("tp_btf")
int probe_typed(u64 *ctx)
{
	return on_hit(ctx, 0, 0);
}

SEC("tp")
int probe_tracepoint(void *ctx)
{
	return on_hit(ctx, 0, 0);
}
