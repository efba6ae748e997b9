/* Writes one generated image as PGM (grey) or PPM (color, without transparency):
 *     gcc -O2 -I BUNDLE/c main.c BUNDLE/c/decoder.c BUNDLE/c/draw.c -lm -o generate
 *     ./generate 7 0 > image.pgm          seed, index[, label]
 * It is C++, too: g++ takes the same arguments.
 */
#include <stdio.h>
#include <stdlib.h>

#include "decoder.h"

/* A whole number in [0, limit), or the end of the program. */
static int64_t number(int argc, char **argv, int k, const char *name, long limit) {
    char *end;
    long value;

    if (argc <= k)
        return 0;
    value = strtol(argv[k], &end, 10);
    if (end == argv[k] || *end || value < 0 || value >= limit) {
        fprintf(stderr, "The %s must be in [0, %ld), got %s.\n", name, limit, argv[k]);
        exit(2);
    }
    return value;
}

int main(int argc, char **argv) {
    static float z[1][LATENT_DIM], image[1][HEIGHT][WIDTH][CHANNELS];
    const int64_t seed = number(argc, argv, 1, "seed", MAX_SEED);
    const int64_t index = number(argc, argv, 2, "index", MAX_SEED);

    draw(&seed, &index, z);
#ifdef NUM_CLASSES
    const int64_t label = number(argc, argv, 3, "label", NUM_CLASSES);
    decode((const float(*)[LATENT_DIM])z, &label, image);
#else
    decode((const float(*)[LATENT_DIM])z, image);
#endif
    const int written = CHANNELS < 3 ? 1 : 3;
    printf("P%d %d %d 255\n", written == 1 ? 5 : 6, WIDTH, HEIGHT);
    for (int i = 0; i < HEIGHT * WIDTH; i++)
        for (int j = 0; j < written; j++)
            putchar((int)(((float *)image)[i * CHANNELS + j] * 255.0f + 0.5f));
    return 0;
}
