"""The project's pages over HTTP, with static files, from a thread of this process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import uvicorn
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler, StaticFilesHandler
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler

from .polling import eventually
from .ports import HOST, free_port


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: a test that fails shows what it asked for."""


@contextmanager
def serving() -> Iterator[str]:
    """Serve the configured Django project and return its address."""
    application = StaticFilesHandler(WSGIHandler())
    server = make_server(HOST, 0, application, server_class=_Server, handler_class=_Quiet)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://{HOST}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)


#: What a strict project sends with every page (docs/dashboard.md).
POLICY = (
    b"default-src 'self'; img-src 'self' data:; style-src 'self'; script-src 'self'; connect-src 'self'; "
    b"frame-ancestors 'none'"
)


def _strict(application: Any) -> Any:
    async def answering(scope: Any, receive: Any, send: Any) -> None:
        async def sending(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"content-security-policy", POLICY)]
            await send(message)

        await application(scope, receive, sending)

    return answering


@contextmanager
def streaming() -> Iterator[str]:
    """As `serving`, over ASGI, where pages follow the stream of events, and under a strict policy."""
    port = free_port()
    application = _strict(ASGIStaticFilesHandler(ASGIHandler()))
    server = uvicorn.Server(
        uvicorn.Config(
            application, host=HOST, port=port, lifespan="off", log_level="error", timeout_graceful_shutdown=1
        )
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    eventually(lambda: server.started, within=30, what="uvicorn serves")
    try:
        yield f"http://{HOST}:{port}"
    finally:
        server.should_exit = True
        thread.join(timeout=10)
