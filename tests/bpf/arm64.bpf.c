/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Types by which those of an arm64 kernel are recognised. */

struct pt_regs {
	unsigned long long regs[31];
	unsigned long long sp;
	unsigned long long pc;
	unsigned long long pstate;
	int syscallno;
};

struct pt_regs *regs;
