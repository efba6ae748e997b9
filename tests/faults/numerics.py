"""Numbers that go wrong: pixels, rates, wild outputs, half precision, lost steps."""

import itertools
import warnings
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

from keras_vae.data.splits import ArraySplit
from keras_vae.distributions.table import LIKELIHOODS, POSTERIORS
from keras_vae.errors import DataError, DivergedError
from keras_vae.model import VAE
from keras_vae.networks.table import NETWORKS
from tests.faults import runs
from tests.faults.tally import Tally

SHAPE, BATCH = (8, 8, 1), 4
POLICIES = ("float32", "mixed_float16", "mixed_bfloat16")
CLOSE = {"mixed_float16": 1e-2, "mixed_bfloat16": 3e-2}  # of the length of a step
STEPS = 6  # of an epoch of `IMAGES`, the last of 2 images
IMAGES = np.random.default_rng(0).integers(0, 256, (22, *SHAPE), np.uint8)
FLOATS = IMAGES / np.float32(255)
SIZES = (-1e30, -1e4, 1e4, 1e30)


def made(
    network="mlp",
    posterior="diagonal_gaussian",
    likelihood="bernoulli",
    policy="float32",
    optimizer=None,
    hidden=(8,),
    **compiled,
) -> VAE:
    """A small compiled model."""
    keras.config.set_dtype_policy(policy)
    try:
        posterior = POSTERIORS[posterior](3, seed=1)
        likelihood = LIKELIHOODS[likelihood]()
        parts = NETWORKS[network](
            SHAPE,
            3,
            posterior_params=posterior.num_params,
            likelihood_params=likelihood.num_params,
            hidden=hidden,
            seed=1,
        )
        vae = VAE(*parts, posterior=posterior, likelihood=likelihood, seed=1)
        vae.compile(
            optimizer or keras.optimizers.SGD(1e-3), **{"jit_compile": False} | compiled
        )
    finally:
        keras.config.set_dtype_policy("float32")
    return vae


def finite(vae) -> bool:
    return all(np.isfinite(weight).all() for weight in vae.get_weights())


# === Pixels that `fit` is given ===


def spoilt(value):
    images = FLOATS.copy()
    images[17, 2, 3] = value
    return images


def batches(x):
    return (x[start : start + BATCH] for start in range(0, len(x), BATCH))


def dataset(x, size=BATCH, **options):
    return tf.data.Dataset.from_tensor_slices(x).batch(size, **options)


class Numbered(keras.utils.PyDataset):
    """Batches by number."""

    def __init__(self, images, **kwargs):
        super().__init__(**kwargs)
        self.images = images

    def __len__(self):
        return -(-len(self.images) // BATCH)

    def __getitem__(self, number):
        return self.images[BATCH * number : BATCH * (number + 1)]


BAD_PIXELS = {
    "NaN": spoilt(np.nan),
    "infinity": spoilt(np.inf),
    "-1 to 1": 2 * FLOATS - 1,
    "0 to 255 as floats": np.float32(IMAGES),
    "no image": IMAGES[:0],
}
FORMS = {
    "an array": lambda x: x,
    "a split": ArraySplit,
    "a generator": batches,
    "tf.data": dataset,
    "a PyDataset": Numbered,
}
ODD_PIXELS = {
    "one image": {"x": IMAGES[:1]},
    "a batch larger than the data": {"x": IMAGES, "batch_size": 1000},
    "black images": {"x": np.zeros_like(IMAGES)},
    "black and white": {"x": IMAGES > 100},
    "float64": {"x": np.float64(FLOATS)},
    "float16": {"x": np.float16(FLOATS)},
    "int64": {"x": np.int64(IMAGES)},
}


def pixels(steps=("auto", 1, 7)) -> Iterator[Tally]:
    """Row by row what cannot be trained on, and what looks odd and can."""
    bad = Tally("pixels or no images given to `fit`", "an error, finite weights")
    odd = Tally("few or odd images given to `fit`", "a finite epoch of every image")
    for number in steps:
        vae = made(steps_per_execution=number)
        for (what, images), (form, give) in itertools.product(
            BAD_PIXELS.items(), FORMS.items()
        ):
            bad.count(_refused(vae, lambda x=images, g=give: g(x), f"{what}, {form}"))
        for what, give in {
            "drop_remainder": lambda: dataset(IMAGES, 50, drop_remainder=True),
            "filter": lambda: dataset(IMAGES).filter(lambda x: False),
        }.items():
            bad.count(_refused(vae, give, what))
        for what, data in ODD_PIXELS.items():
            before = int(vae.optimizer.iterations)
            loss = vae.fit(**data, verbose=0).history["loss"]
            good = vae.optimizer.iterations > before and np.isfinite(loss).all()
            odd.count(None if good and finite(vae) else f"{what}: {loss}")
    yield from (bad, odd)


def _refused(vae, give, what):
    try:
        history = vae.fit(give(), batch_size=BATCH, verbose=0, shuffle=False)
    except DataError:
        return None if finite(vae) else f"{what}: an error, but NaN in the weights"
    return f"{what}: trained, {history.history}"


# === Divergence ===


class Counted(keras.callbacks.Callback):
    """Counts what is told of a loss that is not finite: nothing may be."""

    def __init__(self):
        super().__init__()
        self.wrong = 0

    def on_train_batch_end(self, batch, logs=None):
        self.wrong += not np.isfinite(logs["loss"])

    def on_epoch_end(self, epoch, logs=None):
        self.wrong += not all(np.isfinite(value) for value in logs.values())


def rates(every=True) -> Iterator[Tally]:
    """Learning rates that no model survives."""
    tally = Tally("learning rates of 1e3 to 1e30", "finite, or an error at that step")
    choices = itertools.product(
        (keras.optimizers.SGD, keras.optimizers.Adam),
        (1e3, 1e30) if every else (1e30,),
        POLICIES if every else ("float32", "mixed_float16"),
        ((1, False), (7, False), (7, True)) if every else ((7, False),),
    )
    for optimizer, rate, policy, (steps, jit_compile) in choices:
        vae = made(
            policy=policy,
            optimizer=optimizer(rate),
            steps_per_execution=steps,
            jit_compile=jit_compile,
        )
        failure = _ended(vae, skips=policy == "mixed_float16")
        what = f"{optimizer.__name__}({rate}) {policy} {steps} {jit_compile}"
        tally.count(failure and f"{what}: {failure}")
    yield tally


def _ended(vae, skips=False, epochs=5):
    """What is wrong with how a wild training ended."""
    seen = Counted()
    try:
        history = vae.fit(
            IMAGES, batch_size=BATCH, epochs=epochs, verbose=0, callbacks=[seen]
        )
    except DivergedError as error:
        words = str(error).split()
        if "step" in words:  # else a metric of the epoch
            step, epoch = (
                int(words[words.index(word) + 1].rstrip(";"))
                for word in ("step", "epoch")
            )
            done = STEPS * (epoch - 1) + step
            # the optimizer of float16 does not count the steps that it skips
            count = int(vae.optimizer.iterations)
            if count > done or (count < done and not skips):
                return f"{count} steps were taken, and {error}"
        return seen.wrong and "told to other callbacks before the error"
    values = np.concatenate([*history.history.values()])
    return None if np.isfinite(values).all() else f"ended as if well: {history.history}"


def log_variances(every=True) -> Iterator[Tally]:
    """Encoders that give any log-variance."""
    tally = Tally(
        "log-variances of 1e4 to 1e30, either sign", "finite; in float16 or an error"
    )
    for policy, name, jit_compile in itertools.product(
        POLICIES, POSTERIORS, (False, True) if every else (False,)
    ):
        vae = made(posterior=name, policy=policy, jit_compile=jit_compile)
        bias = vae.encoder.layers[-1].bias
        start = [weight.numpy() for weight in vae.weights]
        for size in SIZES if every else (-1e30, 1e4):
            for weight, value in zip(vae.weights, start, strict=True):
                weight.assign(value)
            values = np.zeros(bias.shape)
            values[3:6] = size  # after the means of 3 latents
            bias.assign(values)
            try:
                loss = vae.fit(IMAGES[:BATCH], batch_size=BATCH, verbose=0).history
                good = np.isfinite([*loss.values()]).all() and finite(vae)
            except DivergedError:  # float16 holds no sample of such a width
                good = policy == "mixed_float16" and finite(vae)
            tally.count(None if good else f"{name} {policy} {jit_compile} {size}")
    yield tally


# === Half precision ===


def half_precision(every=True) -> Iterator[Tally]:
    """A step of SGD in half precision against float32's."""
    tally = Tally("a step of SGD in half precision", "float32's, to 1% (bfloat16: 3%)")
    worst = dict.fromkeys(CLOSE, 0.0)
    for parts in itertools.product(
        NETWORKS if every else ["mlp"],
        POSTERIORS if every else ["full_gaussian"],
        LIKELIHOODS if every else ["bernoulli", "gaussian"],
    ):
        # not normalized, its first scales are too fine for half precision: a run of
        # these two is float32 unless its user says otherwise (`keras_vae.defaults`)
        if (parts[0], parts[2]) == ("plain_conv", "discretized_logistic_mixture"):
            continue
        expected = _step(parts, "float32")
        for policy, close in CLOSE.items():
            difference = np.linalg.norm(_step(parts, policy) - expected)
            difference /= np.linalg.norm(expected)
            worst[policy] = max(worst[policy], difference)
            tally.count(
                None if difference < close else f"{parts} {policy}: {difference}"
            )
    tally.note = ", ".join(f"{p[6:]}: {value:.1e}" for p, value in worst.items())
    yield tally


def _step(parts, policy):
    """How far one step on 64 images goes, all weights in a row."""
    vae = made(*parts, policy=policy, hidden=(16,), steps_per_execution=1)
    images = np.random.default_rng(1).integers(0, 256, (64, *SHAPE), np.uint8)
    before = [weight.numpy() for weight in vae.trainable_weights]
    for _ in range(20):  # steps that overflow are skipped, and the scale is halved
        with vae.noise_of(7):
            vae.fit(images, batch_size=64, verbose=0)
        if vae.optimizer.iterations == 1:
            break
    pairs = zip(vae.trainable_weights, before, strict=True)
    return np.concatenate([(weight - value).numpy().ravel() for weight, value in pairs])


# === The number of steps ===


def cardinality(steps=("auto", 1, 7), jit_compile=(False, True)) -> Iterator[Tally]:
    """The same images in every form."""
    tally = Tally(
        "the same images as array, split, generator, tf.data, ...",
        "the same steps, noise and weights, bit for bit; to 1e-5 in Keras's own loop",
    )
    forms = {
        **FORMS,
        "tf.data without a length": lambda x: dataset(x).filter(lambda x: True),
        "tf.data of dicts": lambda x: dataset({"image": x, "label": np.zeros(len(x))}),
        "a list of batches": lambda x: _Loader(x),
    }
    for number, jit in itertools.product(steps, jit_compile):
        vae = made(steps_per_execution=number, jit_compile=jit, optimizer="adam")
        states = [*vae.variables, *vae.optimizer.variables]
        start, expected = [state.numpy() for state in states], None
        for form, give in forms.items():
            for state, value in zip(states, start, strict=True):
                state.assign(value)
            for _ in range(2):  # a generator has one epoch
                vae.fit(give(IMAGES), batch_size=BATCH, shuffle=False, verbose=0)
            found = [state.numpy() for state in states]
            expected = found if expected is None else expected
            # of unknown length they are not run by Keras's own loop, which XLA
            # compiles to a program of other last bits
            bits = 0 if number != 1 else 1e-5
            same = all(
                np.allclose(a, b, rtol=bits, atol=bits)
                for a, b in zip(found, expected, strict=True)
            )
            right = same and vae.optimizer.iterations == 2 * STEPS
            tally.count(None if right else f"{form} at {number}, jit_compile={jit}")
    yield tally


class _Loader:
    """Batches in a loop that begins again."""

    def __init__(self, images):
        self.images = images

    def __iter__(self):
        return batches(self.images)


def full(seed) -> Iterator[Tally]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield from pixels()
        yield from rates()
        yield from log_variances()
        yield from half_precision()
        yield from cardinality()
    yield from runs.full(seed)
