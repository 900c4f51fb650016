"""Every change of state, and the events that tell it, in Stripe's order (README.md numbers the sequences).

    customers.py           make a customer
    payment_methods.py     make a card, attach it, let it go
    setup_intents.py       save a card when nothing is due
    payments.py            charge a payment method: intents, charges, declines, 3D Secure, refunds
    invoicing.py           draft, finalize, pay, fail, void an invoice
    subscriptions.py       start, activate, schedule the end of, cancel a subscription
    checkout_sessions.py   pay, refuse, expire a Checkout Session
    hosted_invoices.py     pay an invoice on its page
    billing_portal.py      what a customer does in the Customer Portal; billing_portal_configurations.py: what they may

Resources parse a request and call these; the hosted pages and the clock's due work call them too.
"""
