"""What a user asks the preparation for."""

from dataclasses import fields
from functools import cached_property
from pathlib import Path
from typing import Any

from pointmcd.datasets.preparation.archive import fingerprint, fingerprint_of_list, is_archive
from pointmcd.datasets.preparation.shape import PointSettings, Settings
from pointmcd.datasets.preparation.shards import Shard
from pointmcd.datasets.preparation.sources import Source, source_class
from pointmcd.datasets.preparation.sources.copies import CopySettings
from pointmcd.datasets.preparation.sources.part_numbers import NAMES_FILE
from pointmcd.geometry import CameraRig, rig

POINT_SETTINGS = tuple(field.name for field in fields(PointSettings))
DEFAULTS: dict[str, Any] = {
    field.name: field.default
    for described in (PointSettings, Settings)
    for field in fields(described)
    if field.name not in ("points", "num_parts")
}
SOURCE_DECIDES = {"up": None, "rig": None, "visibility": None}
ALWAYS_RECORDED = {"num_points", "up", "seed", "rig", "image_size", "shading", "background", "visibility"}
ALWAYS_RECORDED |= {"hpr_radius"}  # by that test


class PreparationError(ValueError):
    """The set cannot be prepared as asked; the message has the remedy."""


class Request:
    """What a user asks for. Whoever asks for the same of the same files gets the same set.

    Args:
        source: Its name (``source_names``).
        options: The source's own arguments. Each ``Path`` among them is a file or a folder whose content
            counts, not its name. ``source`` is one, even where it is given as text, and may be an archive.
        views: Render views.
        copies: Prepare copies of the training shapes too.
        shard: Prepare this share of the shapes alone.
        overrides: Fields of ``PointSettings`` and ``Settings`` that are to be other than there. Where ``up``
            and ``rig`` are not among them the source decides; where ``visibility`` is not it is ``ray``, for
            clouds without normals ``hpr``, and without views ``none``: the test nearest to ray casting.

    Raises:
        TypeError: There is no such setting.
    """

    def __init__(
        self,
        source: str,
        options: dict[str, Any],
        views: bool = True,
        copies: CopySettings | None = None,
        shard: Shard | None = None,
        **overrides: Any,
    ) -> None:
        if isinstance(options.get("source"), str):
            options = {**options, "source": Path(options["source"])}
        self.source, self.options, self.views, self.copies = source, options, views, copies
        self.shard = shard
        if unknown := sorted(overrides.keys() - DEFAULTS.keys()):
            raise TypeError(f"there is no setting {', '.join(unknown)}; choose from {', '.join(DEFAULTS)}")
        self._chosen = {name: value for name, value in overrides.items() if value is not None}

    @property
    def path(self) -> Path | None:
        """Where the source lies; None where it is generated."""
        return self.options.get("source")

    @property
    def archive(self) -> Path | None:
        """``path``, where it is an archive that is to be unpacked for the source."""
        if self.path is None or source_class(self.source).reads(self.path) or not is_archive(self.path):
            return None
        return self.path

    @property
    def cameras(self) -> CameraRig:
        """Those that are asked for, or the source's."""
        return self._chosen.get("rig") or rig(source_class(self.source).rig)

    @cached_property
    def listed(self) -> Source:
        """The source, of one that is a list of files."""
        return source_class(self.source)(**self.options)

    def _files(self) -> dict[str, Any]:
        """Return what tells whether the source changed; of a list a shard looks at its own files alone."""
        if self.path is None:
            return {"source_files": None}
        if not source_class(self.source).lists:
            return fingerprint(self.path)
        items = self.listed.items if self.shard is None else self.shard.share(self.listed.items)
        files = [self.listed.root / item.file for item in items]
        if self.listed.part_names is not None:
            files.append(self.listed.root / NAMES_FILE)
        return fingerprint_of_list(self.path, files)

    def _own_options(self) -> dict[str, Any]:
        """Return what is recorded of the source's options; paths by the content of what lies there."""
        # The folder of a list is covered by the files that the list names.
        elsewhere = {"source", "root"} if source_class(self.source).lists else {"source"}
        return {
            key: _of_content(value)
            for key, value in self.options.items()
            if value is not False and not (key in elsewhere and isinstance(value, Path))
        }

    def settings(self, source: Source) -> Settings:
        """Return the settings with what ``source`` decides filled in."""
        chosen = {"up": source.up} | self._chosen
        if "visibility" not in chosen:
            exact = "ray" if source.surfaces or source.normals else "hpr"
            chosen["visibility"] = exact if self.views else "none"
        if chosen.get("shading") == "flat" and not source.surfaces:
            raise PreparationError("--shading flat needs meshes; clouds are rendered smooth")
        chosen["rig"] = self.cameras if self.views or chosen["visibility"] != "none" else None
        if not self.views:
            chosen["image_size"] = None
        points = PointSettings(**{name: chosen.pop(name) for name in POINT_SETTINGS if name in chosen})
        num_parts = None if source.part_names is None else len(source.part_names)
        return Settings(points, num_parts=num_parts, **chosen)

    def record(self) -> dict[str, Any]:
        """Return plain values that tell this request from others; where the source lies does not count."""
        asked = DEFAULTS | SOURCE_DECIDES | self._chosen
        record = {
            "source": self.source,
            **self._files(),
            **self._own_options(),
            "points": asked["num_points"],
            **{name: asked[name] for name in ("up", "seed")},
            "rig": self.cameras.to_dict(),
            **{name: asked[name] for name in ("image_size", "shading", "background", "visibility")},
        }
        if asked["visibility"] == "hpr":
            record["hpr_radius"] = asked["hpr_radius"]
        # Settings that came later are recorded where they are not the default.
        for name in DEFAULTS.keys() - ALWAYS_RECORDED:
            if asked[name] != DEFAULTS[name]:
                record[name] = asked[name]
        if not self.views:
            record["views"] = False
        if self.copies is not None:
            record["copies"] = self.copies.to_dict()
        if self.shard is not None:
            record["shard"] = str(self.shard)
        return record


def _of_content(value: Any) -> Any:
    """Return an option's value with paths replaced by fingerprints; None for what is not there."""
    if isinstance(value, list | tuple):
        return [_of_content(one) for one in value]
    if isinstance(value, Path):
        return fingerprint(value) if value.exists() else None
    return value


def _is_content(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(_is_content, value))
    return isinstance(value, dict) and "source_files" in value


def differences(old: dict[str, Any], new: dict[str, Any]) -> str:
    """Return a line for each key that differs; what earlier versions did not record counts as the same."""
    lines = []
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) == new.get(key):
            continue
        of_files = _is_content(old.get(key)) or _is_content(new.get(key))
        if key not in old and (key == "source_times" or of_files):
            continue
        values = f"{old.get(key)} there, {new.get(key)} asked for"
        if of_files:
            values = "other files, or changed ones"
        elif key == "source_files":
            values = "other files"
        elif key == "own_times":
            values = "files were changed, or copied without their times (cp -p, rsync -t keep them)"
        elif key == "source_times":
            if old.get("source_files") != new.get("source_files"):
                continue
            values = "files were changed, or copied without their times (cp -p, rsync -t keep them)"
        lines.append(f"  {key}: {values}")
    return "\n".join(lines)
