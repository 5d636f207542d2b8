"""Where a run's figures go."""

from typing import Any

from mmengine.visualization import Visualizer as MMEngineVisualizer

from pointmcd.registry import VISUALIZERS

_DRAWN = ("fig_save_canvas", "fig_save", "ax_save", "dpi")


@VISUALIZERS.register_module()
class Visualizer(MMEngineVisualizer):
    """MMEngine's, but its canvas is made when something is drawn: matplotlib is slow to import.

    Args:
        name: Of the instance.
        kwargs: As MMEngine's.
    """

    def __init__(self, name: str = "visualizer", **kwargs: Any) -> None:
        self._begun = False
        super().__init__(name, **kwargs)
        self._begun = True

    def _initialize_fig(self, fig_cfg: dict[str, Any]) -> tuple:
        if self._begun:
            return super()._initialize_fig(fig_cfg)
        return None, _NoFigure, None

    def __getattribute__(self, name: str) -> Any:
        values = object.__getattribute__(self, "__dict__")
        if name in _DRAWN and values.get("_begun") and values["fig_save"] is _NoFigure:
            canvas, figure, axes = self._initialize_fig(self.fig_save_cfg)
            values.update(fig_save_canvas=canvas, fig_save=figure, ax_save=axes, dpi=figure.get_dpi())
        return object.__getattribute__(self, name)


class _NoFigure:
    """Stands for the canvas until it is made."""

    @staticmethod
    def get_dpi() -> None:
        """Say nothing; MMEngine asks when it begins."""
