"""Read what a request of the page has: its body, numbers in its query, the photograph in its path."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request


async def read_body(request: Request, limit: int) -> bytes:
    """Return the body; more than `limit` bytes are refused before they are read."""
    data = bytearray()
    try:
        async for chunk in request.stream():
            data += chunk
            if len(data) > limit:
                if limit < 1 << 20:
                    raise HTTPException(413, f"The request has more than {limit} bytes.")
                raise HTTPException(413, f"The file has more than {limit >> 20} MB.")
    except ClientDisconnect:
        raise HTTPException(400, "The connection ended before the end of the file.") from None
    return bytes(data)


def fraction(request: Request, name: str) -> float:
    """Return a number from 0 to 1 in the query."""
    try:
        value = float(request.query_params.get(name, ""))
    except ValueError:
        value = -1
    if not 0 <= value <= 1:
        raise HTTPException(400, f"{name} is a number from 0 to 1.")
    return value


def photo_id(request: Request) -> str:
    """Return the id of the photograph that the path names."""
    return str(request.path_params["photo_id"])
