"""Write docs/site-file.md from the models of the site file, so that it cannot be out of date.

python tools/document_site_file.py [--check]
"""

import argparse
import enum
import json
import sys
import types
import typing
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from so2cam.core.site import Site

PAGE = Path(__file__).resolve().parents[1] / "docs" / "site-file.md"
HEAD = """# The site file

One TOML file describes an installation: `so2cam check site.toml` says what is wrong or risky in it.
`examples/villarrica/site.toml` is complete and commented. An unknown key is an error, and so is a value without
sense; every key's name ends in its unit where that is not obvious. Uncertainties are 1 sigma.

Image positions are (x, y) pixels of the on-band image, y downward ([nomenclature](nomenclature.md)).
"""


def describe_type(annotation: object) -> str:
    """Return a short name of a field's type."""
    origin = typing.get_origin(annotation)
    arguments = [argument for argument in typing.get_args(annotation) if argument is not type(None)]
    if origin is typing.Annotated:
        return describe_type(arguments[0])
    if origin is typing.Literal:
        return " or ".join(f'`"{value}"`' if isinstance(value, str) else f"`{value}`" for value in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(describe_type(argument) for argument in arguments)
    if origin is tuple:
        if arguments[-1] is Ellipsis:
            return f"list of {describe_type(arguments[0])}"
        return "[" + ", ".join(describe_type(argument) for argument in arguments) + "]"
    if origin is dict:
        return f"table of {describe_type(arguments[1])} by name"
    if annotation is typing.Any:
        return "anything"
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return " or ".join(f'`"{member.value}"`' for member in annotation)
    if "AwareDatetime" in str(annotation):
        return "time (UTC)"
    return {float: "number", int: "whole number", str: "text", bool: "true or false"}.get(
        typing.cast(type, annotation), str(annotation)
    )


def describe_default(field: FieldInfo) -> str:
    """Return a field's default as it would be written, or that it must be given."""
    if field.default is PydanticUndefined:
        return "**must be given**"
    if field.default is None:
        return "none"
    if isinstance(field.default, bool):
        return str(field.default).lower()
    if isinstance(field.default, tuple):
        plain = [list(value) if isinstance(value, tuple) else value for value in field.default]
        return f"`{json.dumps(plain)}`"
    return f"`{field.default}`"


def models_of(annotation: object) -> list[type[BaseModel]]:
    """Return the tables that a field may hold: none, one, or one of several kinds (or a list of them)."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in typing.get_args(annotation) for model in models_of(argument)]


def kind_of(model: type[BaseModel]) -> str:
    """Return the words that tell one kind of table from others of the same name."""
    field = model.model_fields.get("type")
    return "" if field is None or field.default is PydanticUndefined else f' with `type = "{field.default}"`'


def table(model: type[BaseModel], name: str, many: bool = False, kind: str = "") -> list[str]:
    """Return the page's lines for a table and the tables within it."""
    heading = (f"[[{name}]]" if many else f"[{name}]" if name else "top of the file") + kind
    lines = [f"\n## {heading}\n\n{(model.__doc__ or '').strip()}\n"]
    rows, inner = [], []
    for key, field in model.model_fields.items():
        below = models_of(field.annotation)
        for one in below:
            many_below = typing.get_origin(field.annotation) is tuple
            inner += table(one, f"{name}.{key}" if name else key, many_below, kind_of(one) if len(below) > 1 else "")
        if not below:
            kind, default = describe_type(field.annotation), describe_default(field)
            rows.append(f"| `{key}` | {kind} | {default} | {field.description or ''} |")
    if rows:
        lines += ["| key | value | default | |", "|---|---|---|---|", *rows]
    elif not inner:
        lines = []
    return (lines if rows or not name else []) + inner


def page() -> str:
    """Return the whole page."""
    return HEAD + "\n".join(table(Site, "")) + "\n"


def main() -> int:
    """Write the page, or with --check only say whether it is up to date."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="exit with 1 if the page is out of date")
    if parser.parse_args().check:
        return 0 if PAGE.read_text(encoding="utf-8") == page() else 1
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
