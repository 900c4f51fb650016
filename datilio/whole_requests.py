"""What a client has sent is read, also where it is refused before anybody has looked at it.

The server closes a connection when it has answered and something is left on it, and does not always say so: the
client's next request on that connection is lost, though nothing was wrong with it.
"""

from collections.abc import Iterable
from typing import Any

from django.conf import settings

from datilio.machine_handler import StartResponse, WSGIApplication


def reading_all_of_it(application: WSGIApplication) -> WSGIApplication:
    """`application`, which leaves nothing unread of a body that is small enough to be taken."""

    def run(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        went_well = False

        def started(status: str, headers: list[tuple[str, str]], *args: Any) -> Any:
            nonlocal went_well
            went_well = status[0] == "2"
            return start_response(status, headers, *args)

        answer = application(environ, started)
        # Who did as asked has read it, and asking the server once more costs an event a tenth.
        if not went_well:
            _read_the_rest(environ)
        return answer

    return run


def _read_the_rest(environ: dict[str, Any]) -> None:
    length = environ.get("CONTENT_LENGTH") or ""
    # The server itself sees to it that it is a number. A longer body is not read for nobody: let it close.
    if length.isdecimal() and 0 < int(length) <= settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
        environ["wsgi.input"].read(int(length))
