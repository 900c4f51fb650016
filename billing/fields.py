"""A JSON object kept in the order in which it was written."""

import json
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db import models


class OrderedJSONField(models.TextField):
    """JSON as text. PostgreSQL's jsonb sorts keys, and customers read the features of a plan in staff's order.

    For what is stored and shown whole: it has no key lookups.
    """

    def from_db_value(self, value: str | None, *args: Any) -> Any:
        return None if value is None else json.loads(value)

    def get_prep_value(self, value: Any) -> str | None:
        return None if value is None else json.dumps(value, ensure_ascii=False)

    def to_python(self, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value)
        except ValueError as exc:
            raise ValidationError("Enter valid JSON.", code="invalid") from exc

    def value_to_string(self, obj: models.Model) -> str:
        return json.dumps(self.value_from_object(obj), ensure_ascii=False)

    def formfield(self, **kwargs: Any) -> forms.Field:
        return models.Field.formfield(self, **{"form_class": forms.JSONField, **kwargs})
