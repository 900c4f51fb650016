"""Measuring uploads without keeping them: the bytes of a file are counted and dropped, and reading stops at a limit."""

from typing import Any

from django.core.files.uploadhandler import FileUploadHandler, StopUpload
from django.http import HttpRequest

# As file managers show it. Those that mean 1,000,000 show a larger number, so nobody is refused what reads "25 MB".
MB = 2**20
# A browser that is cut off while it sends shows its own error page and never our answer; so a rest of this size is
# still read off. More than that is not worth it.
_READ_OFF = 64 * MB


class MeasuringUploadHandler(FileUploadHandler):
    """The only handler of its request; set it before POST is read.

    sizes: bytes of each file that came whole. too_large: bytes of the first file beyond `limit_bytes` (None: any
    size), as far as known; reading stopped there and later fields are missing.
    See https://docs.djangoproject.com/en/5.2/topics/http/file-uploads/#modifying-upload-handlers-on-the-fly
    """

    def __init__(self, request: HttpRequest, limit_bytes: int | None) -> None:
        super().__init__(request)
        self.limit_bytes = limit_bytes
        self.sizes: list[int] = []
        self.too_large: int | None = None
        self._seen = 0
        self._request_bytes = 0

    def handle_raw_input(
        self, input_data: Any, META: Any, content_length: int, boundary: bytes, encoding: str | None = None
    ) -> None:
        self._request_bytes = content_length

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        self._seen = 0

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        self._seen += len(raw_data)
        if self.limit_bytes is not None and self._seen > self.limit_bytes:
            # Nearly all of the request is this file: its length is the best guess at what was still to come.
            self.too_large = max(self._seen, self._request_bytes - sum(self.sizes))
            raise StopUpload(connection_reset=self._request_bytes > self.limit_bytes + _READ_OFF)

    def file_complete(self, file_size: int) -> None:
        self.sizes.append(file_size)
