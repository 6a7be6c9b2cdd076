"""Great Expectations' own pages on a validation (Data Docs), made to be read without a network.

Great Expectations writes the pages with styles, scripts and pictures of half a dozen content
networks, its own logo among them. All of that is taken out, and ``data_docs.css`` put in: a page
that is opened tells nobody, and looks alike everywhere.
"""

import re
import shutil
from collections.abc import Sequence
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

_SITE: Final = "local"
_FROM_ELSEWHERE: Final = re.compile(
    r"<script\b.*?</script>|<link\b[^>]*>|<img\b[^>]*>|url\(\s*['\"]?(?:https?:)?//[^)]*\)",
    re.DOTALL | re.IGNORECASE,
)


class DataDocsError(RuntimeError):
    """The pages could not be built."""


def build(context: Any, folder: Path) -> Path:
    """Write the site of everything that the context has validated; returns its first page."""
    store = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder.resolve())}
    context.add_data_docs_site(
        _SITE,
        {
            "class_name": "SiteBuilder",
            "show_how_to_buttons": False,
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
            "store_backend": store,
        },
    )
    context.build_data_docs(site_names=[_SITE])
    index = folder / "index.html"
    if not index.is_file():
        raise DataDocsError(f"{folder}: expected Great Expectations to write {index}, found none")
    shutil.rmtree(folder / "static", ignore_errors=True)  # fonts and pictures that nothing names
    pages = sorted(folder.rglob("*.html"))
    for page in pages:
        page.write_text(_at_home(page.read_text("utf-8")), "utf-8")
    links = _links(folder, [page for page in pages[::-1] if page != index])
    index.write_text(index.read_text("utf-8").replace("</body>", f"{links}</body>", 1), "utf-8")
    return index


def _at_home(page: str) -> str:
    """The page with nothing in it that is loaded from elsewhere, and our style."""
    style = resources.files(__package__).joinpath("data_docs.css").read_text("utf-8")
    plain = _FROM_ELSEWHERE.sub("", page)
    return plain.replace("</head>", f"<style>\n{style}</style>\n</head>", 1)


def _links(folder: Path, pages: Sequence[Path]) -> str:
    """The pages by name, which the first page lists with a script only."""
    lines = [
        f'<li><a href="{quote(str(page.relative_to(folder)))}">'
        f"{escape(' / '.join(page.relative_to(folder).with_suffix('').parts[:2]))}</a></li>\n"
        for page in pages
    ]
    return f'<div class="container-fluid"><ul class="sc-pages">\n{"".join(lines)}</ul></div>\n'
