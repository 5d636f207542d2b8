"""What a user asks the preparation for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pointmcd.datasets.preparation.archive import fingerprint
from pointmcd.datasets.preparation.shape import PointSettings, Settings
from pointmcd.datasets.preparation.sources import Source, source_class
from pointmcd.geometry import CameraRig, rig


class PreparationError(ValueError):
    """The set cannot be prepared as asked; the message has the remedy."""


@dataclass(frozen=True)
class Request:
    """What a user asks for. Whoever asks for the same of the same files gets the same set.

    Attributes:
        source: its name (``source_names``).
        options: the source's own arguments. The path ``source`` among them may be an archive.
        up: None leaves it to the source.
        rig: None leaves it to the source.
        visibility: None takes ``ray``, for clouds without normals ``hpr``, and without views ``none``: the
            test that comes nearest to ray casting against the surface.
        seed: seeds the sampling.
        views: render views.
        depths: keep the depth of each pixel beside the views.

    The others are those of ``PointSettings`` and ``Settings``.
    """

    source: str
    options: dict[str, Any]
    num_points: int = 2048
    up: str | None = None
    seed: int = 0
    rig: CameraRig | None = None
    image_size: int = 224
    shading: str = "smooth"
    background: int = 255
    visibility: str | None = None
    hpr_radius: float | str = 100.0
    depths: bool = False
    views: bool = True

    @property
    def cameras(self) -> CameraRig:
        return self.rig or rig(source_class(self.source).rig)

    @property
    def path(self) -> Path | None:
        return self.options.get("source")

    def settings(self, source: Source) -> Settings:
        """The settings with what ``source`` decides filled in."""
        visibility = self.visibility
        if visibility is None:
            exact = "ray" if source.surfaces or source.normals else "hpr"
            visibility = exact if self.views else "none"
        if self.shading == "flat" and not source.surfaces:
            raise PreparationError("--shading flat needs meshes; clouds are rendered smooth")
        return Settings(
            PointSettings(self.num_points, self.up or source.up, self.seed),
            self.cameras if self.views or visibility != "none" else None,
            self.image_size if self.views else None,
            self.shading,
            self.background,
            visibility,
            self.hpr_radius,
            self.depths,
            None if source.part_names is None else len(source.part_names),
        )

    def record(self) -> dict[str, Any]:
        """Plain values that tell this request from others; the source's files count, not where they lie."""
        record = {
            "source": self.source,
            "source_files": None if self.path is None else fingerprint(self.path),
            **{key: value for key, value in self.options.items() if key != "source" and value is not False},
            "points": self.num_points,
            "up": self.up,
            "seed": self.seed,
            "rig": self.cameras.to_dict(),
            "image_size": self.image_size,
            "shading": self.shading,
            "background": self.background,
            "visibility": self.visibility,
        }
        if self.visibility == "hpr":
            record["hpr_radius"] = self.hpr_radius
        if self.depths:
            record["depths"] = True
        if not self.views:
            record["views"] = False
        return record
