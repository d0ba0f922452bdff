"""A public set's archive from Kaggle: found by its own client (`kagglehub`), resumed, checked.

No account is needed.
"""

import dataclasses
import hashlib
from pathlib import Path

from tqdm.auto import tqdm

from skincnn import connection
from skincnn.connection import DownloadError

_CHUNK = 1 << 16  # bytes; what an interruption may lose
_LOCATE_SECONDS = 60  # two small requests, and on Colab perhaps a question about a stored secret
_TIMEOUT = (5, 30)  # seconds to connect, and between two pieces of the archive


@dataclasses.dataclass(frozen=True)
class Archive:
    """Where a set's archive lies and what it must be."""

    url: str  # signed, good for a while
    version: int
    size: int | None  # bytes, where the server says
    md5: str | None  # base64, where the server says


def locate(handle: str) -> Archive:
    """Ask Kaggle for a set's current version and for the address of its archive.

    Args:
        handle: owner/name of the set.

    Raises:
        DownloadError: no `kagglehub`, or the answer is somebody else's.
        OSError: Kaggle cannot be reached or refuses; `explained` has the words.
    """
    try:
        import kagglehub.clients  # noqa: F401
    except ImportError as error:
        raise DownloadError(
            f'kagglehub is needed to download ({error}): pip install "skincnn[train]"'
        ) from None
    connection.within(connection.PROBE_SECONDS, _probe)
    return connection.within(_LOCATE_SECONDS, _locate, handle)


def transfer(archive: Archive, path: Path, progress: bool) -> None:
    """Fetch what `path` does not hold yet of the archive, then check size and MD5."""
    import requests
    from kagglehub.integrity import to_b64_digest, update_hash_from_file

    have = path.stat().st_size if path.exists() else 0
    if archive.size is None or have != archive.size:
        headers = {"Accept-Encoding": "identity"}  # bytes of the file, or a range means nothing
        if 0 < have < (archive.size or have + 1):
            headers["Range"] = f"bytes={have}-"
        with requests.get(archive.url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
            response.raise_for_status()
            have = have if response.status_code == requests.codes.partial_content else 0
            bar = tqdm(
                desc="downloading",
                total=archive.size,
                initial=have,
                unit="B",
                unit_scale=True,
                disable=not progress,
            )
            with bar, path.open("ab" if have else "wb") as out:
                try:
                    for chunk in response.iter_content(_CHUNK):
                        out.write(chunk)
                        bar.update(len(chunk))
                except requests.RequestException:
                    total = f" of {archive.size / 1e6:,.0f}" if archive.size else ""
                    raise DownloadError(
                        f"the connection was lost after {out.tell() / 1e6:,.0f}{total} MB, kept "
                        f"in {path.parent}: run it again to go on from there"
                    ) from None

    fault = ""
    if archive.size is not None and path.stat().st_size != archive.size:
        fault = f"{path.stat().st_size:,} bytes instead of {archive.size:,}"
    elif archive.md5 is not None:
        digest = hashlib.md5(usedforsecurity=False)
        update_hash_from_file(digest, path)
        if to_b64_digest(digest) != archive.md5:
            fault = "its MD5 is not the server's"
    if fault:
        path.unlink()
        raise DownloadError(f"the archive is damaged ({fault}) and was deleted: run it again")


def explained(error: Exception) -> str:
    """Why nothing came from Kaggle, in words."""
    response = getattr(error, "response", None)  # of the client's errors and of requests'
    if response is not None:
        status = response.status_code
        hint = "try again later"
        if status in (401, 403):
            hint = "the set is public: is there an old token in ~/.kaggle or KAGGLE_API_TOKEN?"
        elif status == 404:
            hint = "the set is not there any more"
        return f"Kaggle answered HTTP {status} ({hint})"
    return connection.explained(error, "Kaggle")


def _probe() -> None:
    """Raise where Kaggle cannot be reached: its client sets no time limit of its own."""
    from kagglesdk import kaggle_env

    connection.ask(kaggle_env.get_endpoint(kaggle_env.get_env()))


def _locate(handle: str) -> Archive:
    # Not `kagglehub.dataset_download`: with `output_dir` it refuses to resume, it appends whatever
    # answers the resumed request, an error page included, it never checks an archive it finds
    # complete, and it gives no say in how that is unpacked.
    from kagglehub.clients import build_kaggle_client
    from kagglehub.integrity import get_md5_checksum_from_response
    from kagglesdk.datasets.types import dataset_api_service as messages

    question, order = messages.ApiGetDatasetRequest(), messages.ApiDownloadDatasetRequest()
    for message in (question, order):
        message.owner_slug, message.dataset_slug = handle.split("/")
    with build_kaggle_client() as client:
        api = client.datasets.dataset_api_client
        try:
            order.dataset_version_number = api.get_dataset(question).current_version_number
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            # Hotels and schools answer every address with a page of their own.
            raise DownloadError(f"the answer is not Kaggle's ({type(error).__name__})") from error
        # Redirected to the storage; the body is left unread and fetched with a time limit below.
        with api.download_dataset(order) as response:
            return Archive(
                url=response.url,
                version=order.dataset_version_number,
                size=int(response.headers.get("Content-Length", 0)) or None,
                md5=get_md5_checksum_from_response(response),
            )
