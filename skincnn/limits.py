"""How much the service takes on: of one request, of one client, of all together. Standard library.

What is beyond a limit is refused before work is done on it, with a sentence for the person who
sent it.
"""

import dataclasses
import os

MB = 2**20


class Refused(ValueError):
    """A request that is not answered, and why.

    Args:
        status: of HTTP.
        sentence: for the person who sent the request.
        retry_after: seconds after which it may be worth another try.
    """

    def __init__(self, status: int, sentence: str, retry_after: int | None = None):
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.retry_after = retry_after


@dataclasses.dataclass(frozen=True)
class Limits:
    """What one process allows; the defaults are for two cores and 2 GB."""

    file_bytes: int = 20 * MB  # a photograph; a phone's 12 megapixels are 2 to 6 MB
    files: int = 16  # photographs a request
    body_bytes: int = 32 * MB  # a request, its other parts included
    bodies_bytes: int = 192 * MB  # of all requests that are being read or waiting together
    json_parts: int = 1000  # brackets and commas: an object costs twenty times what its text does
    scans: int = 40  # of a JPEG; cameras write 1, progressive files about 10, bombs thousands
    tiff_pieces: int = 20_000  # strips or tiles; each costs hundreds of bytes once it is listed
    large_pixels: int = 13_000_000  # pictures above are decoded one at a time: up to 1.5 GB each
    large: int = 8  # that may wait for it
    decoders: int = dataclasses.field(default_factory=lambda: min(4, os.cpu_count() or 1))
    places: int = 64  # photographs that may wait for the network
    batch: int = 8  # photographs the network is given at once
    overlays: int = 2  # overlays being made; each asks the network about a hundred photographs
    connections: int = 512
    head_bytes: int = 16 * 1024
    head_seconds: float = 10  # from the connection, or a request's first byte, to its last header
    silent_seconds: float = 10  # without a byte while a request's body, or our answer, is going
    body_seconds: float = 60  # for a whole body
    idle_seconds: int = 5  # that a connection is kept for another request
