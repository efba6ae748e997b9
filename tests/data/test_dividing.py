import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_vae.data.dividing import stratified_draw


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    labels=st.lists(st.integers(0, 5), min_size=1, max_size=60),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**64),
)
def test_stratified_draw_keeps_every_share(labels, share, seed):
    labels = np.array(labels)
    num = int(share * len(labels))
    drawn = stratified_draw(labels, num, (seed, 1))
    assert len(drawn) == len(set(drawn)) == num
    assert (np.diff(drawn) > 0).all()
    for label in set(labels):
        exact = num * (labels == label).mean()
        assert abs((labels[drawn] == label).sum() - exact) < 1


def test_stratified_draw_reaches_every_image():
    drawn = [stratified_draw(np.zeros(20), 5, (seed, 1)) for seed in range(400)]
    share = np.bincount(np.concatenate(drawn), minlength=20) / 400
    # A fifth of 20 images each: 0.25 with a standard error of 0.022.
    assert abs(share - 0.25).max() < 0.1
