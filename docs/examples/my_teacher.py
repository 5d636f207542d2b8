"""A teacher that is asked while the student trains: ``model.teacher.type=ShellTeacher``."""

import torch
import torch.nn.functional as F
from torch import nn

from pointmcd.batch import Batch, TeacherRows
from pointmcd.registry import MODELS


@MODELS.register_module()
class ShellTeacher(nn.Module):
    """Describe what a view sees by how far from the centre it lies: a histogram over shells.

    Args:
        num_views: V; filled in from the prepared data where a config leaves it None.
        shells: D, the number of shells between the centre and the unit sphere.
    """

    def __init__(self, num_views: int, shells: int = 8) -> None:
        super().__init__()
        self.num_views, self.out_channels = num_views, shells

    @torch.no_grad()
    def describe(self, batch: Batch) -> TeacherRows:
        """Return ``view_descriptors`` (B, V, D), of what each view sees, and ``descriptor`` (B, D)."""
        shell = (batch["points"].norm(dim=-1) * self.out_channels).long().clamp(max=self.out_channels - 1)
        in_shell = F.one_hot(shell, self.out_channels).float()  # (B, N, D)
        views = torch.arange(self.num_views, device=shell.device)
        seen = (batch["visibility"].unsqueeze(1) >> views.view(-1, 1) & 1).float()  # (B, V, N)
        counts = seen @ in_shell
        descriptors = counts / counts.sum(-1, keepdim=True).clamp(min=1)
        return {"view_descriptors": descriptors, "descriptor": in_shell.mean(1)}
