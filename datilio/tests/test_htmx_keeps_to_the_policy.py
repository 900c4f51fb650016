"""htmx would put a style element of its own into every page, and evaluate strings: the policy allows neither."""

import json
import re
from html import unescape

from django.template.loader import render_to_string


def test_it_is_told_so_before_it_starts(rf):
    page = render_to_string("_htmx.html", request=rf.get("/"))
    config = json.loads(unescape(re.search(r"name=\"htmx-config\" content='([^']+)'", page)[1]))
    assert (config["includeIndicatorStyles"], config["allowEval"]) == (False, False)
    assert page.index("htmx-config") < page.index("<script")
