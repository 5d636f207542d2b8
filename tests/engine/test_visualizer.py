"""The canvas of a run's figures: made when something is drawn."""

import numpy as np

from pointmcd.engine.visualizer import Visualizer
from pointmcd.registry import VISUALIZERS


def test_a_canvas_comes_with_the_first_picture(tmp_path):
    visualizer = VISUALIZERS.build(
        {
            "type": "Visualizer",
            "name": "canvas",
            "vis_backends": [{"type": "LocalVisBackend"}],
            "save_dir": str(tmp_path),
        }
    )
    assert type(visualizer) is Visualizer
    visualizer.set_image(np.full((8, 12, 3), 200, np.uint8))
    visualizer.draw_points(np.array([[6.0, 4.0]]), colors="r")
    assert visualizer.get_image().shape == (8, 12, 3)
    visualizer.add_scalar("loss", 1.0)
