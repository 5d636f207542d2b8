"""Sources of shapes by name; ``pointmcd prepare NAME`` prepares one.

One more is a class of a module of one's own, ``@SOURCES.register_module(name="my-scans")`` above it, and
``pointmcd prepare --imports my_module my-scans``.
"""

import difflib

from pointmcd.datasets.preparation.sources.base import Item, Shape, Source, SourceError
from pointmcd.registry import SOURCE_MODULES, SOURCES, import_modules

__all__ = ["Item", "Shape", "Source", "SourceError", "source_class", "source_names"]


def source_names() -> list[str]:
    """Return the names of all registered sources, pointmcd's own first."""
    import_modules(SOURCE_MODULES)  # as a search of the registry would, which imports torch besides
    return list(SOURCES.module_dict)


def source_class(name: str) -> type[Source]:
    """Return the class that is registered as the source ``name``.

    Raises:
        SourceError: There is none.
    """
    known = source_names()
    found = SOURCES.module_dict.get(name)
    if found is None:
        near = difflib.get_close_matches(name, known, 1, 0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
        raise SourceError(f"source {name!r} is not known; {hint} --imports MODULE registers one of your own")
    if not issubclass(found, Source):
        raise SourceError(f"the source {name!r} is a {found.__name__}, which does not derive from Source")
    return found
