"""A state of the sandbox to come back to: what many short histories begin with."""

from stripe_sandbox.tests.in_process import InProcess


def test_it_is_as_it_was_as_often_as_one_likes():
    stripe = InProcess()
    stripe.begin(1_800_000_000)
    customer = stripe.post("/customers", email="ada@example.com")
    saved = stripe.sandbox.save_state()
    for _ in range(2):
        stripe.post(f"/customers/{customer['id']}", email="other@example.com")
        stripe.post("/customers", email="bob@example.com")
        stripe.sandbox.restore_state(saved)
        assert [one["email"] for one in stripe.found("customer")] == ["ada@example.com"]
        assert [one["type"] for one in stripe.found("event")] == ["customer.created"]
