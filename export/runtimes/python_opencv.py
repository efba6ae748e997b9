"""Runs `decoder.onnx`, `generator.onnx` with OpenCV 5: `pip install opencv-python`."""

import cv2
import numpy as np


def load_decoder(path):
    """Returns decode(z[, label]) -> images, NumPy arrays (batch, ...)."""
    net = cv2.dnn.readNetFromONNX(str(path))

    def decode(z, label=None):
        net.setInput(z, "z")
        if label is not None:
            net.setInput(label, "label")
        return net.forward("images").copy()

    return decode


def load_generator(path):
    """Returns generate(seed, num_images[, label]) -> images, z, NumPy arrays."""

    def generate(seed, num_images, label=None):
        # Read anew: OpenCV keeps the buffers of the first call, and a later call that
        # asks for more images would be wrong without a word.
        net = cv2.dnn.readNetFromONNX(str(path))
        feed = {"seed": seed, "num_images": num_images}
        feed |= {} if label is None else {"label": label}
        for name, value in feed.items():
            net.setInput(np.array([value], np.int64), name)
        images, z = net.forward(["images", "z"])
        return images.copy(), z.copy()

    return generate
