"""A teacher that was asked once."""

from torch import nn

from pointmcd.batch import Batch, TeacherRows
from pointmcd.datasets.teacher_cache import TeacherCache
from pointmcd.registry import MODELS


@MODELS.register_module()
class CachedTeacher(nn.Module):
    """Say what ``pointmcd cache-teacher`` wrote down; the dataset puts the rows into the batch.

    Args:
        data_root: Folder of the prepared set; filled in from the config's top level where it is None there.
        name: Name of the teacher, whose cache is ``<data_root>/teachers/<name>``.

    Attributes:
        meta: What ``meta.json`` says of the teacher.

    Raises:
        FileNotFoundError: There is no finished cache.
        ValueError: The cache is of other data than those of the prepared set it lies in.
    """

    def __init__(self, data_root: str, name: str) -> None:
        super().__init__()
        self.name = name
        self.meta = TeacherCache(data_root, name).meta

    @property
    def accuracy(self) -> dict[str, dict[str, float]]:
        """The teacher's own accuracies in percent: split, then name of the figure."""
        return self.meta["accuracy"]

    @property
    def out_channels(self) -> int:
        """D, width of the descriptors."""
        return self.meta["channels"]

    @property
    def point_channels(self) -> int:
        """E, width of what is said of single points.

        Raises:
            ValueError: Nothing is.
        """
        channels = self.meta.get("point_channels", 0)
        if not channels:
            raise ValueError(
                f"the teacher {self.name} has no targets for single points: write it again, with the same "
                f"labels, by pointmcd cache-teacher --frozen ... --name {self.name} --point-dim 64"
            )
        return channels

    def describe(self, batch: Batch) -> TeacherRows:
        """Return the rows of this batch.

        Raises:
            ValueError: The dataset gave none.
        """
        if "teacher" not in batch:
            raise ValueError("the batch has no teacher rows: give the training dataset teacher='NAME'")
        return batch["teacher"]
