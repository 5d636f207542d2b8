"""From proposals to the boxes that are reported."""

import numpy as np

from projects.mvnet.mvnet.boxes import box_iou


def suppress(boxes: np.ndarray, scores: np.ndarray, classes: np.ndarray, overlap: float) -> np.ndarray:
    """Suppress all but the best of overlapping 3D boxes of one class (non-maximum suppression).

    Args:
        boxes: (P, 6) centres and sizes.
        scores: (P,).
        classes: (P,); a box suppresses only those of its class.
        overlap: Intersection over union above which of two boxes the one of the lower score goes.

    Returns:
        Rows that stay, int64, by falling score (of equal scores the first row comes first).
    """
    order = np.argsort(-scores, kind="stable")
    boxes, classes = boxes[order], classes[order]
    clash = (box_iou(boxes, boxes) > overlap) & (classes[:, None] == classes)
    stays = np.ones(len(order), bool)
    for row in range(len(order)):
        if stays[row]:
            stays[row + 1 :] &= ~clash[row, row + 1 :]
    return order[stays]


def points_inside(points: np.ndarray, boxes: np.ndarray, slack: float = 0.0) -> np.ndarray:
    """Count the points (N, 3) in each of the boxes (K, 6) or at most ``slack`` beyond a face; (K,) int64."""
    apart = np.abs(points[:, None] - boxes[:, :3])
    return (apart <= boxes[:, 3:] / 2 + slack).all(axis=-1).sum(axis=0)
