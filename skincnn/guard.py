"""What stands before every route: keys, foreign pages, headers, counts, a net for errors.

Plain ASGI: it sees each request once, and none of its photographs.
"""

import hmac
import logging
import time
import traceback

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse

from skincnn.limits import Refused

log = logging.getLogger("skincnn.service")

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob:; connect-src 'self'; manifest-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Counts:
    """What `/metrics` tells; a registry of its own, so that two services do not add up."""

    def __init__(self):
        self.registry = CollectorRegistry()
        own = {"registry": self.registry}
        self.requests = Counter("skincnn_requests", "Requests.", ["route", "status"], **own)
        self.seconds = Histogram("skincnn_request_seconds", "Seconds a request.", ["route"], **own)
        self.photographs = Counter("skincnn_photographs", "Photographs.", ["outcome"], **own)
        self.batches = Histogram(
            "skincnn_batch_photographs", "Photographs a batch.", buckets=(1, 2, 4, 8, 16), **own
        )
        self.waiting = Gauge("skincnn_waiting_photographs", "Waiting for their batch.", **own)
        self.bodies = Gauge("skincnn_held_bytes", "Of requests in memory.", **own)
        ProcessCollector(**own)


def refusal(error: Refused) -> JSONResponse:
    """The answer to a request that is not answered."""
    headers = {"Cache-Control": "no-store"}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse({"error": error.sentence}, error.status, headers)


class Guard:
    """Wraps the application.

    Args:
        app: what answers.
        counts: where requests are counted.
        routes: paths that are counted by name; anything else is "other", so that a scanner's
            thousand guesses do not become a thousand time series.
        open_routes: paths that need no key.
        key: an API key, "" for none.
        origins: of other pages that may ask.
    """

    def __init__(self, app, counts: Counts, routes, open_routes, key: str = "", origins=()):
        self._app, self._counts, self._routes = app, counts, frozenset(routes)
        self._open, self._key, self._origins = frozenset(open_routes), key.encode(), origins

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        route = scope["path"] if scope["path"] in self._routes else "other"
        began, status = time.perf_counter(), 0

        async def headed(message):
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(raw=message.setdefault("headers", []))
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            self._admit(scope)
            await self._app(scope, receive, headed)
        except Refused as error:
            await refusal(error)(scope, receive, headed)
        except ClientDisconnect:
            status = status or 499
        except Exception as error:
            # The lines of code, not the message: it may quote what was sent.
            where = "".join(traceback.format_tb(error.__traceback__)[-3:])
            log.error("%s\n%s", type(error).__name__, where)
            if not status:
                sentence = "Something went wrong here, not with your photograph."
                await refusal(Refused(500, sentence))(scope, receive, headed)
        finally:
            self._counts.requests.labels(route, str(status)).inc()
            self._counts.seconds.labels(route).observe(time.perf_counter() - began)

    def _admit(self, scope) -> None:
        headers = Headers(scope=scope)
        # A page elsewhere can send forms to this one unasked, though not read the answer.
        if (
            scope["method"] == "POST"
            and headers.get("sec-fetch-site") in ("cross-site", "same-site")
            and headers.get("origin") not in self._origins
        ):
            raise Refused(403, "Another site's page may not ask this service.")
        if self._key and scope["path"] not in self._open and scope["method"] != "OPTIONS":
            said = headers.get("authorization", "")
            sent = said[7:] if said[:7].lower() == "bearer " else headers.get("x-api-key", "")
            if not hmac.compare_digest(sent.strip().encode(), self._key):
                raise Refused(401, "This service wants a key: Authorization: Bearer KEY.")
