"""What cannot be done is answered in one sentence that says what to do."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_vae.data.splits import ArraySplit
from keras_vae.distributions.sampling import Sampling
from keras_vae.errors import DataError, UsageError
from keras_vae.model import VAE
from keras_vae.networks.mlp import mlp

X = np.random.default_rng(0).integers(0, 256, (10, 6, 5, 1), np.uint8)
FLOATS = X / np.float32(255)
LABELS = np.arange(10) % 3
FIRST = np.moveaxis(X, -1, 1)  # channels first
NAN = FLOATS.copy()
NAN[9, 2] = np.nan


def data_set(*parts):
    element = parts if len(parts) > 1 else parts[0]
    return tf.data.Dataset.from_tensor_slices(element).batch(4)


class Numbered(keras.utils.PyDataset):
    def __init__(self, x):
        super().__init__()
        self.x = x

    def __len__(self):
        return 3

    def __getitem__(self, index):
        return self.x[4 * index : 4 * index + 4]


def generator(*batches):
    yield from batches


@pytest.fixture(scope="module")
def vae(make_vae):
    return make_vae()


@pytest.fixture(scope="module")
def labeled(make_vae):
    return make_vae(num_classes=3)


RANGE = r"^Expected float\d+ pixels in \[0, 1\]; got values from .* to .*Scale the im"
FIRST_ = r"got \(\w+, 1, 6, 5\). These have the channels first: pass np.moveaxis"
ONE = r"got \(6, 5, 1\). This is a single image: pass images\[None\], or batch"
NO_IMAGE = "Expected a dict with the key 'image'.*got the keys 'picture'"


# for fit, evaluate and predict alike
DATA = {
    "channels first": (lambda: FIRST, FIRST_),
    "channels first, data set": (lambda: data_set(FIRST), FIRST_),
    "channels first, generator": (lambda: generator(FIRST), FIRST_),
    "channels first, PyDataset": (lambda: Numbered(FIRST), FIRST_),
    "channels first, later on": (lambda: generator(X, FIRST), FIRST_),
    "turned": (lambda: np.swapaxes(X, 1, 2), r"got \(10, 5, 6, 1\)\.$"),
    "as many pixels": (lambda: X.reshape(10, 10, 3, 1), r"got \(10, 10, 3, 1\)\.$"),
    "[0, 255]": (lambda: X.astype("float32"), RANGE),
    "[0, 255], float64": (lambda: X.astype("float64"), RANGE),
    "[0, 255], data set": (lambda: data_set(X.astype("float32")), RANGE),
    "[0, 255], cast": (lambda: data_set(X).map(lambda x: tf.cast(x, "float32")), RANGE),
    "[0, 255], generator": (lambda: generator(X.astype("float32")), RANGE),
    "[0, 255], later on": (lambda: generator(FLOATS, 255 * FLOATS), RANGE),
    "[0, 255], PyDataset": (lambda: Numbered(X.astype("float32")), RANGE),
    "[-1, 1]": (lambda: 2 * FLOATS - 1, RANGE),
    "[-1, 1], data set": (lambda: data_set(2 * FLOATS - 1), RANGE),
    "NaN": (lambda: NAN, "got values from nan to nan, first in image 9"),
    "NaN, data set": (lambda: data_set(NAN), r"nan, first in image 1 of batch 2\."),
    "NaN, PyDataset": (lambda: Numbered(NAN), "from nan to nan"),
    "infinite": (lambda: data_set(FLOATS / 0.0), "from inf to inf|from nan"),
    "too large": (lambda: 2 * X.astype(int), r"int64 pixels in \[0, 255\]"),
    "too large, data set": (lambda: data_set(2 * X.astype(int)), "int64 pixels"),
    "none": (lambda: X[:0], "N >= 1; got"),
    "one image": (lambda: X[0], ONE),
    "no batches": (lambda: tf.data.Dataset.from_tensor_slices(X), ONE),
    "no batches, generator": (lambda: generator(*X), ONE),
    "several sizes": (lambda: [X[0], X[1, 1:]], "Expected images of one shape"),
    "words": (lambda: np.array([["a", "b"]]), "Expected images of shape"),
    "objects": (lambda: X.astype(object), "Expected pixels as uint8.*got object"),
    "complex": (lambda: X.astype(complex), "Expected pixels as uint8.*got complex128"),
    "a dict": (lambda: {"picture": X}, NO_IMAGE),
    "a dict, data set": (lambda: data_set({"picture": X}), NO_IMAGE),
    "a dict, generator": (lambda: generator({"picture": X}), NO_IMAGE),
    "a dict, later on": (lambda: generator(X, {"picture": X}), NO_IMAGE),
    "an empty generator": (lambda: generator(), "The generator gave no batch"),
    "four parts": (lambda: generator((X, X, X, X)), "got 4 parts"),
    "another dtype": (lambda: generator(X, FLOATS), "uint8 images.*got float32"),
    "ragged": (
        lambda: data_set(tf.RaggedTensor.from_tensor(X)),
        "in one tensor; got a RaggedTensor",
    ),
    "a name": (lambda: "mnist", "^Expected an array of images.*got str"),
    "a number": (lambda: 3, "^Expected an array of images, or batches of them.*int"),
    "nothing": (lambda: None, "^Expected an array of images.*got NoneType"),
}


@pytest.mark.filterwarnings("ignore:divide by zero|invalid value:RuntimeWarning")
@pytest.mark.parametrize("method", ["fit", "evaluate", "predict"])
@pytest.mark.parametrize(("data", "sentence"), DATA.values(), ids=DATA)
def test_data_that_cannot_be_used(vae, method, data, sentence):
    with pytest.raises((DataError, UsageError), match=sentence) as raised:
        getattr(vae, method)(data(), verbose=0)
    assert "\n" not in str(raised.value)


@pytest.mark.filterwarnings("ignore:Your input ran out of data")  # Keras's
def test_only_predict_takes_batches_that_grow(vae):
    for method in (vae.fit, vae.evaluate):
        with pytest.raises(DataError, match="at most 2 images.*got 8"):
            method(generator(X[:2], X[2:]), verbose=0)
    predicted = vae.predict(generator(X[:2], X[2:]), verbose=0)
    np.testing.assert_allclose(predicted, vae.reconstruct(X), atol=1e-6)


@pytest.mark.parametrize("call", ["on_batch", "call", "encode", "reconstruct"])
def test_channels_first_are_refused_wherever_images_go_in(vae, call):
    use = {
        "on_batch": vae.train_on_batch,
        "call": lambda x: vae(tf.constant(x)),
        "encode": vae.encode,
        "reconstruct": vae.reconstruct,
    }[call]
    with pytest.raises(DataError, match=FIRST_):
        use(FIRST)


FIT = {
    "class_weight": ((X,), {"class_weight": {0: 2.0}}, "use sample_weight"),
    "y with a data set": ((data_set(X), LABELS), {}, "y and sample_weight go with im"),
    "y with a generator": ((generator(X), LABELS), {}, "a generator has its own"),
    "weights with a data set": (
        (data_set(X),),
        {"sample_weight": np.ones(10)},
        "y and sample_weight go with images in an array; a _Ba",
    ),
    "too few weights": (
        (X,),
        {"sample_weight": np.ones(3)},
        "Expected 10 sample weights, one for each image; got 3",
    ),
    "weights of NaN": (
        (X,),
        {"sample_weight": np.where(np.arange(10) == 3, np.nan, 1)},
        "Expected sample weights that are finite and >= 0; got nan for image 3",
    ),
    "weights of NaN in a data set": (
        (data_set(X, LABELS, np.where(np.arange(10) == 3, np.inf, 1)),),
        {},
        "finite and >= 0; got inf for image 3",
    ),
    "negative weights": ((X,), {"sample_weight": -np.ones(10)}, "got -1.0 for image 0"),
    "words as weights": (
        (X,),
        {"sample_weight": ["a"] * 10},
        "Expected sample weights as numbers",
    ),
    "validation_split of a data set": (
        (data_set(X),),
        {"validation_split": 0.2},
        "validation_split divides images in an array.*pass validation_data",
    ),
    "validation_split of a generator": (
        (generator(X),),
        {"validation_split": 0.2},
        "with a generator pass validation_data",
    ),
    "validation_split of 2": ((X,), {"validation_split": 2}, "validation_split must"),
    "validation_split of -0.1": ((X,), {"validation_split": -0.1}, "between 0 and 1"),
    "validation_split of 1": ((X,), {"validation_split": 1.0}, "between 0 and 1"),
    "batch_size of 0": ((X,), {"batch_size": 0}, "batch_size must be a whole number"),
    "batch_size of -1": ((X,), {"batch_size": -1}, "batch_size must be a whole"),
    "batch_size of 2.5": ((X,), {"batch_size": 2.5}, "batch_size must be a whole"),
    "steps_per_epoch of 0": ((X,), {"steps_per_epoch": 0}, "steps_per_epoch must be"),
    "validation_steps of 0": (
        (X,),
        {"validation_data": X, "validation_steps": 0},
        "validation_steps must be a whole number",
    ),
    "validation_data of four": (
        (X,),
        {"validation_data": (X, LABELS, None, None)},
        r"must be x, \(x, y\) or \(x, y, sample_weight\); got 4 parts",
    ),
    "validation_data, channels first": ((X,), {"validation_data": FIRST}, FIRST_),
    "validation_data in [0, 255]": (
        (X,),
        {"validation_data": data_set(X.astype("float32"))},
        RANGE,
    ),
}


@pytest.mark.parametrize(("args", "keywords", "sentence"), FIT.values(), ids=FIT)
def test_arguments_of_fit_that_are_refused(vae, args, keywords, sentence):
    with pytest.raises((DataError, UsageError), match=sentence) as raised:
        vae.fit(*args, verbose=0, **keywords)
    assert "\n" not in str(raised.value)


NO_LABEL = "A conditional VAE needs a label for each image; got none"
LABELED = {
    "no labels": (lambda: (X,), NO_LABEL),
    "no labels, data set": (lambda: (data_set(X),), NO_LABEL),
    "no labels, generator": (lambda: (generator(X),), NO_LABEL),
    "no labels, dict": (lambda: ({"image": X},), NO_LABEL),
    "no labels, dicts": (lambda: (data_set({"image": X}),), NO_LABEL),
    "too few": (lambda: (X, LABELS[:3]), "Expected 10 labels, one for.*; got 3"),
    "too large": (
        lambda: (X, LABELS + 1),
        "are class numbers from 0 to 2; got 3 for",
    ),
    "too large, data set": (lambda: (data_set(X, LABELS + 1),), "got 3 for image 2"),
    "negative": (lambda: (data_set(X, LABELS - 1),), "got -1 for image 0"),
    "fractions": (lambda: (X, LABELS + 0.5), "got 0.5 for image 0"),
    "fractions, data set": (lambda: (data_set(X, LABELS + 0.5),), "got 0.5 for image"),
    "NaN": (lambda: (X, LABELS + np.nan), "got nan for image 0"),
    "NaN, data set": (lambda: (data_set(X, LABELS + np.nan),), "got nan for image 0"),
    "words": (lambda: (X, LABELS.astype(str)), "class numbers from 0 to 2; got str"),
    "words, data set": (lambda: (data_set(X, LABELS.astype(str)),), "got string"),
    "none": (lambda: (X, [None] * 10), "class numbers from 0 to 2; got object"),
    "one-hot": (lambda: (X, np.eye(3)[LABELS]), "Expected 10 labels.*got 30"),
    "one-hot, data set": (lambda: (data_set(X, np.eye(3)[LABELS]),), "4 labels.*12"),
    "itself as target": (lambda: (data_set(X, X),), "needs a label for each"),
}


@pytest.mark.parametrize("method", ["fit", "evaluate"])
@pytest.mark.parametrize(("data", "sentence"), LABELED.values(), ids=LABELED)
def test_labels_that_cannot_be_used(labeled, method, data, sentence):
    with pytest.raises((DataError, UsageError), match=sentence) as raised:
        getattr(labeled, method)(*data(), verbose=0)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("x", [X, ArraySplit(X[:0], LABELS[:0]), data_set(X)])
def test_predict_of_a_conditional_model_needs_labels(labeled, x):
    with pytest.raises((DataError, UsageError), match="needs a label|N >= 1"):
        labeled.predict(x, verbose=0)


def test_labels_to_generate_must_be_one_or_all(labeled):
    with pytest.raises(UsageError, match=r"one label, or 3, .* got .* shape \(2,\)"):
        labeled.generate(3, label=[0, 1])


@pytest.mark.parametrize(
    ("args", "keywords", "sentence"),
    [
        (("adam", "mse"), {}, r"the objective is the loss, VAE\(..., objective"),
        ((), {"loss": "binary_crossentropy"}, "compile takes no loss"),
        ((), {"loss": keras.losses.MeanSquaredError()}, "compile takes no loss"),
        ((), {"loss_weights": [1.0]}, "compile takes no loss"),
        ((), {"metrics": ["mse"]}, "compile takes no metrics.*vae.reconstruct"),
        ((), {"metrics": [keras.metrics.MeanSquaredError()]}, "takes no metrics"),
        ((), {"weighted_metrics": ["mae"]}, "no weighted_metrics"),
        ((), {"steps_per_execution": 0}, "steps_per_execution must be a whole number"),
        (
            (),
            {"steps_per_execution": "many"},
            "a whole number >= 1. Got 'many'",
        ),
    ],
)
def test_compile_refuses_losses_and_metrics(make_vae, args, keywords, sentence):
    with pytest.raises(UsageError, match=sentence):
        make_vae().compile(*args, **keywords)


@pytest.mark.parametrize(
    ("keyword", "sentence"),
    [
        ({"beta": 4}, r"pass it as objective=ELBO\(beta=4\)"),
        ({"warmup_steps": 10}, r"objective=ELBO\(warmup_steps=10\)"),
        ({"num_components": 5}, r"prior=GaussianMixture\(num_components=5\)"),
        ({"hidden": (400,)}, r"encoder, decoder = mlp\(..., hidden=\(400,\)\)"),
        ({"learning_rate": 1e-3}, r"keras.optimizers.Adam\(learning_rate=0.001\)"),
        ({"optimizer": "adam"}, r"vae.compile\(optimizer='adam'\)"),
        ({"epochs": 3}, r"vae.fit\(images, epochs=3\)"),
        ({"liklihood": "gaussian"}, "Did you mean 'likelihood'"),
        ({"latent_dims": 2}, "Did you mean 'latent_dim'"),
        ({"objective": {"class_name": "ELBOW"}}, "Did you mean 'ELBO'"),
        (
            {"objective": {"class_name": "ELBO", "config": {"betta": 4}}},
            "The objective cannot be .*betta",
        ),
    ],
)
def test_keywords_of_vae_say_where_they_belong(keyword, sentence):
    networks = mlp((6, 5, 1), 2, posterior_params=4, likelihood_params=1)
    with pytest.raises(UsageError, match=sentence):
        VAE(*networks, **keyword)


def test_encoders_that_give_something_else():
    _, decoder = mlp((6, 5, 1), 2, posterior_params=4, likelihood_params=1)
    x = keras.Input((6, 5, 1))
    flat = layers.Flatten()(x)
    mean, log_var = layers.Dense(2)(flat), layers.Dense(2)(flat)
    z = Sampling()([mean, log_var])
    for output, sentence in (
        ([mean, log_var, z], r"it gives 3. Leave z out"),
        ({"mean": mean, "log_var": log_var}, "a dict of mean, log_var"),
        (layers.Conv2D(4, 3)(x), "must give flat parameters"),
        ([layers.Dense(3)(flat), layers.Dense(1)(flat)], r"it gives 3 \+ 1"),
    ):
        with pytest.raises(UsageError, match=sentence):
            VAE(keras.Model(x, output), decoder)
    with warnings.catch_warnings():
        VAE(keras.Model(x, [mean, log_var]), decoder)
