"""A Django project in one file: views of both kinds, forms, uploads, streams, sessions, the ORM."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import urlsplit

import django
from django.conf import settings

database = urlsplit(os.environ["DATABASE_URL"])
settings.configure(
    SECRET_KEY="for tests",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    USE_TZ=True,
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth"],
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.middleware.gzip.GZipMiddleware",
        "django.middleware.common.CommonMiddleware",
    ],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": database.path.lstrip("/"),
            "USER": database.username,
            "HOST": database.hostname,
            "PORT": database.port,
        }
    },
)
django.setup()

from django.core.asgi import get_asgi_application  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import (  # noqa: E402
    FileResponse,
    HttpRequest,
    HttpResponse,
    JsonResponse,
    StreamingHttpResponse,
)
from django.urls import path  # noqa: E402


def users(request: HttpRequest) -> HttpResponse:
    from django.contrib.auth.models import User

    if request.method == "POST":
        User.objects.create_user(request.POST["name"])
    return JsonResponse(sorted(User.objects.values_list("username", flat=True)), safe=False)


async def async_users(request: HttpRequest) -> HttpResponse:
    from django.contrib.auth.models import User

    names = [user.username async for user in User.objects.order_by("username")]
    return JsonResponse(names, safe=False)


def upload(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"size": request.FILES["file"].size, "note": request.POST["note"]})


async def stream(request: HttpRequest) -> StreamingHttpResponse:
    async def numbers() -> AsyncIterator[str]:
        for number in range(100):
            yield f"{number},"
            await asyncio.sleep(0)

    return StreamingHttpResponse(numbers())


def sync_stream(request: HttpRequest) -> StreamingHttpResponse:
    def numbers() -> Iterator[str]:
        yield from (f"{number}," for number in range(100))

    return StreamingHttpResponse(numbers())


def file(request: HttpRequest) -> FileResponse:
    return FileResponse(open(__file__, "rb"))


def big(request: HttpRequest) -> HttpResponse:
    return HttpResponse("compress me " * 1000)


def where(request: HttpRequest) -> HttpResponse:
    environ: dict[str, Any] = request.META
    return JsonResponse(
        {
            "path": request.path,
            "query": request.GET,
            "address": environ["REMOTE_ADDR"],
            "url": request.build_absolute_uri(),
            "kind": type(request).__name__,
        }
    )


urlpatterns = [
    path("users", users),
    path("async-users", async_users),
    path("upload", upload),
    path("stream", stream),
    path("sync-stream", sync_stream),
    path("file", file),
    path("big", big),
    path("where/<str:what>", lambda request, what: where(request)),
]

if "migrate" in os.environ.get("DJANGO_SETUP", ""):
    call_command("migrate", verbosity=0, stdout=sys.stderr)
    call_command("flush", verbosity=0, interactive=False)  # what another test has left

app = get_asgi_application()
wsgi = get_wsgi_application()
