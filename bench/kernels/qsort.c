// The C library and calls through pointers: sorting with `qsort`.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#define N 1500000
static uint32_t values[N];
static int compare(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}
int main(void) {
    uint32_t x = 7;
    for (int i = 0; i < N; i++) values[i] = x = x * 1664525 + 1013904223;
    qsort(values, N, sizeof *values, compare);
    uint32_t sum = 0;
    for (int i = 0; i < N; i += 1000) sum = sum * 31 + values[i];
    printf("%u\n", sum);
}
