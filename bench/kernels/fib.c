// Calls: Fibonacci numbers by recursion.
#include <stdio.h>
static __attribute__((noinline)) int fib(int n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
int main(void) { printf("%d\n", fib(39)); }
