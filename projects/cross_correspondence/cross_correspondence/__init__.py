"""Self-supervised features of images and point clouds from correspondences across modalities and views
(Jing et al., arXiv 2004.05749).
"""

from projects.cross_correspondence.cross_correspondence.model import CrossCorrespondence
from projects.cross_correspondence.cross_correspondence.part_segmentation import FrozenPointModel
from projects.cross_correspondence.cross_correspondence.transforms import RandomCropViews
from projects.cross_correspondence.cross_correspondence.view_encoder import ViewEncoder

__all__ = ["CrossCorrespondence", "FrozenPointModel", "RandomCropViews", "ViewEncoder"]
