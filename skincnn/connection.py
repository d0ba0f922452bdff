"""Whether somebody answers over the network, and in words why not."""

import threading
from collections.abc import Callable

from skincnn import atomic

PROBE_SECONDS = 6  # until a machine without a network is told so


class DownloadError(RuntimeError):
    """One line: what went wrong, what is left where, and how to get the set by hand."""


def reachable(address: str, name: str) -> None:
    """Say in seconds whether somebody answers at an address: clients try for minutes.

    Raises:
        DownloadError: nobody does; the message says why.
    """
    try:
        within(PROBE_SECONDS, ask, address)
    except OSError as error:
        raise DownloadError(explained(error, name)) from None


def ask(address: str) -> None:
    """One small question, whose answer is left unread; whatever goes wrong is an OSError."""
    import requests

    # Any answer will do, and requests knows of proxies, which a bare socket does not.
    requests.head(address, timeout=PROBE_SECONDS, allow_redirects=False)


def within(seconds: float, function: Callable, *args):
    """The function's result, or TimeoutError: looking up a name can hang without any limit."""
    outcome = {}

    def call() -> None:
        try:
            outcome["result"] = function(*args)
        except Exception as error:
            outcome["error"] = error

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError(f"no answer in {seconds:.0f} s")
    if "error" in outcome:
        raise outcome["error"]
    return outcome["result"]


def explained(error: Exception, who: str) -> str:
    """Why nothing came from `who`, in words; a DownloadError has them already."""
    if isinstance(error, DownloadError):
        return str(error)
    if isinstance(error, TimeoutError):
        return f"{who} cannot be reached ({error}): this machine seems to be offline"
    if isinstance(error, atomic.WriteError) or (isinstance(error, OSError) and error.strerror):
        return atomic.explained(error)

    import requests

    if isinstance(error, requests.exceptions.SSLError):
        return f"The certificate of {who} was not accepted (does this network have a proxy?)"
    if isinstance(error, requests.Timeout):
        return f"{who} cannot be reached (no answer in time): this machine seems to be offline"
    if isinstance(error, requests.ConnectionError):
        reasons = {
            "resolve": "its name is not known here",
            "refused": "connection refused",
            "proxy": "the proxy does not let it through",
            "unreachable": "no route to it",
        }
        said = str(error).lower()
        reason = next((why for word, why in reasons.items() if word in said), "connection broken")
        return f"{who} cannot be reached ({reason}): this machine seems to be offline"
    return f"The answer of {who} makes no sense ({type(error).__name__}: {error})"
