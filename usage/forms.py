"""Forms of the "try it" panel. `key` is made with the page, so that a double click counts once."""

from django import forms

MAX_PROMPT_LENGTH = 4000
MAX_ROWS = 1_000_000


class TryItForm(forms.Form):
    key = forms.RegexField(r"^[0-9a-f]{32}$", error_messages={"required": "Reload the page, then try again."})

    def first_error(self) -> str:
        return next(iter(self.errors.values()))[0]


class UploadForm(TryItForm):
    """The files themselves are measured by usage.uploads while they arrive."""


class PromptForm(TryItForm):
    prompt = forms.CharField(max_length=MAX_PROMPT_LENGTH, error_messages={"required": "Write a prompt first."})


class RowsForm(TryItForm):
    rows = forms.IntegerField(
        min_value=1, max_value=MAX_ROWS, error_messages={"required": "Say how many rows.", "invalid": "A whole number."}
    )
