"""What a user asks the preparation for."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pointmcd.datasets.archive import fingerprint
from pointmcd.datasets.processing import PointSettings, Settings
from pointmcd.datasets.sources import Source
from pointmcd.geometry import CameraRig, rig


class PreparationError(ValueError):
    """The set cannot be prepared as asked; the message has the remedy."""


@dataclass(frozen=True)
class Request:
    """What a user asks for. Whoever asks for the same of the same files gets the same set.

    Attributes:
        source: key of ``SOURCES``.
        options: the source's own arguments. The path ``source`` among them may be an archive.
        up: None leaves it to the source.
        visibility: None takes ``ray`` where there are meshes, and no masks where there are points alone.
        seed: seeds the sampling.
        depths: keep the depth of each pixel beside the views.

    The others are those of ``PointSettings`` and ``Settings``.
    """

    source: str
    options: dict[str, Any]
    num_points: int = 2048
    up: str | None = None
    seed: int = 0
    rig: CameraRig = field(default_factory=lambda: rig("circle12"))
    image_size: int = 224
    shading: str = "smooth"
    background: int = 255
    visibility: str | None = None
    hpr_radius: float | str = 100.0
    depths: bool = False

    @property
    def path(self) -> Path | None:
        return self.options.get("source")

    def settings(self, source: Source) -> Settings:
        """The settings with what ``source`` decides filled in."""
        points = PointSettings(self.num_points, self.up or source.up, self.seed)
        if source.surfaces:
            return Settings(
                points,
                self.rig,
                self.image_size,
                self.shading,
                self.background,
                visibility=self.visibility or "ray",
                hpr_radius=self.hpr_radius,
                depths=self.depths,
                num_parts=None if source.part_names is None else len(source.part_names),
            )
        if self.visibility in ("ray", "depth"):
            raise PreparationError(
                f"--visibility {self.visibility} needs meshes; from points alone there is hpr"
            )
        if self.visibility == "hpr":
            return Settings(points, self.rig, None, visibility="hpr", hpr_radius=self.hpr_radius)
        return Settings(points, None, None, visibility="none")

    def record(self) -> dict[str, Any]:
        """Plain values that tell this request from others; the source's files count, not where they lie."""
        record = {
            "source": self.source,
            "source_files": None if self.path is None else fingerprint(self.path),
            **{key: value for key, value in self.options.items() if key != "source"},
            "points": self.num_points,
            "up": self.up,
            "seed": self.seed,
            "rig": self.rig.to_dict(),
            "image_size": self.image_size,
            "shading": self.shading,
            "background": self.background,
            "visibility": self.visibility,
        }
        if self.visibility == "hpr":
            record["hpr_radius"] = self.hpr_radius
        if self.depths:
            record["depths"] = True
        return record
