/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Kernel differences, one function each, citing the kernel's file, commit or version.
 */
#pragma once
#include "arch.bpf.h"
#include "event.bpf.h"

/*
 * Reads a field of a kernel struct. Where the program's hook gives BTF-typed pointers (tp_btf,
 * fentry), the load is direct and 1.4 to 2.8 times cheaper; elsewhere it is a CO-RE probe read.
 * `direct` is a constant.
 */
#define READ(direct, ptr, field)                                                                 \
	({                                                                                       \
		typeof(ptr) __ptr = (ptr);                                                       \
		typeof(__ptr->field) __value;                                                    \
		if (direct)                                                                      \
			__value = __ptr->field;                                                  \
		else                                                                             \
			bpf_core_read(&__value, sizeof(__value), &__ptr->field);                 \
		__value;                                                                         \
	})

/*
 * Calls step(i, &state) for i from 0 until it does not return 0, at most `times` times. By bpf_loop (5.17), which takes
 * `callback`, a function that calls `step`, each turn is alike for the verifier; by a loop, it looks at every turn: tens
 * of thousands of instructions. (The copy is in registers.)
 */
#define REPEAT(times, step, callback, state)                                            \
	do {                                                                             \
		if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_loop)) {       \
			bpf_loop(times, callback, &(state), 0);                          \
		} else {                                                                 \
			typeof(state) __copy = (state);                                  \
			for (u32 __i = 0; __i < (times); __i++)                          \
				if (step(__i, &__copy))                                  \
					break;                                           \
			(state) = __copy;                                                \
		}                                                                        \
	} while (0)

/*
 * A task and its `signal`, which its threads have in common. A direct load of a pointer from a trusted one makes the
 * verifier search the names of all the kernel's types several times, on each way on which it comes there
 * (kernel/bpf/verifier.c: btf_nested_type_is_trusted): two milliseconds each. So that is done for this one, of which
 * most is read, before the program branches; pointers to other tasks and to memory are always read by the helper.
 */
struct subject {
	struct task_struct *task;
	struct signal_struct *signal;
};

/* All arguments but the task are constants. Without direct loads, what is not needed after all is not read. */
static __always_inline struct subject subject_of(bool direct, struct task_struct *task, bool with_signal)
{
	struct subject who = { .task = task };

	if (direct && with_signal) {
		who.signal = task->signal;
		barrier_var(who.signal);
	}
	return who;
}

#define SIGNAL(direct, who) ((direct) ? (who)->signal : READ(false, (who)->task, signal))

/* include/uapi/asm-generic/errno-base.h */
#define EEXIST 17
/* include/linux/sched/signal.h: the process is ending as a whole, with group_exit_code. */
#define SIGNAL_GROUP_EXIT 0x00000004
/* include/uapi/linux/sched.h */
#define CLONE_PARENT 0x00008000
#define CLONE_THREAD 0x00010000
/* include/uapi/linux/fcntl.h */
#define AT_FDCWD (-100)
/* include/linux/pid_namespace.h: MAX_PID_NS_LEVEL below the initial one. */
#define PIDNS_LEVELS 33

/* The numbers of a process or thread, one for each PID namespace that it is in. */
struct numbers {
	void *first;
	u32 level; /* of the last */
	u32 found; /* that of coretrace's own namespace */
};

/* Looks at one number; returns whether it is the last. */
static __always_inline long numbers_step(u32 i, struct numbers *n)
{
	struct upid *upid = n->first + i * bpf_core_type_size(struct upid);

	if (i > n->level)
		return 1;
	if (BPF_CORE_READ(upid, ns, ns.inum) != settings.pidns)
		return 0;
	n->found = BPF_CORE_READ(upid, nr);
	return 1;
}

static __noinline long numbers_callback(u32 i, void *state)
{
	return numbers_step(i, state);
}

/*
 * The number of a process or thread in coretrace's own PID namespace; 0 if it has none there (kernel/pid.c: pid_nr_ns).
 * Called only if that namespace is not the initial one, whose numbers are fields of the task. A global function: the
 * verifier checks it once (see walk_to_root()).
 */
__noinline u32 nr_in_namespace(u64 pid_address)
{
	struct pid *pid = (void *)pid_address;
	struct numbers n = { .level = BPF_CORE_READ(pid, level) };

	n.first = (void *)pid + bpf_core_field_offset(struct pid, numbers);
	REPEAT(PIDNS_LEVELS, numbers_step, numbers_callback, n);
	return n.found;
}

/* The process's id: the kernel's tgid. */
static __always_inline u32 process_id(bool direct, struct task_struct *task)
{
	if (!settings.pidns)
		return READ(direct, task, tgid);
	return nr_in_namespace((u64)BPF_CORE_READ(task, signal, pids[PIDTYPE_TGID]));
}

/* The thread's id: the kernel's pid. */
static __always_inline u32 thread_id(bool direct, struct task_struct *task)
{
	if (!settings.pidns)
		return READ(direct, task, pid);
	return nr_in_namespace((u64)BPF_CORE_READ(task, thread_pid));
}

/* How many entries from the end of a list of tasks are searched for a new one. */
#define NEW_TASKS 16

/*
 * The task that the current one has just made, where the hook has only its number (in the initial namespace): it is the
 * last, or close to it, in the list of the thread's children or of the process's threads (kernel/fork.c: copy_process).
 * NULL if it is not found.
 */
static __noinline __attribute__((unused)) struct task_struct *new_task(u32 pid, u64 flags)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	void *head, *node;
	u32 offset;

	if (flags & CLONE_THREAD) {
		head = (void *)BPF_CORE_READ(task, signal) + bpf_core_field_offset(struct signal_struct, thread_head);
		offset = bpf_core_field_offset(struct task_struct, thread_node);
	} else {
		if (flags & CLONE_PARENT)
			task = BPF_CORE_READ(task, real_parent);
		head = (void *)task + bpf_core_field_offset(struct task_struct, children);
		offset = bpf_core_field_offset(struct task_struct, sibling);
	}
	node = head;
	for (u32 i = 0; i < NEW_TASKS; i++) {
		node = BPF_CORE_READ((struct list_head *)node, prev);
		if (node == head)
			break;
		task = node - offset;
		if ((u32)BPF_CORE_READ(task, pid) == pid)
			return task;
	}
	return NULL;
}

/*
 * Whether sched_process_exit reports that the whole process is gone, as on newer kernels (seen on 6.18 and 7.2, not on
 * 6.12): it has its own record (before, it shared one with other events), and `group_dead` was added to its arguments.
 * The two came together, so the field in the record implies the argument.
 */
struct trace_event_raw_sched_process_exit___group_dead {
	bool group_dead;
} __attribute__((preserve_access_index));

static __always_inline bool exit_has_group_dead(void)
{
	return bpf_core_field_exists(struct trace_event_raw_sched_process_exit___group_dead, group_dead);
}

/* The same on all architectures. */
#define NR_IO_URING_ENTER 426

/*
 * The registers with which the current task entered the kernel: by bpf_task_pt_regs (5.15; it needs the kernel's own
 * BTF: `known`, a constant), otherwise computed from the stack's address. The number of the system call in them shows
 * whether they are the right ones.
 */
static __always_inline struct pt_regs *entry_regs(bool known)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	if (known && bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_task_pt_regs))
		return (void *)bpf_task_pt_regs(bpf_get_current_task_btf());
	return BPF_CORE_READ(task, stack) + THREAD_SIZE - bpf_core_type_size(struct pt_regs);
}

static __always_inline long entry_syscall(struct pt_regs *regs)
{
	return BPF_CORE_READ(regs, SYSCALL_NUMBER);
}

struct process_key {
	u64 start_boottime;
	u32 tgid;
	u32 reserved;
};

/* Processes with several threads whose end this object has seen. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096); /* and more for each CPU: src/load/shared.rs */
	__type(key, struct process_key);
	__type(value, u8);
} ended SEC(".maps");

static __always_inline struct process_key process_key(bool direct, const struct subject *who)
{
	struct process_key key = {};

	key.tgid = READ(direct, who->task, tgid);
	key.start_boottime = READ(false, READ(false, who->task, group_leader), start_boottime);
	return key;
}

/*
 * Whether the ending thread is the one that ends its process, on kernels that do not report it. signal->live is 0 for
 * the last thread, but also for the last but one if both die at once (kernel/exit.c: do_exit decrements it long before
 * the tracepoint): the first to get here counts. A lone thread (nr_threads counts those not yet released) can only be
 * the second of such a pair.
 */
static __always_inline bool ends_process(bool direct, const struct subject *who)
{
	struct signal_struct *signal = SIGNAL(direct, who);
	struct process_key key = {};
	u8 yes = 1;

	if (READ(direct, signal, live.counter))
		return false;
	key = process_key(direct, who);
	/*
	 * Any other failure than this one (no memory) must not hide the end of a process. It is an int
	 * until 6.4, whose upper half is not the sign's (d7ba4cc900bf: bpf: return long from
	 * bpf_map_ops funcs).
	 */
	if (READ(direct, signal, nr_threads) > 1)
		return (int)bpf_map_update_elem(&ended, &key, &yes, BPF_NOEXIST) != -EEXIST;
	return !bpf_map_lookup_elem(&ended, &key);
}

/*
 * The status that waitpid() reports for a process, in its form: code << 8, or signal | 0x80 if core
 * was dumped (kernel/exit.c: wait_task_zombie; measured to agree on 5.10, 6.1, 6.12 and 7.2).
 */
static __always_inline u32 process_status(bool direct, const struct subject *who)
{
	struct signal_struct *signal = SIGNAL(direct, who);

	if (READ(direct, signal, flags) & SIGNAL_GROUP_EXIT)
		return READ(direct, signal, group_exit_code);
	return READ(false, READ(false, who->task, group_leader), exit_code);
}

/* How many threads of a process are checked: more hardly ever end at once. */
#define ENDING_THREADS 32

/*
 * One attempt to sum up the CPU times, in ns, of the threads that are gone and of those still in the list: the ending
 * one, a leader that ended before it, others that end at the same time. False if one moved from the list to the sum
 * meanwhile (kernel/exit.c: __exit_signal). Not inlined: the verifiers of 5.10 and 6.1 refuse nested loops.
 */
static __noinline bool look_at_cpu_times(struct signal_struct *signal, u64 *ns)
{
	void *head = (void *)signal + bpf_core_field_offset(struct signal_struct, thread_head);
	void *node = BPF_CORE_READ(signal, thread_head.next);
	u64 gone = BPF_CORE_READ(signal, sum_sched_runtime);
	int threads = 0;

	*ns = gone;
	for (u32 i = 0; i < ENDING_THREADS; i++) {
		struct task_struct *thread = node - bpf_core_field_offset(struct task_struct, thread_node);

		if (node == head)
			break;
		*ns += BPF_CORE_READ(thread, se.sum_exec_runtime);
		node = BPF_CORE_READ(thread, thread_node.next);
		threads++;
	}
	return gone == BPF_CORE_READ(signal, sum_sched_runtime) && threads == BPF_CORE_READ(signal, nr_threads);
}

/*
 * CPU time of a process in ns at its end, as of the scheduler's last update: what kernel/sched/cputime.c:
 * thread_group_cputime computes under a lock.
 */
static __always_inline u64 process_cpu_ns(bool direct, const struct subject *who)
{
	struct signal_struct *signal = SIGNAL(direct, who);
	u64 ns;

	if (READ(direct, signal, nr_threads) == 1)
		return READ(direct, signal, sum_sched_runtime) + READ(direct, who->task, se.sum_exec_runtime);
	if (!look_at_cpu_times(signal, &ns))
		look_at_cpu_times(signal, &ns);
	return ns;
}

/*
 * Reads a string from user space; returns its length, including the NUL. Up to 6.12 the helper returns 0, not 1, for an
 * empty one (mm/maccess.c: strncpy_from_user_nofault).
 */
static __always_inline long read_user_str(void *to, u32 size, const void *from)
{
	long n = bpf_probe_read_user_str(to, size, from);

	if (n)
		return n;
	*(u8 *)to = 0;
	return 1;
}

struct cgroup___with_ids {
	u64 ancestor_ids[1];
} __attribute__((preserve_access_index));

/*
 * Id of the current task's cgroup, or of its ancestor at this level. On 5.10, tracing programs may not call the helper;
 * but up to 6.0, a cgroup stores its ancestors' ids (include/linux/cgroup-defs.h: ancestor_ids; then ancestors).
 */
static __noinline u64 cgroup_id_at(struct task_struct *task, int level)
{
	const void *ids;
	u64 id = 0;

	if (!bpf_core_field_exists(struct cgroup___with_ids, ancestor_ids))
		return bpf_get_current_ancestor_cgroup_id(level);
	ids = (void *)BPF_CORE_READ(task, cgroups, dfl_cgrp) + bpf_core_field_offset(struct cgroup___with_ids, ancestor_ids);
	bpf_probe_read_kernel(&id, sizeof(id), ids + level * sizeof(id));
	return id;
}
