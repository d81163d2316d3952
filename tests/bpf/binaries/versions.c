/* A function in two versions: what was linked against the first still finds it, everything new takes the second. */

__asm__(".symver it_of_old, it@IT_1");
__asm__(".symver it_of_today, it@@IT_2");

int it_of_old(int only) { return only + 1; }
int it_of_today(int only) { return only + 2; }
