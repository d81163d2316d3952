// Values that the calling convention passes in ways of their own: what comes behind each tells where that left off.
#include <stdint.h>

#define KEEP __attribute__((noinline, used))
typedef float four __attribute__((vector_size(16)));
typedef int two __attribute__((vector_size(8)));
typedef float eight __attribute__((vector_size(32)));
struct __attribute__((packed)) misplaced {
    char first;
    long second;
};
struct __attribute__((packed)) in_place {
    long first;
    char second;
};
struct with_vector {
    four only;
};
volatile long sink;

KEEP int vectors(int before, four one, two other, int after) {
    sink += before + after + (long)one[0] + other[1];
    return after;
}
KEEP int wide_vector(int before, eight one, int after) {
    sink += before + after + (long)one[0];
    return after;
}
KEEP int inner_vector(int before, struct with_vector one, int after) {
    sink += before + after + (long)one.only[0];
    return after;
}
KEEP int packed(int before, struct misplaced one, struct in_place other, int after) {
    sink += before + after + one.second + other.second;
    return after;
}
KEEP int complex_int(int before, _Complex int one, _Complex long other, int after) {
    sink += before + after + __imag__ one + __imag__ other;
    return after;
}
KEEP four returns_vector(int before) {
    sink += before;
    return (four){1, 2, 3, (float)before};
}
#ifdef __x86_64__
KEEP int quad(int before, __float128 one, int after) {
    sink += before + after + (long)one;
    return after;
}
#ifndef __clang__
KEEP int decimal(int before, _Decimal64 one, _Decimal128 other, int after) {
    sink += before + after + (long)one + (long)other;
    return after;
}
#endif
#endif
// What is not used is left out, and what is called with less has another name or says so.
static KEEP int fewer(int unused, int used) {
    sink += used;
    return 7;
}
// On arm64, and by Clang, what is not used is not there.
KEEP int unused(int none, int some) {
    sink += some;
    return 7;
}
int main(int argc, char **argv) {
    four one = {1, 2, 3, 4};
    vectors(1, one, (two){5, 6}, 7);
    wide_vector(1, (eight){2}, 3);
    inner_vector(1, (struct with_vector){one}, 2);
    packed(1, (struct misplaced){2, 3}, (struct in_place){4, 5}, 6);
    complex_int(1, 2, 3, 4);
    sink += (long)returns_vector(argc)[0];
#ifdef __x86_64__
    quad(1, 2, 3);
#ifndef __clang__
    decimal(1, 2, 3, 4);
#endif
#endif
    return fewer(1, argc) + unused(2, argc) == 0;
}
