// What C++ has that C has not: names of classes and namespaces, bases, classes that are passed by their address.
extern "C" int printf(const char *, ...);
volatile long sink;

struct base {
    int first;
    long second;
};
struct derived : base {
    char third;
    static int shared;
};
struct owner {
    int value;
    owner(int value) : value(value) {}
    owner(const owner &other) : value(other.value) { sink += 1; }
    ~owner() { sink -= 1; }
};
namespace space {
enum class kind : unsigned char { none, some = 200 };
class counter {
    int count = 0;

  public:
    __attribute__((noinline)) int add(int more, const derived &of, kind how) {
        sink += of.third + static_cast<int>(how);
        return count += more;
    }
};
__attribute__((noinline)) long takes(owner one, int after) {
    sink += one.value + after;
    return sink;
}
struct follows {
    int value;
    follows(int value) : value(value) {}
    follows(const follows &) = default;
    virtual long get() { return value; }
};
struct holds {
    owner inner;
};
struct plain {
    int value;
    plain(int value) : value(value) {}
    plain(const plain &) = default;
    plain(const char *, int);
};
struct stays {
    int value;
    stays(int value) : value(value) {}
    stays(const stays &) = delete;
};
struct empty {};
struct moves {
    long first, second;
};
using method = long (moves::*)(int);
__attribute__((noinline)) long takes_many(follows one, holds two, plain three, empty, method four, int after) {
    sink += one.value + two.inner.value + three.value + after + (four != nullptr);
    return sink;
}
__attribute__((noinline)) stays gives_staying(int value) {
    sink += value;
    return {value};
}
template <typename T> __attribute__((noinline)) T made(T from) {
    sink += from;
    return from;
}
__attribute__((noinline)) owner gives(int value) {
    sink += value;
    return owner(value);
}
} // namespace space

int main(int argc, char **) {
    derived of{};
    of.third = 3;
    space::counter counter;
    return counter.add(argc, of, space::kind::some) + static_cast<int>(space::takes(owner(3), 4)) +
           static_cast<int>(space::takes_many(space::follows(1), space::holds{owner(2)}, space::plain(3), {}, nullptr, 5)) +
           space::gives(6).value + space::gives_staying(8).value + space::made(7) + static_cast<int>(space::made(8L));
}
