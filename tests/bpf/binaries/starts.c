// Functions whose first instructions the kernel puts no probe on, and one where it does.
#ifdef __x86_64__
#define FUNCTION(name, code) ".globl " #name "\n.type " #name ", @function\n" #name ": " code "\nret\n.size " #name ", . - " #name "\n"
__asm__(FUNCTION(start_locked, "lock incq (%rdi)") FUNCTION(start_wide, "vmovd %esi, %xmm0") FUNCTION(start_plain, "nop"));
#else
void start_plain(void) {
}
#endif

int main(void) {
    return 0;
}
