"""A dataset: ``train_dataloader.dataset.type=FewOfEach``."""

import numpy as np

from pointmcd.datasets.prepared_shapes import PreparedShapes
from pointmcd.registry import DATASETS


@DATASETS.register_module()
class FewOfEach(PreparedShapes):
    """The first shapes of each class.

    Args:
        per_class: So many of each, at least 1.
        kwargs: As ``PreparedShapes``.
    """

    def __init__(self, per_class: int, **kwargs: object) -> None:
        super().__init__(**kwargs)  # type: ignore[arg-type]
        rows = [np.flatnonzero(self.labels == label)[:per_class] for label in np.unique(self.labels)]
        kept = np.sort(np.concatenate(rows))
        self.rows, self.labels, self.labelled = self.rows[kept], self.labels[kept], self.labelled[kept]
