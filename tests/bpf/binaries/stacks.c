// A program that has two stacks in one thread.
#include <ucontext.h>

static ucontext_t caller, other;
static char stack[65536];

static void other_main(void) {
    swapcontext(&other, &caller);
}

int main(void) {
    getcontext(&other);
    other.uc_stack.ss_sp = stack;
    other.uc_stack.ss_size = sizeof(stack);
    other.uc_link = &caller;
    makecontext(&other, other_main, 0);
    swapcontext(&caller, &other);
    return 0;
}
