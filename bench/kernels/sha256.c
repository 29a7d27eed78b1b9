// Integers: blocks of SHA-256, after FIPS 180-4.
#include <stdint.h>
#include <stdio.h>
static uint32_t k[64], h[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                               0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
static uint32_t rotate(uint32_t x, int n) { return x >> n | x << (32 - n); }
static void block(const uint32_t *in) {
    uint32_t w[64], s[8];
    for (int i = 0; i < 16; i++) w[i] = in[i];
    for (int i = 16; i < 64; i++) {
        uint32_t a = w[i - 15], b = w[i - 2];
        w[i] = w[i - 16] + (rotate(a, 7) ^ rotate(a, 18) ^ a >> 3) + w[i - 7] +
               (rotate(b, 17) ^ rotate(b, 19) ^ b >> 10);
    }
    for (int i = 0; i < 8; i++) s[i] = h[i];
    for (int i = 0; i < 64; i++) {
        uint32_t e = s[4], a = s[0];
        uint32_t one = s[7] + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + ((e & s[5]) ^ (~e & s[6])) + k[i] + w[i];
        uint32_t two = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & s[1]) ^ (a & s[2]) ^ (s[1] & s[2]));
        for (int j = 7; j > 0; j--) s[j] = s[j - 1];
        s[4] += one;
        s[0] = one + two;
    }
    for (int i = 0; i < 8; i++) h[i] += s[i];
}
int main(void) {
    uint32_t data[16], x = 1;
    for (int i = 0; i < 64; i++) k[i] = x = x * 1664525 + 1013904223;
    for (int round = 0; round < 900000; round++) {
        for (int i = 0; i < 16; i++) data[i] = round + i;
        block(data);
    }
    printf("%08x\n", h[0] ^ h[7]);
}
