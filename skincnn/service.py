"""The page and the service: one process that answers browsers, programs and Vertex AI.

    app = service.create(predictor.load("model.onnx"))

TensorFlow Serving's REST form (https://www.tensorflow.org/tfx/serving/api_rest), the contract of
Vertex AI's custom containers, `/health`, `/metrics`, and a page for people. What each address takes
and gives is described in `/openapi.json`, which `/docs` shows.
"""

import contextlib
import dataclasses
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from skincnn import __version__, api, config, images, uploads, verdict
from skincnn.answering import Answerer, sentence
from skincnn.guard import Counts, Guard, refusal
from skincnn.limits import Limits, Refused

PAGE = Path(__file__).parent / "page"
KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}
VERSION = "1"  # of the one model here; TensorFlow Serving's are numbers


@dataclasses.dataclass(frozen=True)
class Settings:
    """How the service is set up."""

    name: str = ""  # of the model in addresses; "" for its own
    # "" for none. Letters beyond ASCII arrive differently from each client, and space around a key
    # does not arrive: with such a key nobody would ever get in.
    api_key: str = ""
    origins: tuple[str, ...] = ()  # other pages that may ask
    health_route: str = "/health"
    predict_route: str = ""  # one more address to predict at: Vertex AI's
    limits: Limits = dataclasses.field(default_factory=Limits)

    def __post_init__(self):
        key = self.api_key
        if not (key.isascii() and key.isprintable() and key == key.strip()):
            raise ValueError("the API key: only ASCII letters, digits and signs, no space around")


def create(predictor, settings: Settings | None = None) -> FastAPI:
    """The application.

    Args:
        predictor: with `facts`, `pixels` and `verdicts`, as `predictor.Predictor`.
        settings: None for the defaults.

    Returns:
        An ASGI application; `listening.serve` listens with it.
    """
    settings = settings or Settings()
    counts = Counts()
    answerer = Answerer(predictor, settings.limits, counts.batches.observe)
    limits, name = settings.limits, settings.name or predictor.facts.name
    bodies = uploads.Bodies(limits)
    counts.waiting.set_function(lambda: answerer.batcher.waiting)
    counts.bodies.set_function(lambda: bodies.held)

    @contextlib.asynccontextmanager
    async def lifespan(_):
        yield
        answerer.close()

    app = FastAPI(
        title="skincnn",
        version=__version__,
        description=config.NOTICE,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )

    async def received(hold: uploads.Hold, request: Request) -> tuple[bytes, str]:
        body = await hold.read(request.stream(), request.headers.get("content-length"))
        return body, request.headers.get("content-type", "")

    async def answered(files: list[bytes]) -> list[dict]:
        with answerer.one_model() as facts:
            answers = await answerer.verdicts(files)
        told = []
        for answer in answers:
            good = not isinstance(answer, images.ImageProblem)
            counts.photographs.labels("answered" if good else "refused").inc()
            told.append(prediction(answer, facts.classes) if good else {"error": sentence(answer)})
        return told

    async def predict(request: Request) -> Response:
        with bodies.hold() as hold:
            body, kind = await received(hold, request)
            files, columns = await answerer.apart(uploads.instances, body, kind, limits)
            told = await answered(files)
        return reply({"outputs": by_columns(told)} if columns else {"predictions": told}, told)

    async def classify(request: Request) -> Response:
        with bodies.hold() as hold:
            body, kind = await received(hold, request)
            files, _ = await answerer.apart(uploads.form, body, kind, limits)
            told = await answered([file.data for file in files])
        named = [{"file": file.name} | answer for file, answer in zip(files, told, strict=True)]
        return reply({"model": name, "notice": config.NOTICE, "photographs": named}, told)

    async def occlusion(request: Request) -> Response:
        with bodies.hold() as hold:
            body, kind = await received(hold, request)
            files, fields = await answerer.apart(uploads.form, body, kind, limits)
            if len(files) > 1:
                raise Refused(400, "One photograph at a time.")
            overlay = await answerer.overlay(files[0].data, fields.get("label") or None)
        return Response(overlay, media_type="image/png")

    async def health() -> Response:
        if not answerer.batcher.alive:
            raise Refused(503, "The network does not answer.")
        return JSONResponse({"status": "ok", "model": name})

    async def status() -> Response:
        fine = {"error_code": "OK", "error_message": ""}
        state = {"version": VERSION, "state": "AVAILABLE", "status": fine}
        return JSONResponse({"model_version_status": [state]})

    async def metadata() -> Response:
        return JSONResponse(
            {"model_spec": {"name": name, "version": VERSION}, "metadata": about(predictor.facts)}
        )

    async def model() -> Response:
        takes = {"file_bytes": limits.file_bytes, "files": limits.files}
        return JSONResponse({"name": name, **about(predictor.facts), "limits": takes})

    async def metrics() -> Response:
        return Response(generate_latest(counts.registry), media_type=CONTENT_TYPE_LATEST)

    here, version = f"/v1/models/{name}", f"/versions/{VERSION}"
    routes = {
        "GET": {
            "/health": health,
            settings.health_route: health,
            "/metrics": metrics,
            "/api/model": model,
            here: status,
            here + version: status,
            here + "/metadata": metadata,
            f"{here}{version}/metadata": metadata,
        },
        "POST": {
            "/api/classify": classify,
            "/api/occlusion": occlusion,
            f"{here}:predict": predict,
            f"{here}{version}:predict": predict,
        },
    }
    if settings.predict_route:
        routes["POST"][settings.predict_route] = predict
    for method, paths in routes.items():
        for path, endpoint in paths.items():
            app.add_api_route(path, endpoint, methods=[method], **api.described(endpoint))
    files = _files()
    for path, (content, kind) in files.items():
        app.add_api_route(path, _file(content, kind), include_in_schema=False)

    @app.exception_handler(Refused)
    async def refused(_, error):
        # Its frames hold the request, and that of JSON its text, until the next collection.
        error.__traceback__ = error.__context__ = None
        return refusal(error)

    @app.exception_handler(HTTPException)
    async def unknown(request, error):
        text = f"There is nothing at this address. The model here is at {here}."
        if error.status_code == 405:
            text = f"This address does not take {request.method}."
        return JSONResponse({"error": text}, error.status_code, error.headers)

    app.add_middleware(
        Guard,
        counts=counts,
        routes=[*routes["GET"], *routes["POST"], *files],
        open_routes=["/health", settings.health_route, "/openapi.json", *files],
        key=settings.api_key,
        origins=settings.origins,
    )
    if settings.origins:  # around the guard: its refusals are to be read too
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "X-API-Key"],
        )
    return app


def prediction(answer: verdict.Verdict, classes: list[str]) -> dict:
    """A verdict as JSON has it; what does not apply is null."""
    return answer.told(classes) | {"notice": config.NOTICE}


def by_columns(told: list[dict]) -> dict[str, list]:
    """Answers as TensorFlow Serving gives them to `inputs`: a list an output, in one order.

    `error` is one of them: null where there is an answer, beside whose nulls it stands otherwise.
    """
    names = dict.fromkeys(name for one in told for name in [*one, "error"])
    return {name: [one.get(name) for one in told] for name in names}


def about(facts) -> dict:
    """What is known of the model, for people and programs."""
    return {
        "classes": facts.classes,
        "image_size": facts.image_size,
        "version": facts.version,
        "licence": facts.licence,
        "source": facts.source,
        "malignant_from": facts.malignant.get("threshold"),
        "tells_strangers": bool(facts.strangers),
        "notice": config.NOTICE,
    }


def reply(content: dict, told: list[dict]) -> Response:
    """The answer to several photographs: an error only where none of them could be answered."""
    if all("error" in one for one in told):
        return JSONResponse({"error": told[0]["error"], **content}, 422)
    return JSONResponse(content)


def _files() -> dict[str, tuple[bytes, str]]:
    """The page's files by path, all in memory."""
    found = {
        f"/{path.name}": (path.read_bytes(), KINDS[path.suffix])
        for path in sorted(PAGE.iterdir())
        if path.suffix in KINDS
    }
    for path, name in {"/": "/index.html", "/docs": "/docs.html"}.items():
        found[path] = found.pop(name)
    return found


def _file(content: bytes, kind: str):
    async def send() -> Response:
        # Asked again each time: an old page must not talk to a new service.
        return Response(content, media_type=kind, headers={"Cache-Control": "no-cache"})

    return send
