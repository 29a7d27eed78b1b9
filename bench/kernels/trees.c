// The allocator: binary trees that are made and freed.
#include <stdio.h>
#include <stdlib.h>
struct tree { struct tree *left, *right; };
static struct tree *make(int depth) {
    struct tree *tree = malloc(sizeof *tree);
    tree->left = depth ? make(depth - 1) : NULL;
    tree->right = depth ? make(depth - 1) : NULL;
    return tree;
}
static int count(struct tree *tree) { return tree ? 1 + count(tree->left) + count(tree->right) : 0; }
static void drop(struct tree *tree) {
    if (!tree) return;
    drop(tree->left);
    drop(tree->right);
    free(tree);
}
int main(void) {
    long sum = 0;
    for (int round = 0; round < 60; round++) {
        struct tree *tree = make(15);
        sum += count(tree);
        drop(tree);
    }
    printf("%ld\n", sum);
}
