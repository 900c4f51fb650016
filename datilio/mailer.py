"""One mail, text and HTML, handed to the mail server. Who calls decides when it is tried again."""

import smtplib

from django.core.mail import EmailMultiAlternatives

# What a mail server that is down, slow or unwilling raises.
MAIL_SERVER_FAILED = (smtplib.SMTPException, OSError)


def send(
    subject: str, text: str, html: str, recipients: list[str], *, sender: str | None = None, message_id: str = ""
) -> None:
    """html: "" for none. sender: None is DEFAULT_FROM_EMAIL. Raises one of MAIL_SERVER_FAILED."""
    headers = {"Message-ID": message_id} if message_id else {}
    mail = EmailMultiAlternatives(subject, text, sender, recipients, headers=headers)
    if html:
        mail.attach_alternative(html, "text/html")
    mail.send()
