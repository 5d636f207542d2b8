"""PointMCD (arXiv 2207.03128): a point network learns to say, view by view, what a teacher says."""

from collections.abc import Iterable
from typing import Any, cast

from torch import Tensor, nn

from pointmcd.batch import Batch, PointFeatures, TeacherRows
from pointmcd.models.heads.distillation import DistillationHead
from pointmcd.models.point_model import PointModel, add_losses
from pointmcd.registry import MODELS, accepted_arguments


@MODELS.register_module()
class PointMCD(PointModel):
    """A ``PointModel`` with neck, distillation heads and a frozen teacher, all unused at test time.

    A teacher's weights are not part of a checkpoint, get no gradient and stay in eval mode; student keys
    are those of ``PointModel``.

    Args:
        backbone: As ``PointModel``.
        head: As ``PointModel``; with None the student learns from the teacher alone, without labels.
        neck: Config of the neck (``VAFP``), which distillation view by view needs, and which needs the
            masks of ``visibility``; None: no features of views are made.
        distill: Configs of the distillation heads; what is not listed is not built.
        teacher: Config of ``CachedTeacher`` or of an online ``MultiViewTeacher``.
        data_preprocessor: As ``PointModel``.
    """

    def __init__(
        self,
        backbone: dict,
        head: dict | None,
        neck: dict | None,
        distill: list[dict],
        teacher: dict,
        data_preprocessor: dict | None = None,
    ) -> None:
        super().__init__(backbone, head, data_preprocessor)
        self.neck = None if neck is None else MODELS.build(neck)
        self.teacher = MODELS.build(teacher).requires_grad_(False).eval()
        self.distill = nn.ModuleList(self._distillation_head(config) for config in distill)
        self.register_state_dict_post_hook(_without_teacher)
        self.register_load_state_dict_post_hook(_teacher_not_missing)

    def _distillation_head(self, config: dict[str, Any]) -> nn.Module:
        """Build a head of its config, with the widths and the task head where its constructor takes them."""
        kind = MODELS.get(config["type"])
        if not callable(getattr(kind, "loss", None)):
            raise ValueError(
                f"{config['type']} is not a distillation head: it has no loss(features, teacher)"
                " (pointmcd.models.heads.distillation.DistillationHead)"
            )
        accepted = accepted_arguments(kind)
        if accepted is not None and "task_head" in accepted:
            config = {**config, "task_head": self.head}
        if accepted is not None and not accepted & {"in_channels", "teacher_channels"}:
            return MODELS.build(config)
        if not getattr(kind, "of_points", False):
            widths = self.backbone.out_channels, self.teacher.out_channels
        elif not hasattr(type(self.teacher), "point_channels"):
            raise ValueError(f"{config['type']} needs a CachedTeacher, which has targets for single points")
        elif self.backbone.local_channels is None:
            raise ValueError(
                f"{config['type']} needs local features of all points, which {type(self.backbone).__name__} "
                "does not have: give it local_channels and local_feats, as PointBackbone says"
            )
        else:
            self.with_local = True
            widths = self.backbone.local_channels, self.teacher.point_channels
        named = zip(("in_channels", "teacher_channels"), widths, strict=True)
        filled = {name: width for name, width in named if accepted is None or name in accepted}
        return MODELS.build({**config, **filled})

    def train(self, mode: bool = True) -> "PointMCD":
        """Set the training mode of all but the teacher."""
        super().train(mode)
        self.teacher.eval()
        return self

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the task loss, the distillation losses and the backbone's own, each weighted."""
        features = self.training_features(
            self.network_input(batch), batch.get("visibility"), batch.get("label")
        )
        rows = self.teacher.describe(batch)
        losses = self._task_losses(features, batch)
        for head in cast(Iterable[DistillationHead], self.distill):
            add_losses(losses, _loss(head, features, rows, batch), type(head).__name__)
        return losses

    def training_features(
        self, points: Tensor, visibility: Tensor | None = None, label: Tensor | None = None
    ) -> PointFeatures:
        """Return ``student_features`` and, where there is a neck, ``view_feats`` (B, V, C).

        Args:
            points: (B, N, in_channels).
            visibility: (B, N) int32 bit masks, for the neck.
            label: As ``student_features``.

        Raises:
            ValueError: There is a neck, but no masks.
        """
        if self.neck is None:
            return self.student_features(points, label)
        if visibility is None:
            raise ValueError("the batch has no visibility: give train_dataloader.dataset.visibility=True")
        if self.pools_only:
            features = self.backbone.encoded(points)
            pooled = self.neck.pool_hidden(
                features["hidden"], self.backbone.fusion, visibility, features["point_index"]
            )
        else:
            features = self.backbone(points)
            pooled = self.neck(features["point_feats"], visibility, features["point_index"], with_global=True)
        features["view_feats"], features["global_feats"] = pooled[:, :-1], pooled[:, -1]
        return self._decode(features, label)


def _loss(
    head: DistillationHead, features: PointFeatures, rows: TeacherRows, batch: Batch
) -> dict[str, Tensor]:
    """Return what a head says; a key that it asks for in vain is an error that says what there is."""
    more = (batch,) if getattr(head, "with_batch", False) else ()
    try:
        return head.loss(features, rows, *more)
    except KeyError as error:
        key = error.args[0] if error.args else None
        if not isinstance(key, str) or any(key in given for given in (features, rows, *more)):
            raise
        raise ValueError(
            f"{type(head).__name__} asks for {key!r}, which is not there: the student's features are "
            f"{', '.join(features)}; the teacher gives {', '.join(rows)}"
        ) from error


def _without_teacher(module: nn.Module, state: dict, prefix: str, local_metadata: dict) -> None:
    for key in [key for key in state if key.startswith(f"{prefix}teacher.")]:
        del state[key]


def _teacher_not_missing(module: nn.Module, keys: Any) -> None:
    keys.missing_keys[:] = [key for key in keys.missing_keys if "teacher." not in key]
