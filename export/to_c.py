"""C99 source with the weights inside: `gcc main.c decoder.c draw.c -lm`, no library.

The code is written by emx-onnx-cgen from static ONNX graphs; `decoder.h` declares it.
"""

import contextlib
import re
import subprocess
from pathlib import Path

from export.decoder import decode_function, decoder_mean
from export.encoder import encode_function, encoder_mean
from export.parity import Artifact
from export.to_onnx import OPSET, convert
from keras_vae.distributions.portable_noise import MAX_SEED
from keras_vae.errors import ModelError

HEADER = """\
/* A trained decoder. Compile with: gcc -O2 main.c decoder.c draw.c -lm */
#ifndef DECODER_H
#define DECODER_H
#include <stdint.h>

#define MAX_SEED {max_seed}
#define LATENT_DIM {latent_dim}
#define HEIGHT {height}
#define WIDTH {width}
#define CHANNELS {channels}
{classes}
#ifdef __cplusplus
extern "C" {{
#endif

/* One image from one latent point: pixels in [0, 1]. */
void decode(const float z[1][LATENT_DIM], {label}
            float image[1][HEIGHT][WIDTH][CHANNELS]);

/* The latent point of an image: seed and index in [0, MAX_SEED). */
void draw(const int64_t seed[1], const int64_t index[1], float z[1][LATENT_DIM]);

#ifdef __cplusplus
}}
#endif
#endif
"""
ENCODER_HEADER = """\
/* The encoder of a trained model. Compile with: gcc -O2 main.c encoder.c -lm */
#ifndef ENCODER_H
#define ENCODER_H
#include <stdint.h>

#define LATENT_DIM {latent_dim}
#define HEIGHT {height}
#define WIDTH {width}
#define CHANNELS {channels}
{classes}
#ifdef __cplusplus
extern "C" {{
#endif

/* Where one image of pixels in [0, 1] lies: its posterior's mean, and the natural log
   of each latent's variance. */
void encode(const float x[1][HEIGHT][WIDTH][CHANNELS], {label}
            float mean[1][LATENT_DIM], float log_var[1][LATENT_DIM]);

#ifdef __cplusplus
}}
#endif
#endif
"""
# Ahead of the generated source: the declaration that it must agree with, and silence
# about `float (*)[N]` passed as `const float (*)[N]`, which C99 alone objects to.
PREAMBLE = """\
#include "{header}"
#ifdef __cplusplus
#define _Bool bool
#endif
#if defined(__GNUC__)
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#endif
"""
# `float (*name)[8] = malloc(`, to which C++ wants a cast
MALLOC = re.compile(r"(\w+ )(\(?\*)(\w+)((?:\)(?:\[\d+\])+)?) = malloc\(")


def write_c(vae, folder: Path, *, with_encoder: bool = False) -> list[Artifact]:
    """Writes `c/` with `decoder.c`, `draw.c` and `decoder.h`.

    Args:
        vae: the model whose decoder is written.
        folder: existing folder.
        with_encoder: whether to write `encoder_c/` with `encoder.c` and `encoder.h`,
            too.

    Returns:
        The artifacts, compiled with gcc.

    Raises:
        ImportError: if emx-onnx-cgen is not installed, or no gcc to check the source.
        ModelError: if the decoder uses an operator that cannot be written in C.
    """
    from export.runtimes.c_gcc import load_decoder, load_encoder, load_generator

    path = folder / "c"
    path.mkdir()
    _write_source(
        decode_function(decoder_mean(vae), batch=1), "decode", path / "decoder.c"
    )
    _write_source(draw_function(vae), "draw", path / "draw.c")
    height, width, channels = vae.image_shape
    conditional = vae.num_classes is not None
    sizes = {
        "max_seed": MAX_SEED,
        "latent_dim": vae.latent_dim,
        "height": height,
        "width": width,
        "channels": channels,
        "classes": f"#define NUM_CLASSES {vae.num_classes}\n" if conditional else "",
        "label": "const int64_t label[1]," if conditional else "",
    }
    (path / "decoder.h").write_text(HEADER.format(**sizes))
    with _compiling(path):
        artifacts = [Artifact(path.name, load_decoder(path), load_generator(path))]
    if with_encoder:
        path = folder / "encoder_c"
        path.mkdir()
        function = encode_function(encoder_mean(vae), batch=1)
        _write_source(function, "encode", path / "encoder.c", ["mean", "log_var"])
        (path / "encoder.h").write_text(ENCODER_HEADER.format(**sizes))
        with _compiling(path):
            artifacts.append(Artifact(path.name, encode=load_encoder(path)))
    return artifacts


@contextlib.contextmanager
def _compiling(path):
    try:
        yield
    except subprocess.CalledProcessError as error:
        cause = (error.stderr.strip().splitlines() or [f"status {error.returncode}"])[0]
        raise ModelError(f"gcc cannot compile {path.name}: {cause}") from error


def draw_function(vae):
    """`draw(seed, index)` as a TensorFlow function: the latents of one image.

    Args:
        vae: gives `latents`.

    Returns:
        `tf.function` of int64 scalars; it returns a dict: `z`, float32 (1, latent_dim).
    """
    import tensorflow as tf

    def draw(seed, index):
        return {"z": vae.latents.draw(seed, 1, first_image=index, xp=tf)}

    signature = [tf.TensorSpec((), tf.int64, name=name) for name in ("seed", "index")]
    return tf.function(draw, input_signature=signature, autograph=False)


def _write_source(function, name, path, outputs=None):
    """`outputs` are their names in the order of the arguments, if there are several."""
    from emx_onnx_cgen.compiler import Compiler, CompilerOptions
    from emx_onnx_cgen.errors import CompilerError

    options = CompilerOptions(
        model_name=name,
        large_weight_threshold=0,
        restrict_arrays=False,  # C++ has no `restrict`
    )
    model = convert(function, name, OPSET)
    if outputs:
        model.graph.output.sort(key=lambda value: outputs.index(value.name))
    try:
        source = Compiler(options).compile(model)
    except CompilerError as error:
        raise ModelError(f"{path.name} cannot be written in C: {error}") from error
    header = "encoder.h" if path.stem == "encoder" else "decoder.h"
    path.write_text(
        PREAMBLE.replace("{header}", header)
        + MALLOC.sub(r"\1\2\3\4 = (\1\2\4)malloc(", source)
    )
