/* Writes one generated image as PGM (grey) or PPM (color):
 *     gcc -O2 -I BUNDLE/c main.c BUNDLE/c/decoder.c BUNDLE/c/draw.c -lm -o generate
 *     ./generate 7 0 > image.pgm          seed, index[, label]
 */
#include <stdio.h>
#include <stdlib.h>

#include "decoder.h"

int main(int argc, char **argv) {
    int64_t seed = argc > 1 ? atoll(argv[1]) : 0;
    int64_t index = argc > 2 ? atoll(argv[2]) : 0;
    static float z[1][LATENT_DIM], image[1][HEIGHT][WIDTH][CHANNELS];

    draw(&seed, &index, z);
#ifdef NUM_CLASSES
    int64_t label = argc > 3 ? atoll(argv[3]) : 0;
    decode(z, &label, image);
#else
    decode(z, image);
#endif
    printf("P%d %d %d 255\n", CHANNELS == 1 ? 5 : 6, WIDTH, HEIGHT);
    for (int i = 0; i < HEIGHT * WIDTH * CHANNELS; i++)
        putchar((int)(((float *)image)[i] * 255.0f + 0.5f));
    return 0;
}
