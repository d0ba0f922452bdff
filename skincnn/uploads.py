"""What is taken from a request: photographs, in memory, within limits that are checked first.

Nothing goes to disk: Starlette's own forms write files above 1 MB into temporary ones. The bytes
that clients send are trusted in nothing: type, size and names are what the content says.
"""

import base64
import binascii
import email.parser
import email.policy
import io
import json
import struct
from collections.abc import AsyncIterator
from typing import NamedTuple

from PIL import Image

from skincnn import images
from skincnn.limits import MB, Limits, Refused


class File(NamedTuple):
    """A part of a form that is a file."""

    name: str  # as the client calls it: shown to nobody else, never a path
    data: bytes


class Bodies:
    """Reads requests' bodies; all that are in memory at a time share one allowance."""

    def __init__(self, limits: Limits):
        self._limits = limits
        self._held = 0

    def hold(self) -> "Hold":
        return Hold(self)

    @property
    def held(self) -> int:
        """Bytes in memory."""
        return self._held


class Hold:
    """The share of one request, given back at the end of a `with` block."""

    def __init__(self, bodies: Bodies):
        self._bodies, self._size = bodies, 0

    def __enter__(self) -> "Hold":
        return self

    def __exit__(self, *_) -> None:
        self._bodies._held -= self._size

    async def read(self, stream: AsyncIterator[bytes], announced: str | None) -> bytes:
        """A request's body.

        Args:
            stream: its pieces.
            announced: its Content-Length, where it has one.

        Raises:
            Refused: too large (413), or there is no room beside the others (503).
        """
        limits = self._bodies._limits
        too_large = Refused(413, f"The request is larger than {limits.body_bytes // MB} MB.")
        if announced and announced.isdigit() and int(announced) > limits.body_bytes:
            raise too_large
        body = bytearray()
        async for piece in stream:
            self._size += len(piece)
            self._bodies._held += len(piece)
            if self._size > limits.body_bytes:
                raise too_large
            if self._bodies._held > limits.bodies_bytes:
                raise Refused(503, "Too many photographs are on their way. Try again.", 2)
            body += piece
        return bytes(body)


def form(body: bytes, content_type: str, limits: Limits) -> tuple[list[File], dict[str, str]]:
    """The files and the other fields of a multipart form (RFC 7578).

    Raises:
        Refused: not such a form (415), damaged (400), too many files or too large ones (413), or
            none (400).
    """
    boundary = _said(_header("content-type", content_type).get_boundary)
    if not content_type.lower().startswith("multipart/form-data"):
        raise Refused(415, "Send the photographs as files of a form (multipart/form-data).")
    if not boundary:
        raise Refused(400, "The form does not say what its parts are divided by (boundary).")
    line = b"--" + boundary.encode("latin-1", "replace")
    if not body.startswith(line) or body.rfind(b"\r\n" + line + b"--") < 0:
        raise Refused(400, "The form is damaged: it does not begin and end as one.")
    if body.count(b"\r\n" + line) > limits.files + 10:
        raise Refused(413, f"Too many files: at most {limits.files} photographs at a time.")
    files, fields = [], {}
    for part in body[len(line) :].split(b"\r\n" + line):
        if part.startswith(b"--"):
            break
        head, blank, content = part.partition(b"\r\n\r\n")
        if not blank or len(head) > limits.head_bytes:
            raise Refused(400, "The form is damaged: a part has no head.")
        said = _header("content-disposition", _disposition(head))
        name = _said(said.get_param, "name", header="content-disposition")
        file = _said(said.get_filename)
        if file is not None:
            files.append(File(str(file)[-200:], content))
        elif name and len(content) < 1000:
            fields[str(name)] = content.decode("utf-8", "replace")
    if not files:
        raise Refused(400, "There is no photograph in the form: send it as a file.")
    if len(files) > limits.files:
        raise Refused(413, f"Too many files: at most {limits.files} photographs at a time.")
    return files, fields


def _said(ask, *words, **named):
    """What a header says, unless it names a codec that the standard library stumbles over."""
    try:
        return ask(*words, **named)
    except (ValueError, LookupError):  # RFC 2231 lets whoever writes it name any codec
        raise Refused(400, "The form is damaged: a name in it cannot be read.") from None


def instances(body: bytes, content_type: str, limits: Limits) -> tuple[list[bytes], bool]:
    """The photographs of a prediction request, by rows or columns as TensorFlow Serving has them.

    `{"instances": [{"b64": "…"}, …]}`, where an instance may also name its input:
    `{"photograph": {"b64": "…"}}`; or `{"inputs": [{"b64": "…"}, …]}`, where the whole column may:
    `{"inputs": {"photograph": [{"b64": "…"}, …]}}`.

    Returns:
        The bytes of each, b"" for one that is no base64: it fails alone; and whether the answer is
        wanted by columns.

    Raises:
        Refused: not JSON (415, 400), of another form (400), too many (413).
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in ("application/json", "text/json", ""):
        raise Refused(415, "Send JSON (application/json).")
    if sum(body.count(sign) for sign in (b"{", b"[", b",")) > limits.json_parts:
        raise Refused(400, 'Too many parts. Send {"instances": [{"b64": "…"}]}.')
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        raise Refused(400, "This is not JSON.") from None
    asked = asked if isinstance(asked, dict) else {}
    columns = "inputs" in asked
    if columns and "instances" in asked:
        raise Refused(400, "Send instances, or inputs, not both.")
    some = asked.get("inputs" if columns else "instances")
    if columns and isinstance(some, dict) and len(some) == 1:
        (some,) = some.values()
    if not isinstance(some, list) or not some:
        form = '{"inputs": [{"b64": "…"}]}' if columns else '{"instances": [{"b64": "…"}]}'
        raise Refused(400, f"Send photographs in base64 as {form}.")
    if len(some) > limits.files:
        raise Refused(413, f"Too many instances: at most {limits.files} photographs at a time.")
    return [_decoded(instance) for instance in some], columns


def check(data: bytes, limits: Limits) -> int:
    """Look at what a file would cost before anything is decoded.

    Returns:
        How many pixels its header claims; 0 where there is none, which `images.decode` will tell.

    Raises:
        images.ImageProblem: it costs more than a photograph does.
    """
    if len(data) > limits.file_bytes:
        size, most = len(data) // MB + 1, limits.file_bytes // MB
        raise images.ImageProblem(f"file of {size} MB (limit {most} MB)")
    if data[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypavif"):
        raise images.ImageProblem("HEIC or AVIF: save the photograph as JPEG")
    # A marker of JPEG cannot stand among its pixels: this counts scans, a thumbnail's too. Each
    # costs the decoder all pixels again, and takes a file only some bytes.
    if data[:2] == b"\xff\xd8" and data.count(b"\xff\xda") > limits.scans:
        raise images.ImageProblem("JPEG with too many scans: not from a camera")
    if data[:2] in (b"II", b"MM") and _tiff_pieces(data) > limits.tiff_pieces:
        raise images.ImageProblem("TIFF in too many pieces: save it as JPEG")
    # Pillow decodes these in Python, a run at a time.
    if data[:2] == b"BM" and data[30:31] in (b"\1", b"\2") and len(data) > MB:
        raise images.ImageProblem("BMP with runs of pixels: save it as JPEG")
    try:
        with Image.open(io.BytesIO(data), formats=images.FORMATS) as picture:
            return picture.width * picture.height
    except Exception:
        return 0


def _tiff_pieces(data: bytes) -> int:
    """The most strips or tiles that the first directory of a TIFF lists."""
    order = "<" if data[:2] == b"II" else ">"
    try:
        if struct.unpack_from(order + "H", data, 2)[0] == 43:  # BigTIFF
            start = struct.unpack_from(order + "Q", data, 8)[0]
            count, entry, size = struct.unpack_from(order + "Q", data, start)[0], "HHQQ", 20
            start += 8
        else:
            start = struct.unpack_from(order + "I", data, 4)[0]
            count, entry, size = struct.unpack_from(order + "H", data, start)[0], "HHII", 12
            start += 2
        most = 0
        for number in range(min(count, 1000)):
            tag, _, pieces, _ = struct.unpack_from(order + entry, data, start + number * size)
            if tag in (273, 279, 324, 325):  # offsets and sizes of strips, of tiles
                most = max(most, pieces)
        return most
    except (struct.error, OverflowError):
        return 0


def _decoded(instance: object) -> bytes:
    if isinstance(instance, dict) and "b64" not in instance and len(instance) == 1:
        (instance,) = instance.values()
    text = instance.get("b64") if isinstance(instance, dict) else None
    if not isinstance(text, str):
        raise Refused(400, 'Each instance is a photograph in base64: {"b64": "…"}.')
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _disposition(head: bytes) -> str:
    """The value of a part's Content-Disposition."""
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-disposition":
            return value.strip().decode("utf-8", "replace")
    return ""


def _header(name: str, value: str) -> email.message.Message:
    # The older policy: it takes any text for a parameter, where the newer fails on some.
    clean = value.replace("\r", " ").replace("\n", " ")
    parser = email.parser.Parser(policy=email.policy.compat32)
    return parser.parsestr(f"{name}: {clean}\n\n", headersonly=True)
