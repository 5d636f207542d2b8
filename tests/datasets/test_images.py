"""Views, label images and depth images: what is written comes back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointmcd.datasets.images import (
    decode_depth,
    decode_labels,
    decode_view,
    encode_depth,
    encode_labels,
    encode_view,
)


def as_bytes(data: bytes) -> np.ndarray:
    return np.frombuffer(data, np.uint8)


@given(st.integers(0, 2**32 - 1), st.booleans())
def test_views_come_back(seed, grey):
    image = np.random.default_rng(seed).integers(0, 256, (5, 7, 1 if grey else 3), np.uint8)
    image = np.broadcast_to(image, (5, 7, 3))
    np.testing.assert_array_equal(decode_view(as_bytes(encode_view(image))), image)


@pytest.mark.parametrize(
    ("parts", "dtype"), [(1, np.uint8), (50, np.uint8), (255, np.uint8), (256, np.uint16)]
)
def test_labels_come_back(parts, dtype):
    labels = np.random.default_rng(0).integers(0, parts + 1, (6, 6))
    labels[0, 0] = parts
    decoded = decode_labels(as_bytes(encode_labels(labels, parts)))
    assert decoded.dtype == dtype
    np.testing.assert_array_equal(decoded, labels)


@given(st.integers(0, 2**32 - 1))
def test_depths_come_back_to_within_half_a_step(seed):
    depth = np.random.default_rng(seed).uniform(2, 4, (8, 8)).astype(np.float32)
    depth[0] = np.inf
    depth[1, 0], depth[1, 1] = 2, 4
    decoded = decode_depth(as_bytes(encode_depth(depth, 2.0, 4.0)), 2.0, 4.0)
    assert decoded.dtype == np.float32
    np.testing.assert_array_equal(np.isinf(decoded), np.isinf(depth))
    np.testing.assert_allclose(decoded[1:], depth[1:], atol=1 / 65534 + 1e-6)


def test_depths_outside_the_range_are_its_ends():
    depth = np.array([[1.9, 4.2]], np.float32)
    np.testing.assert_allclose(decode_depth(as_bytes(encode_depth(depth, 2.0, 4.0)), 2.0, 4.0), [[2, 4]])
