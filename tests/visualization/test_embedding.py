"""The picture of features: places by PCA and t-SNE, classes told apart."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from threadpoolctl import threadpool_limits

from pointmcd.visualization.embedding import draw_embedding, embed


def clusters(count=3, size=20, channels=10):
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(count), size)
    return 10 * rng.normal(size=(count, channels))[labels] + rng.normal(size=(len(labels), channels)), labels


def test_pca_keeps_a_plane():
    """Points of a tilted plane keep their distances, whichever way the picture is turned."""
    rng = np.random.default_rng(0)
    flat = rng.normal(size=(30, 2)) * [3, 1]
    basis, _ = np.linalg.qr(rng.normal(size=(7, 2)))
    places = embed(flat @ basis.T + 5)

    def distances(points):
        return np.linalg.norm(points[:, None] - points[None], axis=-1)

    np.testing.assert_allclose(distances(places), distances(flat), atol=1e-9)
    assert places[:, 0].var() > places[:, 1].var()


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_clusters_stay_together(method):
    values, labels = clusters()
    with threadpool_limits(1):  # threads wait for each other where cores are few
        places = embed(values, method)
        again = embed(values, method)
    distance = np.linalg.norm(places[:, None] - places[None], axis=-1)
    np.fill_diagonal(distance, np.inf)
    assert (labels[distance.argmin(1)] == labels).all()
    np.testing.assert_array_equal(places, again)


@pytest.mark.parametrize("count", [1, 5, 45])
def test_every_class_is_told_apart(count):
    values, labels = clusters(count, 4)
    names = [f"class_{number}_of_many" for number in range(count + 1)]  # the last has no shape
    figure = draw_embedding(values, labels, names)
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == names[:count]
    looks = {
        (tuple(group.get_facecolor()[0]), group.get_paths()[0].vertices.tobytes())
        for group in axes.collections
    }
    assert len(looks) == count
    assert sum(len(group.get_offsets()) for group in axes.collections) == len(labels)
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    box = axes.get_legend().get_window_extent(renderer).get_points()
    assert (box >= 0).all()
    assert (box <= figure.bbox.max).all()


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match="pca or tsne, not by 'umap'"):
        embed(np.eye(4), "umap")
    with pytest.raises(ValueError, match="at least three shapes"):
        embed(np.eye(2))
