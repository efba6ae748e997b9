"""Every form of data that Keras documents gives the numbers of a plain array."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_vae.data.splits import ArraySplit

BATCH = 4
# what Keras says of data whose length it does not know
pytestmark = pytest.mark.filterwarnings("ignore:Your input ran out of data")


def data_set(*parts):
    """Batches of arrays, as keras.io builds them."""
    element = parts if len(parts) > 1 else parts[0]
    return tf.data.Dataset.from_tensor_slices(element).batch(BATCH)


class Numbered(keras.utils.PyDataset):
    """A `PyDataset` as its documentation has it."""

    def __init__(self, *parts, **kwargs):
        super().__init__(**kwargs)
        self.parts = parts

    def __len__(self):
        return 3

    def __getitem__(self, index):
        rows = slice(BATCH * index, BATCH * (index + 1))
        batch = tuple(part[rows] for part in self.parts)
        return batch if len(batch) > 1 else batch[0]


class Loader:
    """Batches that can be gone through again and again, as PyTorch's loader gives."""

    def __init__(self, *parts):
        self.numbered = Numbered(*parts)

    def __len__(self):
        return 3

    def __iter__(self):
        return (self.numbered[k] for k in range(3))


def endless(*parts):
    while True:
        yield from Loader(*parts)


def of_generator(x, shape):
    return tf.data.Dataset.from_generator(
        lambda: iter(Loader(x)), output_signature=tf.TensorSpec(shape, x.dtype)
    )


def read_only(x):
    x = x.copy()
    x.setflags(write=False)
    return x


# name -> from images (N, 6, 5, 1) uint8 and labels to what is passed as x (and y)
ARRAYS = {
    "int32": lambda x, y: (x.astype(np.int32),),
    "int64": lambda x, y: (x.astype(np.int64),),
    "uint16": lambda x, y: (x.astype(np.uint16),),
    "nested lists": lambda x, y: (x.tolist(),),
    "list of images": lambda x, y: ([*x],),
    "no channel axis": lambda x, y: (x[..., 0],),
    "flat": lambda x, y: (x.reshape(10, 30),),
    "tensor": lambda x, y: (tf.constant(x),),
    "keras tensor": lambda x, y: (keras.ops.convert_to_tensor(x),),
    "variable": lambda x, y: (tf.Variable(x.astype(np.int32)),),
    "column major": lambda x, y: (np.asfortranarray(x),),
    "every second": lambda x, y: (np.repeat(x, 2, axis=0)[::2],),
    "read only": lambda x, y: (read_only(x),),
    "itself as target": lambda x, y: (x, x),
    "labels": lambda x, y: (x, y),
    "names as labels": lambda x, y: (x, np.array([*"abcdefghij"])),
    "dict": lambda x, y: ({"image": x},),
    "dict with label": lambda x, y: ({"image": x, "label": y},),
    "split": lambda x, y: (ArraySplit(x, y),),
}
STREAMS = {
    "data set": lambda x, y: data_set(x),
    "data set of 1-tuples": lambda x, y: data_set(x).map(lambda x: (x,)),
    "data set with labels": lambda x, y: data_set(x, y),
    "data set with a column of labels": lambda x, y: data_set(x, y[:, None]),
    "data set with itself": lambda x, y: data_set(x, x),
    "data set of dicts": lambda x, y: data_set({"image": x, "label": y}),
    "data set of dicts and labels": lambda x, y: data_set({"image": x}, y),
    "data set with weights": lambda x, y: data_set(x, y, np.ones(10)),
    "data set with a column of weights": lambda x, y: data_set(x, y, np.ones((10, 1))),
    "data set of int64": lambda x, y: data_set(x.astype(np.int64)),
    "data set, flat": lambda x, y: data_set(x.reshape(10, 30)),
    "data set, no channel axis": lambda x, y: data_set(x[..., 0]),
    "data set, cached, prefetched": lambda x, y: data_set(x).cache().prefetch(2),
    "data set of unknown length": lambda x, y: data_set(x).filter(lambda x: True),
    "data set of a generator": lambda x, y: of_generator(x, (None, 6, 5, 1)),
    "data set of unknown shape": lambda x, y: of_generator(x, (None, None, None, 1)),
    "data set of unknown rank": lambda x, y: of_generator(x, None),
    "PyDataset": lambda x, y: Numbered(x),
    "PyDataset with labels": lambda x, y: Numbered(x, y),
    "PyDataset with weights": lambda x, y: Numbered(x, y, np.ones(10)),
    "PyDataset of several workers": lambda x, y: Numbered(x, workers=2),
    "loader": lambda x, y: Loader(x),
    "loader with labels": lambda x, y: Loader(x, y),
    "list of batches of pairs": lambda x, y: iter([*Loader(x, y)]),
    "generator": lambda x, y: (batch for batch in Loader(x)),
    "generator of pairs": lambda x, y: (batch for batch in Loader(x, y)),
    "generator without labels": lambda x, y: ((b, None, None) for b in Loader(x)),
    "generator of dicts": lambda x, y: ({"image": b, "id": b} for b in Loader(x)),
    "generator of tensors": lambda x, y: (tf.constant(batch) for batch in Loader(x)),
}
FORMS = {
    **ARRAYS,
    **{name: lambda x, y, form=form: (form(x, y),) for name, form in STREAMS.items()},
}
every_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


@pytest.fixture(scope="module")
def plain(make_vae, bytes_):
    """A model trained on a plain array, its history, metrics and reconstructions."""
    vae = make_vae()
    history = vae.fit(bytes_, batch_size=BATCH, shuffle=False, verbose=0).history
    metrics = vae.evaluate(bytes_, batch_size=BATCH, verbose=0)
    return vae, history, metrics, vae.predict(bytes_, batch_size=BATCH, verbose=0)


@every_form
def test_fit_takes_what_keras_takes(plain, fresh, assert_same, bytes_, labels, form):
    vae, history, *_ = plain
    other = fresh()
    done = other.fit(*form(bytes_, labels), batch_size=BATCH, shuffle=False, verbose=0)
    assert_same(vae, other)
    assert done.history == history


@every_form
def test_evaluate_takes_what_keras_takes(plain, bytes_, labels, form):
    vae, _, metrics, _ = plain
    data = form(bytes_, labels)
    assert vae.evaluate(*data, batch_size=BATCH, verbose=0) == metrics


@every_form
def test_predict_takes_what_keras_takes(plain, bytes_, labels, form):
    vae, *_, images = plain
    x, *_ = form(bytes_, labels)  # predict has no y
    np.testing.assert_array_equal(vae.predict(x, batch_size=BATCH, verbose=0), images)


@pytest.fixture(scope="module")
def binary():
    return np.random.default_rng(1).integers(0, 2, (10, 6, 5, 1))


@pytest.fixture(scope="module")
def plain_binary(make_vae, binary):
    vae = make_vae()
    vae.fit(binary * 255, batch_size=BATCH, shuffle=False, verbose=0)
    return vae


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "bool"])
@pytest.mark.parametrize("form", [np.asarray, tf.constant, data_set, Loader, Numbered])
def test_floats_and_bool_train_alike_in_every_form(
    plain_binary, fresh, assert_same, binary, dtype, form
):
    vae = fresh()
    vae.fit(form(binary.astype(dtype)), batch_size=BATCH, shuffle=False, verbose=0)
    assert_same(plain_binary, vae)


@pytest.fixture(scope="module")
def plain_labeled(make_vae, bytes_, labels):
    vae = make_vae(num_classes=3)
    vae.fit(bytes_, labels, batch_size=BATCH, shuffle=False, verbose=0)
    return vae


@pytest.mark.parametrize(
    "form",
    [
        lambda x, y: (x, y[:, None]),
        lambda x, y: (x, y.tolist()),
        lambda x, y: (x, y.astype(np.float32)),
        lambda x, y: ({"image": x, "label": y},),
        lambda x, y: (ArraySplit(x, y),),
        lambda x, y: (data_set(x, y),),
        lambda x, y: (data_set(x, y[:, None]),),
        lambda x, y: (data_set({"image": x, "label": y}),),
        lambda x, y: (Numbered(x, y),),
        lambda x, y: (Loader(x, y),),
        lambda x, y: (({"image": a, "label": b} for a, b in Loader(x, y)),),
    ],
)
def test_a_conditional_model_takes_labels_in_every_form(
    plain_labeled, fresh, assert_same, bytes_, labels, form
):
    vae = fresh(num_classes=3)
    vae.fit(*form(bytes_, labels), batch_size=BATCH, shuffle=False, verbose=0)
    assert_same(plain_labeled, vae)


def test_predict_of_a_conditional_model_takes_pairs(make_vae, bytes_, labels):
    vae = make_vae(num_classes=3)
    images = vae.reconstruct(bytes_, labels)
    for x in (
        [bytes_, labels],
        (bytes_, labels),
        {"image": bytes_, "label": labels},
        ArraySplit(bytes_, labels),
        data_set(bytes_, labels),
        Loader(bytes_, labels),
    ):
        # another batch size sums in another order
        predicted = vae.predict(x, batch_size=BATCH, verbose=0)
        np.testing.assert_allclose(predicted, images, atol=1e-6)
    other = vae.reconstruct(bytes_, (labels + 1) % 3)
    assert np.abs(other - images).max() > 1e-3


@pytest.mark.parametrize("form", [data_set, endless, Loader, Numbered])
def test_endless_data_and_several_epochs(fresh, make_vae, assert_same, bytes_, form):
    one, other = make_vae(), fresh()
    one.fit(bytes_, batch_size=BATCH, epochs=3, shuffle=False, verbose=0)
    data = form(bytes_)
    data = data.repeat() if form is data_set else data
    steps = 3 if form in (data_set, endless) else None
    other.fit(data, epochs=3, steps_per_epoch=steps, shuffle=False, verbose=0)
    assert_same(one, other)


def test_the_stock_loop_takes_a_stream_too(make_vae, assert_same, bytes_):
    one, other = make_vae(steps=1), make_vae(steps=1)
    one.fit(bytes_, batch_size=BATCH, shuffle=False, verbose=0)
    other.fit(data_set(bytes_), verbose=0)
    assert_same(one, other)


def test_one_batch_by_hand_is_a_step_of_fit(make_vae, assert_same, bytes_):
    one, other = make_vae(steps=1), make_vae(steps=1)
    one.fit(bytes_, batch_size=10, shuffle=False, verbose=0)
    logs = other.train_on_batch(bytes_, return_dict=True)
    assert_same(one, other)
    assert logs == {k: v[0] for k, v in one.history.history.items()}
    metrics = one.evaluate(bytes_, batch_size=10, verbose=0)
    assert other.test_on_batch(bytes_) == metrics
    np.testing.assert_array_equal(
        other.predict_on_batch(bytes_), one.predict(bytes_, verbose=0)
    )


def test_one_batch_by_hand_goes_on_after_fit(make_vae, bytes_):
    vae = make_vae()
    vae.fit(bytes_, batch_size=2, verbose=0)
    vae.train_on_batch(bytes_, sample_weight=np.ones(10))
    vae.fit(bytes_, batch_size=2, verbose=0)
    vae.test_on_batch(bytes_)
    assert vae.optimizer.iterations.numpy() == 11
