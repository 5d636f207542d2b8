"""3D detection of axis-aligned boxes with VoteNet's head: components for ``custom_imports``.

Everything is in metres and z is up, as in ``boxes.py``.
"""

from projects.mvnet.mvnet.detection.head import VoteHead
from projects.mvnet.mvnet.detection.metric import BoxMetric
from projects.mvnet.mvnet.detection.model import VoteNet
from projects.mvnet.mvnet.detection.scene_set import ScenesWithBoxes
from projects.mvnet.mvnet.detection.transforms import MoveScene

__all__ = ["BoxMetric", "MoveScene", "ScenesWithBoxes", "VoteHead", "VoteNet"]
