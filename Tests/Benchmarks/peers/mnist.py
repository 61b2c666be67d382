"""MNIST's training images as the peers read them."""

import gzip
import pathlib

import numpy as np


def training_images(folder):
    """[60000, 784] in 0…1."""
    path = pathlib.Path(folder) / "train-images-idx3-ubyte.gz"
    content = gzip.open(path).read() if path.exists() else path.with_suffix("").read_bytes()
    return np.frombuffer(content, np.uint8, offset=16).reshape(-1, 784).astype(np.float32) / 255
