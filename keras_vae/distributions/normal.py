"""The log density of the normal distribution, once for all who need it."""

import math

from keras import ops

LOG_2PI = math.log(2.0 * math.pi)


def normal_log_prob(noise, log_var=0.0):
    """The log density of mean + exp(log_var / 2) * noise under N(mean, exp(log_var)).

    -1/2 (log(2 pi) + log_var + noise^2): what has been made standard is not made so
    again.

    Args:
        noise: float (...), the standardized value (z - mean) / exp(log_var / 2).
        log_var: float, natural log of the variance; broadcasts with `noise`.

    Returns:
        float (...), in nats, for each element.

    Example:
        >>> round(float(normal_log_prob(0.0)), 4)
        -0.9189
    """
    return -0.5 * (LOG_2PI + log_var + ops.square(noise))
