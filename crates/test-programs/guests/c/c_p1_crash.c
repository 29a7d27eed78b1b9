// flags: -g -O0
// Crashes as its argument says. Has debug information, for the lines in reports.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void call_nothing(void) {
    void (*volatile nothing)(void) = NULL;
    nothing();
}

static void write_far(void) {
    // No memory is there: the last page of the 4 GiB that addresses can name.
    volatile char *far = (char *)0xfffffff0u;
    *far = 1;
}

static int divide(int dividend, int divisor) {
    return dividend / divisor;
}

int main(int argc, char **argv) {
    const char *way = argc > 1 ? argv[1] : "";
    if (strcmp(way, "null-call") == 0)
        call_nothing();
    else if (strcmp(way, "abort") == 0)
        abort();
    else if (strcmp(way, "out-of-bounds") == 0)
        write_far();
    else if (strcmp(way, "divide") == 0)
        printf("%d\n", divide(argc, argc - 2));
    else {
        fputs("error: unknown way to crash\n", stderr);
        return 2;
    }
    return 0;
}
