"""Routes that run without FastAPI's dependency machinery and the layers that it and Starlette put around a route:
together they cost as much as a submission itself."""

from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any

from fastapi import Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.middleware import Middleware
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway import problems
from gateway.dependencies import authenticated


class HotRoute(APIRoute):
    """For endpoints whose parameters are path parameters, `request`, `principal` and `parts`. The document is made
    from the same signature."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        endpoint = self.endpoint

        async def handle(request: Request) -> Response:
            given = {"principal": authenticated(request), "parts": request.app.state.parts}
            answer: Response = await endpoint(request=request, **given, **request.path_params)
            return answer

        return handle


class HotPath:
    """Answers hot routes by itself, through `layers`, and lets everything else pass to `app`."""

    def __init__(self, app: ASGIApp, routes: Iterable[BaseRoute], layers: Sequence[Middleware]) -> None:
        self._app = app
        self._routes = [
            (route, _within(layers, _answering(route))) for route in routes if isinstance(route, HotRoute)
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            for route, answer in self._routes:
                if scope["method"] in (route.methods or ()) and (found := route.path_regex.match(scope["path"])):
                    scope["route"], scope["path_params"] = route, found.groupdict()
                    await answer(scope, receive, send)
                    return
        await self._app(scope, receive, send)


def _answering(route: HotRoute) -> ASGIApp:
    handle = route.get_route_handler()

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            response = await handle(request)
        except Exception as error:  # noqa: BLE001  # what nobody foresaw is raised again
            response = problems.response(request, problems.problem_of(error))
        await response(scope, receive, send)

    return answer


def _within(layers: Sequence[Middleware], app: ASGIApp) -> ASGIApp:
    for layer, args, options in reversed(layers):
        app = layer(app, *args, **options)
    return app
