"""How Google's services are spoken to: credentials, sessions, second tries, and errors in one line.

Credentials come from the environment alone (https://cloud.google.com/docs/authentication), and go
to the host that was asked and to no other: a redirect is an error. Google's packages are imported
when they are needed.
"""

import contextlib
from collections.abc import Iterator
from urllib.parse import urlsplit

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
PATIENCE = 20.0  # seconds in which a broken connection is tried again
_GOOGLES = (".googleapis.com", ".vertexai.goog")  # the latter: an endpoint's own address
_CONNECT_SECONDS = 6  # until a machine without a network is told so


class CloudError(RuntimeError):
    """One line: what was asked for, what went wrong, what to do."""


def credentials(host: str):
    """What a host is told to let us in: the environment's credentials, and none for this machine.

    Args:
        host: an address with its scheme. What is not Google's, such as a stand-in on this machine,
            gets none.

    Raises:
        CloudError: the environment has none.
    """
    import google.auth
    from google.auth.credentials import AnonymousCredentials

    place = urlsplit(host)
    if place.scheme != "https" or not (place.hostname or "").endswith(_GOOGLES):
        return AnonymousCredentials()
    with told(host):
        return google.auth.default(scopes=[SCOPE])[0]


def session(host: str, given=None):
    """A session of `requests` that signs what it sends, and follows no redirect.

    Args:
        host: as in `credentials`.
        given: credentials, if not those of the environment.
    """
    from google.auth.transport.requests import AuthorizedSession

    made = AuthorizedSession(given or credentials(host))
    made.max_redirects = 0
    return made


def reach(host: str) -> None:
    """Fail at once where a host cannot be reached, before a client tries for minutes.

    Raises:
        CloudError: it cannot be reached.
    """
    import requests

    try:
        requests.head(host, timeout=_CONNECT_SECONDS, allow_redirects=False)
    except requests.RequestException as error:
        reason = "no answer" if isinstance(error, requests.Timeout) else "no connection"
        raise CloudError(f"{host}: {reason}: is this machine online?") from None


def again(patience: float | None = None):
    """A policy of google-api-core: what changes nothing when it is done twice is tried again.

    Broken connections, and answers that say "busy" or "not now".

    Args:
        patience: seconds; None for `PATIENCE`.
    """
    import requests
    from google.api_core import exceptions, retry

    seconds = PATIENCE if patience is None else patience
    passing = (
        requests.ConnectionError,
        requests.Timeout,
        ConnectionError,
        exceptions.TooManyRequests,
        exceptions.BadGateway,
        exceptions.ServiceUnavailable,
        exceptions.GatewayTimeout,
    )
    return retry.Retry(retry.if_exception_type(*passing), initial=0.2, timeout=seconds)


def timeout(seconds: float = 0) -> tuple[float, float]:
    """Seconds to connect, and between two pieces of an answer."""
    return _CONNECT_SECONDS, max(PATIENCE, seconds, 1)


@contextlib.contextmanager
def told(what: str) -> Iterator[None]:
    """Turn what Google's clients raise into one line of `CloudError`."""
    import requests
    from google.api_core import exceptions
    from google.auth import exceptions as auth

    try:
        yield
    except auth.DefaultCredentialsError:
        raise CloudError(
            f"{what}: no credentials in the environment: run `gcloud auth application-default "
            "login`, or name a service account's key in GOOGLE_APPLICATION_CREDENTIALS"
        ) from None
    except auth.GoogleAuthError as error:
        raise CloudError(f"{what}: the credentials do not work: {_line(error)}") from None
    except (exceptions.Unauthorized, exceptions.Forbidden) as error:
        raise CloudError(
            f"{what}: not allowed; docs/cloud.md lists the roles an account needs: {_line(error)}"
        ) from None
    except exceptions.NotFound as error:
        raise CloudError(f"{what}: there is no such thing: {_line(error)}") from None
    except requests.TooManyRedirects:
        raise CloudError(f"{what}: answered with a redirect, which is not followed") from None
    except (exceptions.RetryError, requests.RequestException, ConnectionError) as error:
        raise CloudError(
            f"{what}: the connection broke: the same command goes on from here: {_line(error)}"
        ) from None
    except exceptions.GoogleAPIError as error:
        raise CloudError(f"{what}: {_line(error)}") from None


def _line(error: Exception) -> str:
    return " ".join(str(getattr(error, "message", "") or error).split())[:300]
