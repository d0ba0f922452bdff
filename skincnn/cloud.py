"""Models in Cloud Storage, whole or not at all: `gs://bucket/folder` and back.

STORAGE_EMULATOR_HOST names a stand-in for Cloud Storage, which is sent no credentials.
"""

import contextlib
import os
import shutil
from pathlib import Path, PurePosixPath

from tqdm.auto import tqdm

from skincnn import artefact, gcp
from skincnn.gcp import CloudError

EMULATOR = "STORAGE_EMULATOR_HOST"
STORAGE = "https://storage.googleapis.com"
MODEL = "model"  # what a file is called up there, whatever it is called here
_CHUNK = 8 << 20  # bytes; what an interruption may lose


def fetch(uri: str, folder: str | Path) -> Path:
    """The model at an address of Cloud Storage, complete and with the right checksum.

    It grows in `.<name>.download` beside its place, goes on there where an earlier call was
    interrupted, and is moved once it is checked. One that is there already is not fetched again.

    Args:
        uri: `gs://bucket/folder` that holds one model, or `gs://bucket/folder/model.onnx`.
        folder: where it goes; made where it is missing.

    Returns:
        `folder/model.onnx`, `folder/model.tflite`, or the SavedModel's folder `folder/model`.

    Raises:
        CloudError: no such address, no model at it, not allowed, or no network.
        artefact.ArtefactError: what arrived is damaged, or not a sealed model.

    Example:
        >>> cloud.fetch("gs://bucket/skincnn/mole/0123456789ab", "models")
        PosixPath('models/model.onnx')
    """
    bucket, prefix = parse(uri)
    folder = Path(folder)
    with gcp.told(uri), _client() as client:
        blobs = _files(client, bucket, prefix, uri)
        place = folder / blobs[0][0] if len(blobs) == 1 else folder / MODEL
        alone = place.parent / f".{place.name}.download"
        if _is(place, blobs):
            return place
        for name, blob in blobs:
            _download(blob, alone / name if len(blobs) > 1 else alone / place.name)
    arrived = alone if len(blobs) > 1 else alone / place.name
    try:
        artefact.read(arrived)
    except artefact.ArtefactError as error:
        shutil.rmtree(alone)  # to go on from it would end here again
        raise artefact.ArtefactError(f"{uri}: {str(error).removeprefix(f'{arrived}: ')}") from None
    if place.is_dir():
        shutil.rmtree(place)
    os.replace(arrived, place)
    shutil.rmtree(alone, ignore_errors=True)
    return place


def put(path: str | Path, uri: str) -> str:
    """Copy a model to a folder of Cloud Storage. What is there already is not sent again.

    Args:
        path: a sealed model; its checksum is checked first.
        uri: `gs://bucket/folder`. A file is called `model.onnx` or `model.tflite` in it.

    Returns:
        The folder's address, without a slash at its end.

    Raises:
        artefact.ArtefactError: no such model, or a damaged one.
        CloudError: no such bucket, not allowed, or no network.
    """
    bucket, prefix = parse(uri)
    if not prefix:
        raise CloudError(f"{uri}: name a folder in the bucket, gs://{bucket}/FOLDER")
    path = Path(path)
    artefact.read(path)
    files = {MODEL + path.suffix.lower(): path}
    if path.is_dir():
        found = sorted(p for p in path.rglob("*") if p.is_file())
        found.sort(key=lambda p: p.name == artefact.SEAL)  # the last: with it the model is whole
        files = {p.relative_to(path).as_posix(): p for p in found}
    with gcp.told(uri), _client() as client:
        there = {b.name: b for b in _list(client, bucket, f"{prefix}/")}
        for name, file in files.items():
            _upload(client.bucket(bucket), f"{prefix}/{name}", file, there)
    return f"gs://{bucket}/{prefix}"


def remove(uri: str) -> list[str]:
    """Delete a folder of Cloud Storage; nothing where there is none.

    Returns:
        The addresses of what was deleted.

    Raises:
        CloudError: not allowed, or no network.
    """
    from google.api_core import exceptions

    bucket, prefix = parse(uri)
    if not prefix:
        raise CloudError(f"{uri}: that is a whole bucket; name a folder in it")
    gone = []
    with gcp.told(uri), _client() as client:
        for blob in _list(client, bucket, f"{prefix}/"):
            with contextlib.suppress(exceptions.NotFound):  # a first try was heard
                blob.delete(retry=_again(), timeout=gcp.timeout())
            gone.append(f"gs://{bucket}/{blob.name}")
    return gone


def parse(uri: str) -> tuple[str, str]:
    """Bucket and path of an address, the path without slashes at its ends.

    Raises:
        CloudError: no such form.
    """
    bucket, _, path = uri.removeprefix("gs://").partition("/")
    if not uri.startswith("gs://") or not bucket or any(c in uri for c in "*?[]\\"):
        raise CloudError(f"{uri!r}: an address in Cloud Storage is gs://BUCKET/FOLDER")
    return bucket, path.strip("/")


def stays_below(name: str) -> bool:
    """Whether an object's name, which is whatever somebody chose, is a path below any folder."""
    return not {"", ".", ".."} & set(name.split("/")) and not set(name) & {"\\", ":", "\0"}


# --- underneath ----------------------------------------------------------------------------------


def _client():
    # Else the client asks about the bucket too, beside what it is told, for traces nobody reads.
    os.environ.setdefault("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")
    from google.cloud import storage

    host = os.environ.get(EMULATOR, "")
    host = host if "://" in host or not host else f"http://{host}"
    gcp.reach(host or STORAGE)
    given = gcp.credentials(host or STORAGE)
    # The project says who pays for buckets that are made; none is made here.
    return storage.Client(project="none", credentials=given, _http=gcp.session(host, given))


def _list(client, bucket: str, prefix: str) -> list:
    return list(client.list_blobs(bucket, prefix=prefix, retry=_again(), timeout=gcp.timeout()))


def _files(client, bucket: str, prefix: str, uri: str) -> list[tuple]:
    """Name below the model's place, and object, of each file of the one model at an address."""
    if PurePosixPath(prefix).suffix.lower() in artefact.ENDINGS:
        name = PurePosixPath(prefix).name
        return [(name, b) for b in _list(client, bucket, prefix) if b.name == prefix] or _none(uri)
    start = f"{prefix}/" if prefix else ""
    found = [(blob.name.removeprefix(start), blob) for blob in _list(client, bucket, start)]
    found = [(name, blob) for name, blob in found if name and not name.endswith("/")]
    for name, _ in found:
        if not stays_below(name):
            raise CloudError(f"{uri}: {name!r} in it is no name of a model's file")
    if any(name == artefact.SEAL for name, _ in found):
        return found
    alone = [(n, b) for n, b in found if PurePosixPath(n).suffix.lower() in artefact.ENDINGS]
    if len(alone) != 1 or "/" in alone[0][0]:
        _none(uri, f"{len(alone)} models" if len(alone) > 1 else "no model")
    return alone


def _none(uri: str, what: str = "no model"):
    raise CloudError(
        f"{uri}: {what} there: name the folder, or the file, that `skincnn deploy` wrote"
    )


def _is(place: Path, blobs: list[tuple]) -> bool:
    """Whether a whole model stands at a place, and is the one in the cloud, told by check sums."""
    files = [place / name if len(blobs) > 1 else place for name, _ in blobs]
    if not all(file.is_file() for file in files):
        return False
    if any(_crc32c(f) != blob.crc32c for f, (_, blob) in zip(files, blobs, strict=True)):
        return False
    try:
        return bool(artefact.read(place))
    except artefact.ArtefactError:
        return False


def _crc32c(file: Path) -> str:
    """A file's check sum as Cloud Storage gives it."""
    import base64

    import google_crc32c

    total = google_crc32c.Checksum()
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            total.update(block)
    return base64.b64encode(total.digest()).decode()


def _download(blob, place: Path) -> None:
    """Fetch an object to a place, from where an earlier call got to."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.is_file() and place.stat().st_size == blob.size and _crc32c(place) == blob.crc32c:
        return
    part = place.with_name(f"{place.name}.{blob.generation}.part")
    got = part.stat().st_size if part.is_file() else 0
    bar = tqdm(total=blob.size, initial=got, unit="B", unit_scale=True, desc=place.name, delay=2)
    with part.open("ab") as stream, bar:
        while got < blob.size:
            piece = blob.download_as_bytes(
                start=got,
                end=min(got + _CHUNK, blob.size) - 1,
                raw_download=True,
                checksum=None,  # there is one of the whole, below
                if_generation_match=blob.generation,
                retry=_again(),
                timeout=gcp.timeout(),
            )
            stream.write(piece)
            got += len(piece)
            bar.update(len(piece))
    if _crc32c(part) != blob.crc32c:
        part.unlink()
        raise CloudError(f"gs://{blob.bucket.name}/{blob.name}: damaged on its way; try again")
    os.replace(part, place)


def _upload(bucket, name: str, file: Path, there: dict) -> None:
    """Send a file to an object, unless it is there."""
    from google.api_core import exceptions

    old = there.get(name)
    if old is not None and old.size == file.stat().st_size and old.crc32c == _crc32c(file):
        return
    blob = bucket.blob(name)
    # Only if nobody wrote it meanwhile: so a try that was heard can be made again.
    seen = old.generation if old is not None else 0
    try:
        size = file.stat().st_size
        with file.open("rb") as raw, tqdm.wrapattr(raw, "read", size, desc=name, delay=2) as stream:
            blob.upload_from_file(
                stream,
                size=size,
                if_generation_match=seen,
                checksum="crc32c",
                retry=_again(),
                timeout=gcp.timeout(),
            )
    except exceptions.PreconditionFailed:
        blob.reload(retry=_again(), timeout=gcp.timeout())
        if blob.crc32c != _crc32c(file):
            raise CloudError(
                f"gs://{bucket.name}/{name}: somebody else writes there; try again"
            ) from None


def _again():
    """As `gcp.again`, and as Storage's own client knows it."""
    from google.cloud.storage.retry import DEFAULT_RETRY

    return DEFAULT_RETRY.with_delay(initial=0.2).with_timeout(gcp.PATIENCE)
