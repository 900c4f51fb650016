"""A bare Django view, the measure of what HTTP costs: no middleware, no database, a JSON document."""

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="bench", MIDDLEWARE=[])
django.setup()


@csrf_exempt
def view(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"usage": {"id": 1}, "limit": None, "read": len(request.body)})


urlpatterns = [path("api/usage/events", view)]
application = get_wsgi_application()
