"""Networks: builders of an encoder and a decoder for a given image shape."""
