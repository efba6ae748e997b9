"""`python -m tests.benchmarks.convolutions`: a step of ours and one of PyTorch's.

Both train the same `plain_conv` or `conv`, layer by layer, on the same random images in
float32 with Adam 1e-3 and the Bernoulli likelihood, in processes of their own, some
steps in turn. PyTorch's is written as one would write it on a CPU: channels last, all
images in memory.
"""

import dataclasses
import sys
from pathlib import Path
from typing import Literal

import numpy as np

from keras_vae.cli import command, start_tensorflow
from keras_vae.networks.shapes import default_widths, halved
from tests.benchmarks.interleave import (
    Contender,
    bench_extra,
    paired_ratio,
    print_table,
    spread,
    summary,
    write_report,
)

LATENT = 64


@dataclasses.dataclass(frozen=True)
class ConvolutionsConfig:
    """Seconds a step of a convolutional VAE, ours and PyTorch's, interleaved."""

    network: Literal["conv", "plain_conv"] = "conv"
    """Which of our networks."""
    size: int = 32
    """Height and width of the images."""
    batch_size: int = 64
    """Images in an optimizer step."""
    steps: int = 10
    """Steps in one turn."""
    rounds: int = 5
    """Turns measured, after one that is not."""
    output: Path | None = None
    """A JSON file to write."""


def ours(config, done):
    """`fit` as it comes, an epoch of so many steps."""
    start_tensorflow()
    import keras

    from keras_vae.config import TrainConfig
    from keras_vae.runs.build import build_vae

    images = _images(config)
    options = TrainConfig(
        network=config.network, latent_dim=LATENT, likelihood="bernoulli"
    )
    vae = build_vae(options, images.shape[1:], num_images=len(images))
    vae.compile(keras.optimizers.Adam(1e-3))
    done()
    report = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: done(float(logs["loss"]))
    )
    vae.fit(
        images,
        batch_size=config.batch_size,
        epochs=10**9,
        verbose=0,
        callbacks=[report],
    )


def in_torch(config, done):
    """The same network as modules of PyTorch, and the usual loop."""
    torch = bench_extra("torch")
    torch.manual_seed(0)
    images = torch.from_numpy(_images(config).transpose(0, 3, 1, 2).copy())
    images = images.contiguous(memory_format=torch.channels_last)
    encoder, decoder = _torch_networks(torch, config)
    parameters = [*encoder.parameters(), *decoder.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=1e-3, fused=True)
    functional = torch.nn.functional
    done()
    while True:
        order, total = torch.randperm(len(images)), 0.0
        for rows in order.split(config.batch_size):
            x = images[rows].float() / 255
            mean, log_var = encoder(x).chunk(2, dim=1)
            z = mean + torch.exp(0.5 * log_var) * torch.randn_like(mean)
            nll = functional.binary_cross_entropy_with_logits(
                decoder(z), x, reduction="sum"
            )
            kl = 0.5 * torch.sum(mean**2 + log_var.exp() - log_var - 1)
            loss = (nll + kl) / len(x)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(x)
        done(total / len(images))


def _torch_networks(torch, config):
    nn = torch.nn
    widths = default_widths((config.size, config.size, 3))
    sizes = halved((config.size, config.size, 3), widths)
    plain = config.network == "plain_conv"
    channels_last = {"memory_format": torch.channels_last}

    def convolution(taken, given, stride=1):
        return nn.Conv2d(taken, given, 3, stride=stride, padding=1)

    def normalized(width):
        return [nn.GroupNorm(width // np.gcd(width, 8), width), nn.SiLU()]

    class Residual(nn.Module):
        def __init__(self, taken, width):
            super().__init__()
            self.shortcut = nn.Identity()
            if taken != width:
                self.shortcut = nn.Conv2d(taken, width, 1)
            self.layers = nn.Sequential(
                *normalized(taken),
                convolution(taken, width),
                *normalized(width),
                convolution(width, width),
            )

        def forward(self, h):
            return self.shortcut(h) + self.layers(h)

    layers, taken = [] if plain else [convolution(3, widths[0])], widths[0]
    for k, width in enumerate(widths):
        if plain:
            layers += [convolution(taken if k else 3, width, stride=2), nn.ReLU()]
        else:
            layers += [Residual(taken, width), convolution(width, width, stride=2)]
        taken = width
    last = widths[-1] * sizes[-1][0] * sizes[-1][1]
    layers += [] if plain else normalized(widths[-1])
    encoder = nn.Sequential(*layers, nn.Flatten(), nn.Linear(last, 2 * LATENT))

    layers = [nn.Linear(LATENT, last), *([nn.ReLU()] if plain else [])]
    layers.append(nn.Unflatten(1, (widths[-1], *sizes[-1])))
    taken = widths[-1]
    for width, size in zip(reversed(widths), reversed(sizes[:-1]), strict=True):
        layers += [nn.UpsamplingNearest2d(size=size), convolution(taken, width)]
        layers.append(nn.ReLU() if plain else Residual(width, width))
        taken = width
    layers += [] if plain else normalized(widths[0])
    decoder = nn.Sequential(*layers, convolution(widths[0], 3))
    return encoder.to(**channels_last), decoder.to(**channels_last)


def _images(config):
    number = config.batch_size * config.steps
    shape = (number, config.size, config.size, 3)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def benchmark(config: ConvolutionsConfig) -> None:
    """Runs and prints the benchmark."""
    contenders = {
        name: Contender(function, config)
        for name, function in (("ours", ours), ("torch", in_torch))
    }
    pieces = {name: [] for name in contenders}
    for index in range(1 + config.rounds):
        for name in list(contenders)[:: 1 if index % 2 == 0 else -1]:
            pieces[name].append(contenders[name].work())
    for contender in contenders.values():
        contender.close()
    seconds = {
        name: [piece.seconds / config.steps for piece in done[1:]]
        for name, done in pieces.items()
    }
    ratio = paired_ratio(seconds["ours"], seconds["torch"])
    rows = [("contender", "seconds a step (min-max)", "ours / this", "loss")]
    for name, values in seconds.items():
        versus = "1" if name == "ours" else spread(ratio)
        loss = f"{pieces[name][-1].result:.1f}"
        rows.append((name, spread(summary(values)), versus, loss))
    print_table(rows)
    write_report(config.output, config, seconds=seconds, ours_over_torch=ratio)


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    prog = "python -m tests.benchmarks.convolutions"
    return command(benchmark, ConvolutionsConfig, argv, prog)


if __name__ == "__main__":
    sys.exit(main())
