// Calls through virtual tables: areas of shapes.
#include <stdio.h>
struct Shape {
    virtual double area() const { return 0; }
};
struct Square : Shape {
    double side;
    explicit Square(double side) : side(side) {}
    double area() const override { return side * side; }
};
struct Circle : Shape {
    double radius;
    explicit Circle(double radius) : radius(radius) {}
    double area() const override { return radius * radius * 3; }
};
int main() {
    const Square square(1.5);
    const Circle circle(0.5);
    const Shape *shapes[64];
    for (int i = 0; i < 64; i++) shapes[i] = i * i % 7 < 3 ? static_cast<const Shape *>(&square) : &circle;
    double sum = 0;
    for (int round = 0; round < 4000000; round++)
        for (int i = 0; i < 64; i += 1 + round % 2) sum += shapes[i]->area();
    printf("%.0f\n", sum);
}
