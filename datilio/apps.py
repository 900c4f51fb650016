from django.apps import AppConfig


class DatilioConfig(AppConfig):
    """The project as an app: commands, system checks, template tags."""

    name = "datilio"

    def ready(self) -> None:
        # celery binds every shared_task to this app; checks registers the system checks.
        from datilio import celery, checks  # noqa: F401
