"""A test, or a prepared set, as one HTML page to look at: ``pointmcd report``.

``runs.py`` reads what training and testing left in a work dir, ``shapes.py`` chooses shapes and packs them,
``page.py`` puts the page together from ``page.html``, ``page.css`` and ``page.js``.
"""

from pointmcd.report.page import write_report

__all__ = ["write_report"]
