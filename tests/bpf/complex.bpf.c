/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* More branches that are still to be looked at than a verifier remembers (BPF_COMPLEXITY_LIMIT_JMP_SEQ: 8192). */
#include "local.h"

SEC("raw_tp/sys_enter")
int handle_complex(u64 *ctx)
{
	asm volatile(".set n, 0\n"
		     ".rept 9000\n"
		     "if %0 == n goto +0\n"
		     ".set n, n + 1\n"
		     ".endr" ::"r"(ctx[0]));
	return 0;
}
