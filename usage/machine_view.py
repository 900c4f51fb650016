"""Views for Datilio's own backends, which send thousands of requests a second: DRF's documents, none of its machinery.

DRF negotiates, wraps, parses and renders every request anew; for one event that costs more than counting it. A POST
goes past all that: API key, strict JSON, the view, JSON. Everything else (OPTIONS, 405) is left to DRF. Errors end in
datilio/error_rendering.py like everybody's.
"""

from datetime import datetime
from typing import Any

import orjson
from django.db import InterfaceError, OperationalError, connection
from django.http import HttpRequest, HttpResponse
from rest_framework.response import Response
from rest_framework.views import APIView

from datilio.error_rendering import as_domain_error, as_problem
from datilio.times import iso
from usage.authentication import ApiKeyAuthentication, MayWriteUsage
from usage.incoming import json_body
from usage.models import ApiKey

JSON = "application/json"


class MachineView(APIView):
    """A subclass has `post(request, body, api_key, **kwargs)`, which is idempotent: it is called again where the
    connection to the database turns out to be gone."""

    authentication_classes = [ApiKeyAuthentication]
    permission_classes = [MayWriteUsage]
    takes_a_body = True
    # Does what it does prove the API key (usage/api_keys.py)? Else the key is asked for with every request.
    proves_the_key = False

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.method != "POST":
            return super().dispatch(request, *args, **kwargs)
        # Django would ask the database whether it is still there, a round trip for every request. If it is not, the
        # first statement says so.
        connection.health_check_done = True
        try:
            try:
                return self._answer(request, **kwargs)
            except (OperationalError, InterfaceError):
                if connection.in_atomic_block or connection.is_usable():
                    raise
                connection.close()
                return self._answer(request, **kwargs)
        except Exception as exc:
            error = as_domain_error(exc)
            if error is None:
                raise
            return as_problem(error)

    def _answer(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        _, api_key = ApiKeyAuthentication().authenticate(request, may_remember=self.proves_the_key)
        MayWriteUsage.check(api_key)
        body = json_body(request) if self.takes_a_body else None
        return self.post(request, body, api_key, **kwargs)

    def post(self, request: HttpRequest, body: Any, api_key: ApiKey, **kwargs: Any) -> HttpResponse | Response:
        raise NotImplementedError


def json_answer(value: Any, status: int = 200) -> HttpResponse:
    return HttpResponse(encode(value), status=status, content_type=JSON)


def encode(value: Any) -> bytes:
    return orjson.dumps(value, default=_moment, option=orjson.OPT_PASSTHROUGH_DATETIME)


def _moment(value: Any) -> str | None:
    if isinstance(value, datetime):
        return iso(value)
    raise TypeError(type(value))
