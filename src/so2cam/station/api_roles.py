"""Who asks, and whether they may, for single addresses of the interface."""

from collections.abc import Callable

from fastapi import HTTPException, Request

from so2cam.link.protocol import Role
from so2cam.link.tokens import Principal
from so2cam.station.access import Access, AccessRefusedError


def needs(access: Access, role: Role) -> Callable[[Request], Principal]:
    """Return a dependency that gives who asks, and refuses (403) whoever has a lower role."""

    def who_may(request: Request) -> Principal:
        who: Principal = request.state.principal
        try:
            access.require(who, role)
        except AccessRefusedError as error:
            raise HTTPException(error.status, error.message) from None
        return who

    return who_may
