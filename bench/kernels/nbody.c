// Floating point with square roots: bodies that attract each other.
#include <math.h>
#include <stdio.h>
#define N 5
static double p[N][3], v[N][3], m[N];
int main(void) {
    for (int i = 0; i < N; i++) {
        m[i] = 1.0 / (i + 1);
        for (int d = 0; d < 3; d++) {
            p[i][d] = i * 3 + d * d;
            v[i][d] = (d - i) * 0.01;
        }
    }
    for (int step = 0; step < 2500000; step++) {
        for (int i = 0; i < N; i++)
            for (int j = i + 1; j < N; j++) {
                double x[3], square = 0.01;
                for (int d = 0; d < 3; d++) {
                    x[d] = p[i][d] - p[j][d];
                    square += x[d] * x[d];
                }
                double force = 0.001 / (square * sqrt(square));
                for (int d = 0; d < 3; d++) {
                    v[i][d] -= x[d] * m[j] * force;
                    v[j][d] += x[d] * m[i] * force;
                }
            }
        for (int i = 0; i < N; i++)
            for (int d = 0; d < 3; d++) p[i][d] += 0.001 * v[i][d];
    }
    printf("%.6f\n", p[0][0] + p[4][2]);
}
