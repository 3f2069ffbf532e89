"""The HTTP side of the runs: products are fetched as files, behind the door."""

from typing import Annotated, Final
from urllib.parse import quote

from fastapi import FastAPI, HTTPException, Path, Request
from fastapi.responses import FileResponse

from so2cam.core.errors import InputError
from so2cam.link.protocol import Role
from so2cam.station.run_store import SITE_FILE
from so2cam.web.state import Pages

_TYPES: Final = {
    ".nc": "application/x-netcdf",
    ".csv": "text/csv; charset=utf-8",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".zip": "application/zip",
    ".webm": "video/webm",
    ".mp4": "video/mp4",
    ".avi": "video/x-msvideo",
    ".toml": "text/plain; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".json": "application/json",
}
_SHOWN: Final = (".pdf", ".png", ".webm", ".mp4", ".txt")


def run_file(site: str, run: int, name: str) -> str:
    """Return the address of a file of a run."""
    return f"/pages/sites/{quote(site, safe='')}/runs/{run}/{quote(name, safe='')}"


def add_run_routes(app: FastAPI, pages: Pages) -> None:
    """Add the route to the station's application."""

    @app.get("/pages/sites/{site}/runs/{run}/{name}", include_in_schema=False)
    def product(
        request: Request,
        site: str,
        run: Annotated[int, Path(ge=1, le=999_999_999)],
        name: Annotated[str, Path(max_length=80, pattern=r"^[a-z][a-z_.0-9]*$")],
        show: bool = False,
    ) -> FileResponse:
        visitor = pages.door.visitor(request)
        if visitor is None:
            raise HTTPException(401, "sign in first")
        if name == SITE_FILE and not visitor.may(Role.OPERATOR):
            raise HTTPException(403, f"this needs the role {Role.OPERATOR.word}")
        try:
            path = pages.runs.store(site).file(run, name)
        except (KeyError, InputError):
            raise HTTPException(404, "there is no such run, or it has no such file") from None
        kind = "inline" if show and path.suffix in _SHOWN else "attachment"
        stem = "".join(letter if letter.isalnum() else "-" for letter in site.lower())
        return FileResponse(
            path,
            media_type=_TYPES.get(path.suffix, "application/octet-stream"),
            filename=f"{stem}-run-{run}-{name}",
            content_disposition_type=kind,
            headers={"Cache-Control": "private, no-cache"},
        )
