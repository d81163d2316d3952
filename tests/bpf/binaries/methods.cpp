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
} // namespace space

int main(int argc, char **) {
    derived of{};
    of.third = 3;
    space::counter counter;
    return counter.add(argc, of, space::kind::some) + static_cast<int>(space::takes(owner(3), 4));
}
