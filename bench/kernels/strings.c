// Functions of the C library on strings.
#include <stdio.h>
#include <string.h>
static char text[1 << 20], copy[1 << 20];
int main(void) {
    for (size_t i = 0; i < sizeof text - 1; i++) text[i] = 'a' + i * i % 23;
    unsigned long sum = 0;
    for (int round = 0; round < 600; round++) {
        text[round * 1000] = 'z';
        strcpy(copy, text);
        sum += strlen(copy) + (strcmp(copy, text) == 0) + (strchr(copy, 'z') - copy);
        sum += memcmp(copy, text, sizeof text) == 0;
        sum += strstr(copy, "zzzz") != NULL;
    }
    printf("%lu\n", sum);
}
