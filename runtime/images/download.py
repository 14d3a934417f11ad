"""Images from the web, with limits on time and size."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from http.client import HTTPException
from typing import IO, Any

from ..errors import InputError

DEFAULT_TIMEOUT_S = 20.0
MAX_BYTES = 64 << 20

_BLOCK_BYTES = 1 << 16
_SCHEMES = ("http://", "https://")


def download(url: str, timeout: float | None, name: str, max_bytes: int = MAX_BYTES) -> bytes:
    """The bytes at an http or https address.

    Args:
        url: the address; redirects are followed to http and https only.
        timeout: seconds that all of it may take; None takes :data:`DEFAULT_TIMEOUT_S`.
        name: how messages call the image.
        max_bytes: most bytes that are read.

    Raises:
        InputError: it cannot be fetched, takes too long, or is too large.
    """
    timeout_s = DEFAULT_TIMEOUT_S if timeout is None else timeout
    request = urllib.request.Request(url, headers={"User-Agent": "headway"})
    opener = urllib.request.build_opener(_WebRedirects)
    deadline = time.monotonic() + timeout_s
    try:
        with opener.open(request, timeout=timeout_s) as response:
            return _read(response, max_bytes, deadline, name)
    except urllib.error.HTTPError as error:
        error.close()
        raise InputError(f"{name}: {url} answered {error.code} {error.reason}.") from error
    except urllib.error.URLError as error:
        raise InputError(f"{name}: {url} cannot be fetched: {error.reason}.") from error
    except TimeoutError as error:
        raise InputError(f"{name}: {url} took over {timeout_s:g} seconds. Pass a longer timeout=.") from error
    except (OSError, HTTPException, ValueError) as error:
        raise InputError(f"{name}: {url} cannot be fetched: {error}.") from error


def _read(response: IO[bytes], max_bytes: int, deadline: float, name: str) -> bytes:
    blocks = []
    num_bytes = 0
    while block := response.read(_BLOCK_BYTES):
        num_bytes += len(block)
        if num_bytes > max_bytes:
            raise InputError(f"{name} has over {max_bytes >> 20} MiB, the most that is fetched. Download it first.")
        if time.monotonic() > deadline:
            raise TimeoutError
        blocks.append(block)
    return b"".join(blocks)


class _WebRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects within the web, never to ftp or files."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        if not newurl.startswith(_SCHEMES):
            raise urllib.error.URLError(f"it leads to {newurl!r}, which is no http or https address")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
