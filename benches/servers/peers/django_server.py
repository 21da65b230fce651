"""Django REST framework API key with gunicorn, on SQLite: python django_server.py DIRECTORY STORED USED"""

import os
import signal
import sys

import django
from django.conf import settings

import common

directory, stored, used = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
settings.configure(
    ALLOWED_HOSTS=["*"],
    API_KEY_CUSTOM_HEADER="HTTP_X_AVALA_API_KEY",
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": f"{directory}/django.db",
            # One connection for each thread, in place of one for each request.
            "CONN_MAX_AGE": None,
            "OPTIONS": {"init_command": "PRAGMA journal_mode = WAL"},
        }
    },
    INSTALLED_APPS=["rest_framework", "rest_framework_api_key"],
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    REST_FRAMEWORK={
        "DEFAULT_AUTHENTICATION_CLASSES": [],
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
        "UNAUTHENTICATED_USER": None,
    },
    ROOT_URLCONF=__name__,
    SECRET_KEY="only the benchmark uses this secret",
    USE_TZ=True,
)
django.setup()

from datetime import timedelta  # noqa: E402

from django.core.management import call_command  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.db import connections  # noqa: E402
from django.urls import path  # noqa: E402
from django.utils import timezone  # noqa: E402
from gunicorn.app.base import BaseApplication  # noqa: E402
from rest_framework.response import Response  # noqa: E402
from rest_framework.views import APIView  # noqa: E402
from rest_framework_api_key.models import APIKey  # noqa: E402
from rest_framework_api_key.permissions import HasAPIKey  # noqa: E402


class Datasets(APIView):
    permission_classes = [HasAPIKey]

    def get(self, request):
        return Response({"ok": True})


urlpatterns = [path("datasets", Datasets.as_view())]


def create_keys() -> list[str]:
    call_command("migrate", verbosity=0)
    expiry = timezone.now() + timedelta(days=30)
    records = [APIKey(name=f"service {number}", expiry_date=expiry) for number in range(stored)]
    keys = [APIKey.objects.assign_key(record) for record in records]
    APIKey.objects.bulk_create(records)
    # A worker must not share a connection with this process.
    connections.close_all()
    return keys[:: stored // used]


class Gunicorn(BaseApplication):
    def load_config(self):
        options = {
            "bind": f"fd://{listener.fileno()}",
            "loglevel": "error",
            "threads": 8,
            "worker_class": "gthread",
            "workers": 2,
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self):
        return get_wsgi_application()


keys, listener = create_keys(), common.listen()
listener.set_inheritable(True)
common.when_input_ends(lambda: os.kill(os.getpid(), signal.SIGTERM))
packages = ["djangorestframework-api-key", "djangorestframework", "Django", "gunicorn"]
common.announce(packages, listener, keys)
Gunicorn().run()
