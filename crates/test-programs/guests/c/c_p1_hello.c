// Says hello, or shows the file that its argument names.
#include <stdio.h>

int main(int argc, char **argv) {
    if (argc < 2) {
        puts("hello from a sealed component");
        return 0;
    }
    FILE *file = fopen(argv[1], "r");
    if (!file) {
        perror(argv[1]);
        return 1;
    }
    char buffer[4096];
    size_t length;
    while ((length = fread(buffer, 1, sizeof buffer, file)) > 0)
        fwrite(buffer, 1, length, stdout);
    fclose(file);
    return 0;
}
