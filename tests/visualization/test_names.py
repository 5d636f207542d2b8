"""Names in pictures and tables: shown letter by letter, whatever is in them."""

import warnings

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from rich.console import Console

from pointmcd.commands.common import make_table
from pointmcd.visualization import text as texts
from pointmcd.visualization.colors import distinct_colors, oklab
from pointmcd.visualization.confusion import draw_confusion
from pointmcd.visualization.embedding import draw_embedding
from pointmcd.visualization.parts import SegmentedShape, draw_parts
from pointmcd.visualization.text import Picture, plain, width

NAMES = ["a$b$c", "_hidden", "[red]chair[/red]", "椅子", "tab\tnew\nline", r"back\$slash", "x" * 300]
CJK = "椅子"


def rendered(name):
    """The letters that matplotlib draws for a text."""
    figure = Picture(4, 1)
    text = figure.text(0.5, 0.5, plain(name))
    shown, formula = text._preprocess_math(text.get_text())
    assert not formula
    return shown


@pytest.mark.parametrize("name", ["a$b$c", "$5", r"\$", r"a\b", "[x]", "_x", "%", "été", "$\\frac{1}{2}$"])
def test_printable_names_are_shown_as_they_are(name):
    assert rendered(name) == name


def test_what_no_font_has_is_shown_by_its_code(monkeypatch):
    monkeypatch.setattr(texts, "fontManager", type("None", (), {"ttflist": []}))
    texts._shows.cache_clear()
    assert plain("椅 $\t") == r"\u6905 \$\t"
    texts._shows.cache_clear()


def test_letters_of_another_font_are_drawn_by_it():
    """STIX, which matplotlib brings, has the script C that DejaVu Sans lacks."""
    letter = "\U0001d49e"
    figure = Picture(2, 1)
    text = figure.text(0.1, 0.5, plain(f"a{letter}"))
    assert text.get_text() == f"a{letter}"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FigureCanvasAgg(figure).draw()
    assert "STIXGeneral" in text.get_fontfamily()


def test_long_names_are_shortened_and_wide_letters_counted():
    assert plain("x" * 300, 9) == "xxxx…xxxx"
    assert plain("short", 9) == "short"
    assert (width("abc"), width(CJK)) == (3, 4)


def test_pictures_of_odd_names_draw_without_a_warning():
    count = len(NAMES)
    values = np.random.default_rng(0).normal(size=(3 * count, 4))
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (40, 3))
    shape = SegmentedShape(CJK + " $x$ [y]", points, np.arange(40) % count, list(range(count)))
    embedding = draw_embedding(values, np.repeat(np.arange(count), 3), NAMES)
    parts = draw_parts([shape], NAMES)
    figures = [draw_confusion(np.eye(count, dtype=int), NAMES), embedding, parts]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for figure in figures:
            FigureCanvasAgg(figure).draw()
    for legend in (embedding.axes[0].get_legend(), parts.subfigs[0].legends[0]):
        assert len(legend.get_texts()) == count  # "_hidden" too
    box = figures[0].axes[0].get_tightbbox(figures[0].canvas.get_renderer())
    assert (box.min >= 0).all()
    assert (box.max <= figures[0].bbox.max).all()


def test_tables_show_brackets():
    console = Console(width=80, markup=False)
    with console.capture() as shown:
        console.print(make_table("a [b]", ("[c]", ">d"), [("[red]x[/red]", "[/]")], [("[last]", "1")]))
    for text in ("a [b]", "[c]", "[red]x[/red]", "[/]", "[last]"):
        assert text in shown.get()


def test_colours_differ_the_most_from_their_neighbours():
    colors = oklab(distinct_colors(55))
    distance = np.linalg.norm(colors[:, None] - colors, axis=2)
    assert distance[~np.eye(55, dtype=bool)].min() > 0.08
    assert np.diagonal(distance, 1).min() > 0.15
    np.testing.assert_array_equal(distinct_colors(55)[:9], distinct_colors(9))
    first = distinct_colors(3, ("#ff0000",))
    np.testing.assert_array_equal(first[0], [1, 0, 0])
