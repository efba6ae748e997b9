"""What `fit` and `evaluate` take: each kind of data, and what is refused of it."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_vae.data.batches import ImageSpec, batches_of
from keras_vae.data.splits import ArraySplit
from keras_vae.data.start import Start
from keras_vae.errors import DataError, UsageError

SPEC = ImageSpec((6, 5, 1))
LABELED = ImageSpec((6, 5, 1), num_classes=3)
X = np.random.default_rng(0).integers(0, 256, (22, 6, 5, 1), np.uint8)
Y = np.arange(22) % 3
WEIGHT = np.linspace(0.1, 1, 22, dtype=np.float32)
ROWS = [slice(start, start + 4) for start in range(0, 22, 4)]  # 6 batches, the last 2


class Numbered(keras.utils.PyDataset):
    """Batches by number; notes what is asked for."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.asked, self.ended = [], 0

    def __len__(self):
        return len(ROWS)

    def __getitem__(self, number):
        self.asked.append(number)
        return X[ROWS[number]], Y[ROWS[number]]

    def on_epoch_end(self):
        self.ended += 1


class Loader:
    """Batches in a loop that begins again, as a PyTorch `DataLoader` gives them."""

    def __iter__(self):
        return ((X[rows], Y[rows]) for rows in ROWS)


class SizedLoader(Loader):
    def __len__(self):
        return len(ROWS)


def tf_data():
    return tf.data.Dataset.from_tensor_slices((X, Y)).batch(4)


def not_counted():
    return tf_data().filter(lambda x, y: True)


KINDS = {
    "array": lambda: (X, Y),
    "floats": lambda: (X / np.float32(255), Y),
    "int64": lambda: (X.astype(np.int64), Y),
    "no channel axis": lambda: (X[..., 0], Y),
    "flat": lambda: (X.reshape(22, 30), Y),
    "list": lambda: (list(X), list(Y)),
    "tensor": lambda: (tf.constant(X), tf.constant(Y)),
    "dict": lambda: ({"image": X, "label": Y},),
    "split": lambda: (ArraySplit(X, Y),),
    "tf.data": lambda: (tf_data(),),
    "tf.data without a length": lambda: (not_counted(),),
    "tf.data of dicts": lambda: (tf_data().map(lambda x, y: {"image": x, "label": y}),),
    "tf.data, label column": lambda: (tf_data().map(lambda x, y: (x, y[:, None])),),
    "PyDataset": lambda: (Numbered(),),
    "PyDataset, two threads": lambda: (Numbered(workers=2),),
    "generator": lambda: (iter(Loader()),),
    "generator of dicts": lambda: (({"image": x, "label": y} for x, y in Loader()),),
    "loader": lambda: (Loader(),),
    "loader with a length": lambda: (SizedLoader(),),
}
COUNTED = set(KINDS) - {
    "tf.data without a length", "generator", "generator of dicts", "loader"
}  # fmt: skip


def read(batches, number=None):
    """The images that count, their labels and weights; of one epoch."""
    dataset = batches.dataset(None).take(number or batches.steps or -1)
    parts = [np.concatenate(part) for part in zip(*dataset, strict=True)]
    return [part[parts[2] > 0] for part in parts]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_data_gives_the_same_batches(kind):
    batches = batches_of(*KINDS[kind](), spec=LABELED, batch_size=4)
    assert batches.steps == (6 if kind in COUNTED else None)
    assert [part.shape.as_list()[0] for part in batches.spec] == [4, 4, 4]
    images, labels, weight = read(batches)
    if images.dtype == np.float32:
        images = np.rint(255 * images)
    np.testing.assert_array_equal(images.reshape(X.shape), X)
    np.testing.assert_array_equal(labels, Y)
    np.testing.assert_array_equal(weight, np.ones(22))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "gen" not in kind])
def test_all_kinds_but_a_generator_can_be_read_again(kind):
    batches = batches_of(*KINDS[kind](), spec=LABELED, batch_size=4)
    assert not batches.once
    if batches.steps is None:
        first, again = read(batches), read(batches)
    else:
        first = read(batches)
        again = [part[len(part) // 2 :] for part in read(batches, 12)]
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)


class Nothing(Numbered):
    def __len__(self):
        return 0


def twice():
    return (itertools.chain(Loader(), Loader()),)


@pytest.mark.parametrize(("steps", "jit_compile"), [("auto", 0), (1, 0), (7, 1)])
def test_every_kind_trains_the_same_steps_to_the_same_state(
    small_vae, steps, jit_compile
):
    vae = small_vae(num_classes=3, binarization="dynamic")
    vae.compile("adam", steps_per_execution=steps, jit_compile=bool(jit_compile))
    # weights and noise, the optimizer's moments and its count of steps
    states = [*vae.variables, *vae.optimizer.variables]
    assert sum(state.name == "seed_generator_state" for state in states) == 2
    start, found = [state.numpy() for state in states], {}
    counted = ("array", "split", "tf.data", "tf.data of dicts", "PyDataset")
    for kind in (*counted, "tf.data without a length", "loader", "generator"):
        for state, value in zip(states, start, strict=True):
            state.assign(value)
        make, options = KINDS[kind], {}
        if kind == "generator":
            make, options = twice, {"steps_per_epoch": len(ROWS)}
        vae.fit(*make(), batch_size=4, epochs=2, shuffle=False, verbose=0, **options)
        found[kind] = [state.numpy() for state in states]
        assert vae.optimizer.iterations == 2 * len(ROWS), kind
        for value, expected in zip(found[kind], found["array"], strict=True):
            np.testing.assert_array_equal(value, expected, kind)


def test_weights_of_images_count_in_every_kind():
    def batches(*labels):
        return ((X[rows], *labels, WEIGHT[rows]) for rows in ROWS)

    everything = tf.data.Dataset.from_tensor_slices((X, Y, WEIGHT)).batch(4)
    for data in (
        {"x": X, "sample_weight": WEIGHT},
        {"x": ArraySplit(X, None, WEIGHT)},
        {"x": everything},
        {"x": batches(None)},
    ):
        images, _, weight = read(batches_of(**data, spec=SPEC, batch_size=4))
        np.testing.assert_array_equal(images, X)
        np.testing.assert_array_equal(weight, WEIGHT)
    with pytest.raises(DataError, match="Expected 22 sample weights.*got 21"):
        batches_of(X, None, WEIGHT[1:], spec=SPEC, batch_size=4)


def test_the_order_of_a_py_dataset_is_a_function_of_seed_and_epoch():
    def labels(seed, first_epoch, epochs):
        data = Numbered()
        begin = Start(first_epoch)
        batches = batches_of(data, spec=SPEC, batch_size=9, seed=seed, start=begin)
        assert len(list(batches.dataset(None).take(6 * epochs))) == 6 * epochs
        asked = data.asked[1 : 1 + 6 * epochs]  # the first call is for the shapes
        assert data.ended >= epochs - 1
        return [asked[start : start + 6] for start in range(0, 6 * epochs, 6)]

    whole = labels(3, 0, 4)
    assert all(sorted(epoch) == list(range(6)) for epoch in whole)
    assert labels(3, 2, 2) == whole[2:]
    assert len({tuple(epoch) for epoch in whole + labels(4, 0, 4)}) == 8
    assert labels(None, 0, 2) == [[*range(6)]] * 2


def test_booleans_are_black_and_white():
    images, *_ = read(batches_of(X > 99, spec=SPEC, batch_size=4))
    np.testing.assert_array_equal(images, 255 * (X > 99))


def test_epochs_of_another_length_go_on_in_the_data():
    batches = batches_of(X, spec=SPEC, batch_size=4).in_epochs_of(4)
    found = [x for x, *_ in batches.dataset(None).take(8)]
    np.testing.assert_array_equal(np.concatenate(found[:6])[:22], X)
    np.testing.assert_array_equal(np.concatenate(found[6:]), X[:8])
    assert batches.divisible and batches.steps == 4


def test_the_first_batches_come_again_and_again():
    for data in (X, not_counted()):
        batches = batches_of(data, spec=SPEC, batch_size=4).first(2)
        slices = list(batches.dataset(2).take(2))
        for number, (images, *_) in slices:
            assert number == 2
            np.testing.assert_array_equal(np.concatenate(images), X[:8])


# === What is refused ===


def rows(x):
    return tf.data.Dataset.from_tensor_slices(x).batch(4)


@pytest.mark.parametrize("kind", ["array", "tf.data", "generator", "split"])
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.moveaxis(X, -1, 1), r"channels first: pass np.moveaxis\(images, 1, -1\)"),
        (np.moveaxis(X, 1, 2), r"shape \(N, 6, 5, 1\) with N >= 1; got .*, 5, 6, 1\)"),
        (X[:, :5], r"got .*, 5, 5, 1\)"),
    ],
)
def test_images_of_another_shape_are_refused_in_every_kind(kind, x, message):
    data = {"array": x, "tf.data": rows(x), "split": ArraySplit(x)}
    data["generator"] = iter([x[:4], x[4:]])
    with pytest.raises(DataError, match=message):
        batches_of(data[kind], spec=SPEC, batch_size=4)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (tf.data.Dataset.from_tensor_slices(X), DataError, r"got \(6, 5, 1\)"),
        (rows(X[:0]), DataError, "Dataset gave no batch"),
        (
            tf.data.Dataset.from_tensor_slices(X).batch(23, drop_remainder=True),
            DataError,
            "Dataset gave no batch",
        ),
        (tf_data().filter(lambda x, y: False), DataError, "Dataset gave no batch"),
        (Nothing(), DataError, "Nothing gave no batch"),
        (iter([]), DataError, "list_iterator gave no batch"),
        (iter([X / 3.0]), DataError, r"float64 pixels in \[0, 1\]; got values"),
        ({"label": Y}, DataError, "the key 'image'.*got the keys 'label'"),
        (rows({"label": Y}), DataError, "the key 'image'"),
        (iter([{"x": X}]), DataError, "the key 'image'"),
        (["a", "b"], DataError, r"got \(2,\)"),
        ("images", UsageError, "Expected an array of images, or batches.*got str"),
        (5, UsageError, "Expected an array of images, or batches.*got int"),
        (None, UsageError, "Expected an array of images, or batches.*got NoneType"),
    ],
)
def test_what_is_no_image_is_refused(x, error, message):
    with pytest.raises(error, match=message):
        batches_of(x, spec=SPEC, batch_size=4)


@pytest.mark.parametrize(
    "x", [X, rows(X), rows((X, X)), Loader.__iter__, ArraySplit(X), {"image": X}]
)
def test_a_conditional_model_needs_labels_of_every_kind(x):
    x = (X[rows] for rows in ROWS) if callable(x) else x
    with pytest.raises(UsageError, match="needs a label for each image; got none"):
        batches_of(x, spec=LABELED, batch_size=4)


def test_labels_beside_batches_are_refused():
    for beside in ({"y": Y}, {"sample_weight": WEIGHT}):
        with pytest.raises(UsageError, match="go with images in an array; a _Ba"):
            batches_of(tf_data(), **beside, spec=SPEC, batch_size=4)


def test_labels_and_weights_beside_data_that_have_their_own_are_refused():
    with pytest.raises(UsageError, match="a ArraySplit has its own"):
        batches_of(ArraySplit(X), Y, spec=SPEC, batch_size=4)
    labeled = ImageSpec(SPEC.image_shape, int(Y.max()) + 1)
    _, labels, _ = read(batches_of({"image": X}, Y, spec=labeled, batch_size=4))
    np.testing.assert_array_equal(labels, Y)
