"""The mails about plans, for staff: what was told to whom and when, and what waits."""

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from billing import emails, outbox
from billing.models import BillingMail
from datilio.read_only_admin import ReadOnlyAdmin


@admin.register(BillingMail)
class BillingMailAdmin(ReadOnlyAdmin):
    """What customers were told, and what still waits."""

    list_display = ("created_at", "user", "kind", "sent_at", "attempts", "try_after")
    list_filter = ("kind", ("sent_at", admin.EmptyFieldListFilter))
    list_select_related = ("user",)
    search_fields = ("user__email", "key")
    date_hierarchy = "created_at"
    fields = ("user", "kind", "subject", "text", "key", "created_at", "sent_at", "attempts", "try_after")
    actions = ("send_now",)

    @admin.display
    def subject(self, mail: BillingMail) -> str:
        return emails.write(mail.kind, mail.facts).subject

    @admin.display
    def text(self, mail: BillingMail) -> str:
        return emails.write(mail.kind, mail.facts).text

    @admin.action(description="Send now what was not sent yet")
    def send_now(self, request: HttpRequest, mails: QuerySet[BillingMail]) -> None:
        count = outbox.try_again(mails)
        self.message_user(request, f"{count} mail(s) are tried again.", messages.SUCCESS)
