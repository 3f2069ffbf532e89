"""Serves pictures and other files of the documentation."""

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import FileResponse

from so2cam.core.errors import InputError
from so2cam.web.manual import FILES, file_of
from so2cam.web.state import Pages


def add_manual_routes(app: FastAPI, pages: Pages) -> None:
    """Add the route; who may not look at pages gets nothing."""

    @app.get(f"{FILES}/{{name:path}}", include_in_schema=False)
    def manual_file(name: str, request: Request) -> FileResponse:
        if pages.door.visitor(request) is None:
            raise HTTPException(401, "sign in first")
        try:
            return FileResponse(file_of(name))
        except InputError:
            raise HTTPException(404, "there is no such file") from None
