"""A file that somebody downloads, piece by piece: for the API and the dashboard."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import IO

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import FileResponse, HttpRequest

__all__ = ["Download"]

_PIECE_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Download:
    """A file, the name under which it is saved, and its media type."""

    file: IO[bytes]
    name: str
    media_type: str

    def response(self, request: HttpRequest) -> FileResponse:
        """The file as the answer to a request; it is closed with the answer."""
        answer = FileResponse(self.file, as_attachment=True, filename=self.name, content_type=self.media_type)
        if isinstance(request, ASGIRequest):
            # Django reads the whole of a file into memory there before it sends any.
            answer.streaming_content = self._later()
        return answer

    async def _later(self) -> AsyncIterator[bytes]:
        while piece := await sync_to_async(self.file.read)(_PIECE_BYTES):
            yield piece
