// Functions of every kind that a probe may be put on; built in several ways by build.rs.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEEP __attribute__((noinline, used))

enum color { RED = 1, GREEN = 2, BLUE = -3 };
typedef enum color color_t;
struct inner {
    int8_t small;
    uint16_t numbers[4];
};
struct thing {
    const char *name;
    unsigned low : 3;
    unsigned high : 5;
    int : 0;
    signed wide : 20;
    enum color color;
    struct inner inner;
    struct inner *to;
    struct thing *next;
    union {
        uint64_t whole;
        struct {
            uint32_t first, second;
        };
    };
    double ratio;
    float ratios[2];
    char text[16];
    int grid[2][3];
    int (*call)(struct thing *, int);
    struct unknown *unknown;
};
struct pair {
    uint32_t a, b;
    uint64_t c;
};
struct mixed {
    double d;
    long n;
};
struct floats {
    float x, y;
};
struct large {
    uint64_t words[4];
};
struct flags {
    unsigned char a : 4;
    unsigned char b : 4;
    short c;
};

volatile uint64_t sink;

KEEP int simple(int fd, const char *name, size_t count) {
    sink += fd + count + (name ? name[0] : 0);
    return (int)sink;
}
KEEP static int of_thing(struct thing *thing, color_t color, const struct thing *const *list) {
    sink += thing->low + color + (list != NULL);
    return thing->high;
}
KEEP long many(int a, long b, short c, char d, unsigned e, long f, int g, const char *h, struct pair i, long j) {
    sink += a + b + c + d + e + f + g + (h != NULL) + i.a + j;
    return (long)sink;
}
KEEP struct pair by_value(struct pair pair, struct mixed mixed, struct floats floats, long last) {
    sink += pair.a + pair.b + mixed.n + (long)floats.x + last;
    pair.a = 7;
    return pair;
}
KEEP struct large by_memory(struct large large, int after) {
    sink += large.words[0] + after;
    large.words[1] = 9;
    return large;
}
KEEP double with_floats(double first, int second, float third, long double fourth, int fifth) {
    sink += second + fifth + (int)fourth;
    return first + third;
}
KEEP long double _Complex with_complex(double _Complex first, int second, long double _Complex third,
                                       float _Complex *fourth, int fifth) {
    sink += second + fifth + (int)__real__ *fourth;
    return first + third;
}
KEEP struct mixed returns_mixed(long n) {
    struct mixed mixed = {1.5, n};
    sink += n;
    return mixed;
}
KEEP int bits_by_value(struct flags flags, int (*callback)(int), void *data) {
    sink += flags.a + flags.c + (data != NULL);
    return callback ? callback(flags.b) : 0;
}
KEEP int variadic(const char *format, ...) {
    va_list args;
    va_start(args, format);
    int first = va_arg(args, int);
    va_end(args);
    sink += first;
    return first;
}
struct tag {
    char text[4];
    char after;
};
KEEP int full(const struct tag *tag) {
    sink += tag->text[0] + tag->text[1] + tag->text[2] + tag->after;
    return tag->text[3];
}
// It does not say that it does not return.
KEEP void ends(int status) {
    exit(status);
}
KEEP _Noreturn void never_returns(int status) {
    exit(status);
}
KEEP void nothing(void) {
    sink++;
}
KEEP unsigned __int128 huge(unsigned __int128 number, int behind) {
    sink += behind + (uint64_t)number;
    return number + 1;
}
KEEP int wide_behind_one(int before, unsigned __int128 number, int behind) {
    sink += before + behind + (uint64_t)number;
    return behind;
}

static inline __attribute__((always_inline)) int inlined_one(int number) {
    sink += number * 3; // line: inlined
    return number + 1;
}
KEEP int caller_one(int number) {
    int doubled = number * 2; // line: doubled
    sink += doubled; // line: after
    return inlined_one(doubled);
}
KEEP int caller_two(int number) {
    return inlined_one(number) + inlined_one(number + 5);
}
KEEP int recursive(int depth) {
    return depth > 0 ? recursive(depth - 1) + 1 : (int)sink;
}
KEEP static int twin(int of_functions) {
    return of_functions + 1;
}
extern int alias_of_simple(int fd, const char *name, size_t count) __attribute__((alias("simple")));
__attribute__((weak)) KEEP int weak_one(int x) {
    sink += x;
    return x;
}

static int callback(int x) {
    return x;
}

int main(int argc, char **argv) {
    struct thing thing = {.name = "one", .low = 5, .high = 17, .wide = -5, .color = GREEN};
    const struct thing *list[1] = {&thing};
    struct pair pair = {1, 2, 3};
    struct mixed mixed = {1.0, 2};
    struct floats floats = {1, 2};
    struct large large = {{1, 2, 3, 4}};
    struct flags flags = {1, 2, 3};
    simple(argc, argv[0], 3);
    of_thing(&thing, BLUE, list);
    many(1, 2, 3, 4, 5, 6, 7, "eight", pair, 10);
    pair = by_value(pair, mixed, floats, 4);
    large = by_memory(large, 5);
    sink += (uint64_t)with_floats(1, 2, 3, 4, 5) + (uint64_t)returns_mixed(3).d + bits_by_value(flags, callback, &pair);
    float _Complex both = 8;
    sink += (int)__real__ with_complex(1, 2, 3, &both, 5);
    variadic("%d", 7);
    nothing();
    struct tag tag = {{'f', 'u', 'l', 'l'}, 'x'};
    full(&tag);
    sink += wide_behind_one(1, 2, 3);
    sink += huge(1, 2) + caller_one(1) + caller_two(2) + recursive(3) + twin(1) + weak_one(2);
    if (argc > 1000) {
        never_returns(argc);
    }
    ends(malloc(3) == NULL || strlen(argv[0]) == 0);
    return 3;
}
