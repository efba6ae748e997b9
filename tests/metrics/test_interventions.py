import numpy as np
import pytest

from keras_vae.metrics.interventions import beta_vae_score, factor_vae_score, sharing

FACTORS = np.tile(np.indices((4, 4, 5)).reshape(3, -1).T, (4, 1))
PAIR = np.tile(np.indices((6, 6)).reshape(2, -1).T, (8, 1))
ROTATION = np.array([[1, 1], [-1, 1]]) / np.sqrt(2)  # by 45 degrees
RANDOM = np.random.default_rng(0).standard_normal((len(FACTORS), 5))
SCORES = pytest.mark.parametrize("score", [factor_vae_score, beta_vae_score])
# Six standard errors of a share of 5,000 draws, and as many of the rule's 10,000.
CLOSE = 6 * np.sqrt(0.25 * (1 / 5000 + 1 / 10_000))


@SCORES
def test_a_code_for_each_factor_is_perfect(score):
    codes = FACTORS[:, [2, 0, 1]] * [1e-3, -5.0, 100.0] + 7.0
    codes = np.column_stack([codes, np.ones(len(codes))])
    assert score(codes, FACTORS) == 1.0
    assert score(np.repeat(FACTORS, 2, axis=1), FACTORS) == 1.0


@SCORES
def test_random_codes_are_at_chance(score):
    factors = np.tile(FACTORS, (40, 1))  # so many that no value has codes of its own
    codes = np.random.default_rng(0).standard_normal((len(factors), 5))
    assert score(codes, factors) == pytest.approx(1 / 3, abs=CLOSE)


@SCORES
def test_a_code_rotated_by_45_degrees_is_at_chance(score):
    """Sum and difference of two like factors vary alike, whichever is kept fixed."""
    assert score(PAIR @ ROTATION, PAIR) == pytest.approx(1 / 2, abs=CLOSE)


@SCORES
def test_a_code_of_one_factor_alone_tells_it_from_the_others(score):
    """Kept fixed, it does not vary; otherwise it does, and the others look alike.

    A vote of one latent says nothing; the linear classifier is right about that factor,
    a third of the time, and about half of the rest.
    """
    found = score(FACTORS[:, :1], FACTORS)
    expected = 1 / 3 if score is factor_vae_score else 2 / 3
    assert found == pytest.approx(expected, abs=CLOSE)


@SCORES
def test_scores_are_a_function_of_the_seed_and_of_no_scale(score):
    codes = FACTORS + RANDOM[:, :3]
    first = score(codes, FACTORS, seed=1)
    assert score(codes, FACTORS, seed=1) == first
    assert score(codes * 1024, FACTORS, seed=1) == first  # a power of two: no rounding
    assert score(codes, FACTORS, seed=2) == pytest.approx(first, abs=CLOSE)


@SCORES
def test_codes_that_do_not_vary_score_nothing(score):
    assert score(np.ones((len(FACTORS), 2)), FACTORS) == 0.0


def test_partners_share_the_value_and_are_drawn_evenly():
    values = np.array([5, 0, 5, 5, 9, 0])
    rows = np.array([[0, 1], [4, 2]])
    generator = np.random.default_rng(0)
    draws = np.stack([sharing(values, rows, generator) for _ in range(3000)])
    np.testing.assert_array_equal(
        values[draws], np.broadcast_to(values[rows], draws.shape)
    )
    counts = np.bincount(draws[:, 0, 0], minlength=6)
    # 1,000 each of 3,000, with a standard error of 26
    assert (
        set(np.flatnonzero(counts)) == {0, 2, 3}
        and abs(counts[[0, 2, 3]] - 1000).max() < 156
    )
