/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What differs between architectures: 64-bit x86, and 64-bit ARM.
 */
#pragma once
#include "event.bpf.h"

#if defined(bpf_target_x86)

/* arch/x86/entry/syscalls/syscall_64.tbl */
#define NR_EXECVEAT 322
/* arch/x86/include/asm/page_64_types.h: of a kernel without KASAN */
#define THREAD_SIZE 16384
/* In struct pt_regs: the number of the system call. */
#define SYSCALL_NUMBER orig_ax
/* What a call pushes: its return address. */
#define RETURN_ADDRESS_BYTES 8
/*
 * Where a kretprobe.multi program's stack pointer shows where the registers themselves are: from 6.14 (a3ed4157b7d8:
 * fgraph: Replace fgraph_ret_regs with ftrace_regs) up to 8bc11700e0d2 (x86/fgraph: Fix return_to_handler regs.rsp
 * value; 7.0).
 */
#define STACK_POINTER_MAY_BE_REGS true
/* For kprobe.multi programs: by what a call's entry and its return are recognised. */
#define FRAME_TOGETHER(ctx) PT_REGS_SP(ctx)

/* The arguments of a 32-bit caller (arch/x86/include/asm/syscall_wrapper.h: SC_IA32_REGS_TO_ARGS). */
#define COMPAT_ARG1(regs) BPF_CORE_READ(regs, bx)
#define COMPAT_ARG2(regs) BPF_CORE_READ(regs, cx)
#define COMPAT_ARG3(regs) BPF_CORE_READ(regs, dx)
#define COMPAT_ARG4(regs) BPF_CORE_READ(regs, si)
#define COMPAT_ARG5(regs) BPF_CORE_READ(regs, di)

static __always_inline u64 common_open_flags(u64 flags)
{
	return flags;
}

#elif defined(bpf_target_arm64)

/* include/uapi/asm-generic/unistd.h */
#define NR_EXECVEAT 281
/* arch/arm64/include/asm/memory.h: of a kernel without KASAN; no less than a page */
#define THREAD_SIZE (settings.page_size > 16384 ? settings.page_size : 16384)
#define SYSCALL_NUMBER syscallno
/* It is in a register. */
#define RETURN_ADDRESS_BYTES 0
#define STACK_POINTER_MAY_BE_REGS false
/*
 * At the return, the stack pointer is not among the registers that return_to_handler() keeps (arch/arm64/kernel/
 * entry-ftrace.S), the caller's frame pointer is.
 */
#define FRAME_TOGETHER(ctx) PT_REGS_FP(ctx)

/* Those of a 32-bit caller are in the same registers as a 64-bit one's (arch/arm64/include/asm/syscall_wrapper.h). */
#define COMPAT_ARG1(regs) PT_REGS_PARM1_CORE_SYSCALL(regs)
#define COMPAT_ARG2(regs) PT_REGS_PARM2_CORE_SYSCALL(regs)
#define COMPAT_ARG3(regs) PT_REGS_PARM3_CORE_SYSCALL(regs)
#define COMPAT_ARG4(regs) PT_REGS_PARM4_CORE_SYSCALL(regs)
#define COMPAT_ARG5(regs) PT_REGS_PARM5_CORE_SYSCALL(regs)

/*
 * Flags of open(2), with the numbers that x86 has: so events are the same everywhere, also when they are replayed
 * elsewhere (src/host/arch.rs: common_open_flags). O_DIRECTORY and O_NOFOLLOW have changed places with O_DIRECT and
 * O_LARGEFILE here (arch/arm64/include/uapi/asm/fcntl.h).
 */
static __always_inline u64 common_open_flags(u64 flags)
{
	return (flags & ~0740000ULL) | (flags & 0140000) << 2 | (flags >> 2 & 0140000);
}

#else
#error "unknown architecture"
#endif

/* Where a function returns to, read at its entry; 0 if it cannot be read. */
static __always_inline u64 return_address(struct pt_regs *ctx)
{
	u64 address = 0;

	if (!RETURN_ADDRESS_BYTES)
		return PT_REGS_RET(ctx);
	bpf_probe_read_user(&address, sizeof(address), (void *)PT_REGS_SP(ctx));
	return address;
}
