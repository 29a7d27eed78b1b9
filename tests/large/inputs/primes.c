#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv) {
    size_t limit = argc > 1 ? strtoul(argv[1], NULL, 10) : 100;
    unsigned char *composite = calloc(limit + 1, 1);
    if (!composite) return 1;
    size_t count = 0, last = 0;
    for (size_t n = 2; n <= limit; n++) {
        if (composite[n]) continue;
        count++;
        last = n;
        // The square of a larger n is past the limit, and past size_t.
        if (n > limit / n) continue;
        for (size_t m = n * n; m <= limit; m += n) composite[m] = 1;
    }
    printf("primes up to %zu: %zu, the last %zu\n", limit, count, last);
    free(composite);
    return 0;
}
