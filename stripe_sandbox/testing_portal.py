"""The Customer Portal in the words of tests: `stripe.portal(session).cancel()`.

Each method does what a button of the page does, at once and without HTTP, and returns what it concerned as the API
shows it. `subscription` may be left out while the customer has one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .lifecycle import billing_portal as life
from .store import Document

if TYPE_CHECKING:
    from .testing import SandboxServer


class CustomerPortal:
    """One open session of the portal."""

    def __init__(self, server: SandboxServer, session: Any) -> None:
        self._server = server
        self._sandbox = server.sandbox
        self._session_id: str = session if isinstance(session, str) else session["id"]

    @contextmanager
    def _visit(self) -> Iterator[Document]:
        """The session, within one transaction and on its customer's timeline."""
        with self._server.acting(), self._sandbox.transaction():
            session = self._sandbox.get("billing_portal.session", self._session_id)
            with self._sandbox.in_time_of(life.customer_of(self._sandbox, session)):
                yield session

    def _subscription(self, session: Document, subscription: Any) -> Document:
        if subscription is None:
            [found] = life.subscriptions_of(self._sandbox, session)
            return found
        subscription_id = subscription if isinstance(subscription, str) else subscription["id"]
        return life.subscription_at(self._sandbox, session, subscription_id)

    def cancel(
        self, subscription: Any = None, *, feedback: str | None = None, comment: str | None = None
    ) -> dict[str, Any]:
        """Cancel at the period's end, or at once where the configuration says so."""
        with self._visit() as session:
            found = self._subscription(session, subscription)
            return self._sandbox.render(life.cancel(self._sandbox, session, found, feedback, comment))

    def keep(self, subscription: Any = None) -> dict[str, Any]:
        """ "Don't cancel plan"."""
        with self._visit() as session:
            return self._sandbox.render(life.keep(self._sandbox, session, self._subscription(session, subscription)))

    def change_plan(self, price: Any, subscription: Any = None, *, challenge: str = "succeed") -> dict[str, Any]:
        """Change to a price of the configuration; returns the subscription. Raises CardDeclined.

        `challenge` ("succeed" or "fail") answers a card that asks for 3D Secure.
        """
        price_id = price if isinstance(price, str) else price["id"]
        with self._visit() as session:
            found = self._subscription(session, subscription)
            intent = life.change_plan(self._sandbox, session, found, price_id)
        if intent:
            self._server.authenticate(intent, challenge)
        return self._server.get(found["id"])

    def keep_plan(self, subscription: Any = None) -> dict[str, Any]:
        """Undo a change of plan that waits for the period's end."""
        with self._visit() as session:
            found = self._subscription(session, subscription)
            life.keep_plan(self._sandbox, session, found)
            return self._sandbox.render(found)

    def change_card(
        self, card: str = "4242424242424242", *, challenge: str = "succeed", pays: bool = True
    ) -> dict[str, Any]:
        """Add a card by its number, which (with `pays`) pays all future bills. Raises CardDeclined."""
        with self._visit() as session:
            intent = life.add_card(self._sandbox, session, self._server.card_details(card), {}, pays=pays)
        if intent["status"] == "requires_action":
            intent = self._server.authenticate(intent, challenge)
        return self._server.get(intent["payment_method"])

    def make_default(self, card: Any) -> None:
        """Let another saved card (an id or an object) pay all future bills."""
        with self._visit() as session:
            life.make_default(self._sandbox, session, self._card(session, card))

    def remove_card(self, card: Any) -> None:
        with self._visit() as session:
            life.remove_card(self._sandbox, session, self._card(session, card))

    def _card(self, session: Document, card: Any) -> Document:
        return life.card_at(self._sandbox, session, card if isinstance(card, str) else card["id"])

    def change_details(self, **details: Any) -> dict[str, Any]:
        """Change name=, email=, phone= or address={...}; returns the customer."""
        with self._visit() as session:
            return self._sandbox.render(life.change_details(self._sandbox, session, details))
