"""A report as one HTML page that loads nothing: pictures and style lie in the file, and there is no script."""

import base64
import io
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image, UnidentifiedImageError

from episodes.errors import UserError
from fewshot.results.page.content import Figure, Page, Table
from fewshot.results.page.plots import Plot
from fewshot.results.tables import numeric_columns

MOST_BYTES = 7_000_000  # of all pictures, as data URIs: the page stays below 10 MB, so that it can be sent by mail
_WIDEST = 1200  # pixels; overlays are drawn at about that width
_QUALITY = 82  # of WebP: a tenth of the PNG's size, and outlines stay sharp
_LONG = 32  # characters: longer cells (hashes, commands) may be broken anywhere


def html_page(page: Page) -> str:
    """The whole page as text; every name and sentence in it is escaped by the template. UserError if a picture is
    damaged."""
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.tests |= {"table": lambda block: isinstance(block, Table), "figure": lambda b: isinstance(b, Figure)}
    pictures = _pictures(page)

    def uri(image: Path | Plot) -> str | None:
        return pictures.get(image) if isinstance(image, Path) else _data_uri("svg+xml", image.svg())

    return templates.get_template("page.html.jinja").render(page=page, numeric=numeric_columns, long=_LONG, uri=uri)


def _pictures(page: Page) -> dict[Path, str]:
    """The data URI of each picture, as far as the page may grow."""
    places = [
        (place, block.image)
        for section in page.sections
        for part in (section, *section.parts)
        for place, block in enumerate(part.blocks)
        if isinstance(block, Figure) and isinstance(block.image, Path)
    ]
    uris: dict[Path, str] = {}
    # The second picture of any part comes before the third of another: a full page holds as many of each.
    for _, path in sorted(places, key=lambda found: found[0]):
        uri = _picture(path)
        if sum(map(len, uris.values())) + len(uri) > MOST_BYTES:
            break
        uris[path] = uri
    return uris


def _picture(path: Path) -> str:
    try:
        with Image.open(path) as picture:
            shown = picture.convert("RGB")
    except (UnidentifiedImageError, OSError) as error:
        raise UserError(f"{path} is not a picture ({error}); evaluate the run again") from error
    if shown.width > _WIDEST:
        shown = shown.resize((_WIDEST, round(shown.height * _WIDEST / shown.width)), Image.Resampling.LANCZOS)
    content = io.BytesIO()
    shown.save(content, format="WEBP", quality=_QUALITY)
    return _data_uri("webp", content.getvalue())


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64," + base64.b64encode(content).decode("ascii")
