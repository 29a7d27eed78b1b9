#define DDRB (*(volatile unsigned char *)0x24)
#define PORTB (*(volatile unsigned char *)0x25)

static unsigned crc(unsigned value, unsigned char byte) {
    value ^= (unsigned)byte << 8;
    for (int i = 0; i < 8; i++)
        value = value & 0x8000 ? value << 1 ^ 0x1021 : value << 1;
    return value;
}

int main(void) {
    unsigned value = 0xffff;
    DDRB = 0xff;
    for (unsigned long n = 0;; n++) {
        value = crc(value, (unsigned char)(n / 3));
        PORTB = (unsigned char)value;
    }
}
