import numpy as np
import pytest
from scipy import linalg

from keras_vae.errors import DataError
from keras_vae.metrics.distances import frechet_distance, kernel_distance


def sets(m, n, features=6, shift=0.5, seed=0):
    """Two sets of correlated features of different means and covariances."""
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(2, features, features))
    x = rng.normal(size=(m, features)) @ mix[0] + shift
    return x, rng.normal(size=(n, features)) @ mix[1]


def by_square_root(x, y):
    """The textbook: the principal root of the product of the covariances."""
    s, t = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = linalg.sqrtm(s @ t).real
    difference = np.square(x.mean(0) - y.mean(0)).sum()
    return difference + np.trace(s) + np.trace(t) - 2 * np.trace(root)


@pytest.mark.parametrize(("m", "n", "features"), [(50, 80, 6), (500, 300, 64)])
def test_frechet_distance_is_that_of_the_matrix_square_root(m, n, features):
    x, y = sets(m, n, features)
    # both in float64; sqrtm of a product that is not symmetric loses some digits
    np.testing.assert_allclose(frechet_distance(x, y), by_square_root(x, y), rtol=1e-9)


def test_frechet_distance_of_diagonal_gaussians_is_known_in_closed_form():
    rng = np.random.default_rng(1)
    z = rng.normal(size=(40, 5))
    z = np.linalg.qr(z - z.mean(0))[0] * np.sqrt(39)  # mean 0, covariance exactly I
    scale, shift = np.arange(1.0, 6), np.arange(5.0)
    expected = np.square(shift).sum() + np.square(scale - 1).sum()
    np.testing.assert_allclose(frechet_distance(z * scale + shift, z), expected)


def test_frechet_distance_stands_singular_covariances():
    """Fewer images than features, and features that never vary."""
    x, y = sets(5, 7, features=20)
    x[:, 3] = y[:, 3] = 2.0
    s, t = (np.cov(z, rowvar=False) for z in (x, y))
    values, vectors = np.linalg.eigh(s)
    half = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    # eigenvalues that are 0 up to 1e-16 give roots of 1e-8: hence the tolerance
    root = np.sqrt(np.maximum(np.linalg.eigvalsh(half @ t @ half), 0)).sum()
    expected = np.square(x.mean(0) - y.mean(0)).sum() + np.trace(s + t) - 2 * root
    np.testing.assert_allclose(frechet_distance(x, y), expected, rtol=1e-6)
    constant = np.ones((9, 20))
    expected = np.square(x.mean(0) - 1).sum() + np.trace(s)
    np.testing.assert_allclose(frechet_distance(x, constant), expected)


def by_pairs(x, y):
    """Each pair of different images, one by one."""

    def mean(a, b, same):
        values = [
            (a[i] @ b[j] / len(a[i]) + 1) ** 3
            for i in range(len(a))
            for j in range(len(b))
            if not (same and i == j)
        ]
        return np.mean(values)

    return mean(x, x, True) + mean(y, y, True) - 2 * mean(x, y, False)


def test_kernel_distance_is_the_mean_over_pairs(monkeypatch):
    x, y = sets(30, 17)
    expected = by_pairs(x, y)
    whole = kernel_distance(x, y)
    np.testing.assert_allclose(whole[0], expected, rtol=1e-12)
    monkeypatch.setattr("keras_vae.metrics.distances.MAX_VALUES", 100)
    np.testing.assert_allclose(kernel_distance(x, y), whole, rtol=1e-12)


def of_gaussians(n, features):
    """The distance between N(a, I) and N(0, I), |a|^2 = n, from the moments of x'y.

    x'y given x is N(x'b, |x|^2), so that E (x'y)^3 = E [(x'b)^3 + 3 x'b |x|^2]. With
    both means a the first three moments of x'y are those below; with both 0 they are
    0, F, 0, and with one of them 0, n + F, 0.
    """

    def kernel(first, second, third):
        return 1 + 3 * (first + second / features) / features + third / features**3

    third = n**3 + 6 * n**2 + 3 * n * features + 6 * n
    within = kernel(n, n**2 + 2 * n + features, third) + kernel(0, features, 0)
    return within - 2 * kernel(0, n + features, 0)


@pytest.mark.parametrize("shift", [0.0, 0.4])
def test_kernel_distance_has_no_bias_and_knows_its_error(shift):
    """Over 1,000 draws: of one distribution, where pairs alone vary, and of two."""
    rng = np.random.default_rng(2)
    found = np.array(
        [
            kernel_distance(rng.normal(size=(40, 4)) + shift, rng.normal(size=(30, 4)))
            for _ in range(1000)
        ]
    )
    values, errors = found.T
    expected = of_gaussians(4 * shift**2, 4)
    assert abs(values.mean() - expected) < 4 * values.std() / np.sqrt(1000)
    # a standard deviation of 1,000 heavy-tailed values is itself known to some 5 %; of
    # one distribution the error is an eighth too large, for what single images add to
    # that of the pairs is never taken as less than 0
    ratio = np.sqrt(np.square(errors).mean()) / values.std()
    assert 0.85 < ratio < 1.3


def test_kernel_distance_has_an_error_where_a_set_is_its_own_reference():
    x, _ = sets(50, 2)
    assert kernel_distance(x, x)[1] > 0


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance])
def test_the_order_of_images_changes_nothing(distance):
    x, y = sets(40, 30)
    rng = np.random.default_rng(3)
    shuffled = distance(rng.permutation(x), rng.permutation(y))
    np.testing.assert_allclose(shuffled, distance(x, y), rtol=1e-10)


def test_a_set_is_at_no_frechet_distance_from_itself():
    x, _ = sets(400, 2, features=64)
    scale = np.trace(np.cov(x, rowvar=False))
    assert frechet_distance(x, x[::-1]) <= 1e-12 * scale


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance])
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((1, 6)), "from 2 images on; got 1"),
        (np.zeros((5, 4)), "got (5, 4) and (10, 6)"),
        (np.zeros(6), "got (6,) and (10, 6)"),
        (np.full((5, 6), np.nan), "NaN or infinity"),
    ],
)
def test_what_cannot_be_compared_is_told_in_a_sentence(distance, x, message):
    with pytest.raises(DataError) as error:
        distance(x, np.zeros((10, 6)))
    assert message in str(error.value) and "\n" not in str(error.value)
