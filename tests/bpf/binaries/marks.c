// Static probes: in several places, with a semaphore, with twelve arguments, and with arguments of every form.
#include "sdt.h"

volatile long counter = 5, table[4] = {1, 2, 3, 4};
unsigned short groupc_counted_semaphore __attribute__((section(".probes"), used));

__attribute__((noinline)) static void one(int n) {
    __asm__ volatile(SDT_("groupa", "probe1", "-4@%0", "0") : : "nor"(n));
}

static inline __attribute__((always_inline)) void two(int n, int m) {
    __asm__ volatile(SDT_("groupb", "probe2", "-4@%0 -4@%1", "0") : : "nor"(n), "nor"(m));
}

int main(int argc, char **argv) {
    one(argc);
    two(argc, 7);
    two(argc + 1, 8);
    __asm__ volatile(SDT_("groupc", "counted", "8@%0", "groupc_counted_semaphore") : : "r"(argv));
#if defined(__x86_64__)
    __asm__ volatile(SDT_("groupc", "twelve",
                          "8@%%rdi -8@%%rsi 4@%%edx -4@%%ecx 2@%%r8w -2@%%r9w 1@%%al -1@%%bl 8@$12 -4@$-1 8@counter(%%rip) "
                          "8@table+8(%%rip)",
                          "0") ::: "memory");
    __asm__ volatile(SDT_("groupc", "forms",
                          "8@-8(%%rsp) 8@16(%%rsp,%%rax,8) 1@%%ah 8f@%%xmm0 8f@-16(%%rbp) 8@%%fs:0 4@(,%%rcx,4) 8@(%%rdx)",
                          "0") ::: "memory");
#else
    __asm__ volatile(SDT_("groupc", "twelve", "8@x0 -8@x1 4@w2 -4@w3 2@w4 -2@w5 1@w6 -1@w7 8@12 -4@-1 8@[sp, 8] 8@[x8]", "0")
                     ::: "memory");
    __asm__ volatile(SDT_("groupc", "forms", "8@xzr 8@[x0, x1, lsl 3] 8f@d0 -4@[sp, -4] 8@sp", "0") ::: "memory");
#endif
    return 0;
}
