"""TensorFlow's warning of retracing, where nothing is traced twice."""

import contextlib

import tensorflow as tf


@contextlib.contextmanager
def each_model_once():
    """Holds back the warning that a function is traced again and again.

    TensorFlow counts traces by the source of a function. A model makes the functions of
    its loops for itself, so the fifth model of a process looks to it like the fifth
    trace of one function, though each is traced once.
    """

    def wanted(record):
        return "triggered tf.function retracing" not in record.getMessage()

    logger = tf.get_logger()
    logger.addFilter(wanted)
    try:
        yield
    finally:
        logger.removeFilter(wanted)
