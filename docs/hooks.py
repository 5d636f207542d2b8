"""What `make docs` does to pages: a link to a file outside docs/ becomes the path of that file."""

import re
from pathlib import PurePosixPath
from typing import Any

LINK = re.compile(r"\[([^\]]+)\]\((\.\./[^)\s]+)\)")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    folder = PurePosixPath(page.file.src_uri).parent

    def outside(link: re.Match) -> str:
        text, target = link.groups()
        parts = PurePosixPath(target.partition("#")[0]).parts
        if parts.count("..") <= len(folder.parts):
            return link[0]
        return f"{text} (`{'/'.join(part for part in parts if part != '..')}`)"

    return LINK.sub(outside, markdown)
