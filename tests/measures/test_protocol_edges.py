"""The protocol's edges: maps that are constant but for the last digit of a resize, and levels that meet a threshold."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from viz.measures.localization.protocol import SIZE, Thresholds, boxes_at, protocol_map


@pytest.mark.parametrize("value", [0.1, 0.3, 1 / 3, -0.7, 1e-3, 1234.567])
@pytest.mark.parametrize("cells", [(7, 7), (14, 14), (5, 9), (1, 1)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_constant_map_has_no_box_whatever_its_value(value: float, cells: tuple[int, int], dtype: type) -> None:
    score = protocol_map(np.full(cells, value, dtype))
    assert score.shape == (SIZE, SIZE) and not score.any()
    assert not boxes_at(score, Thresholds(0.1)).largest.any()


def test_a_resize_leaves_differences_in_a_constant_map() -> None:
    """Why constant maps are told before the resize: these differences would become the whole range."""
    leaves = []
    for value in (0.1, 0.3, 1 / 3):
        large = cv2.resize(np.full((7, 7), value), (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
        leaves.append(float(large.max() - large.min()))
    assert max(leaves) < 1e-15
    if not any(leaves):
        pytest.skip("this OpenCV leaves none")


def test_a_map_that_differs_in_one_cell_fills_the_range() -> None:
    native = np.full((7, 7), 0.1)
    native[3, 3] = np.nextafter(0.1, 1.0) + 1e-12
    score = protocol_map(native)
    assert score.min() == 0 and score.max() == 1
    y, x = np.unravel_index(score.argmax(), score.shape)
    assert abs(y - 111.5) < 16 and abs(x - 111.5) < 16
