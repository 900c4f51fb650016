"""The customer's whole journey through the API alone, each call printed. Run it beside `make run`: `make demo-api`."""

import json
import os
import secrets
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx

BASE_URL = os.environ.get("BASE_URL", f"http://127.0.0.1:{os.environ.get('PORT', '8000')}")
LOCAL_STRIPE = f"http://127.0.0.1:{os.environ.get('STRIPE_SANDBOX_PORT', '12111')}"
# An address of its own on every run: this client keeps cookies, the register and log-in answers are real.
EMAIL, PASSWORD = f"demo-{secrets.token_hex(4)}@datilio.example", f"demo-{secrets.token_urlsafe(12)}"
HIDDEN = {"password", "access_token", "Authorization"}


class Journey:
    def __init__(self) -> None:
        self.client = httpx.Client(timeout=30)
        self.step = 0

    def say(self, text: str) -> None:
        self.step += 1
        print(f"\n\033[1m{self.step}. {text}\033[0m" if sys.stdout.isatty() else f"\n{self.step}. {text}")

    def call(self, method: str, url: str, expect: int, body: Any = None, **headers: str) -> dict[str, Any]:
        """One call, printed; stops the journey when the status is not the expected one."""
        if url.startswith("/"):
            url = BASE_URL + url
        print(f"   → {method} {url}" + (f"  {json.dumps(_hide(body), ensure_ascii=False)}" if body is not None else ""))
        response = self.client.request(method, url, json=body, headers=headers)
        answer = response.json()
        print(f"   ← {response.status_code}  {_short(answer)}")
        if response.status_code != expect:
            sys.exit(f"   Expected {expect}. The journey stops here.")
        return answer


def _hide(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: "…" if k in HIDDEN else _hide(v) for k, v in value.items()}
    return value


def _short(answer: Any) -> str:
    text = json.dumps(_hide(answer), ensure_ascii=False)
    return text if len(text) <= 600 else text[:600] + " …"


def _api_key() -> str:
    """A key for metering, made as an operator would: with the project's own command."""
    manage = Path(__file__).resolve().parent.parent / "manage.py"
    made = subprocess.run(
        [sys.executable, str(manage), "create_api_key", f"demo {secrets.token_hex(3)}", "--scope", "usage:write"],
        capture_output=True,
        text=True,
        check=True,
    )
    return next(word for word in made.stdout.split() if word.startswith("datilio_"))


def wait_for_plans(client: httpx.Client) -> None:
    """`make run` answers before it says that it is running: its plans are published last."""
    for _ in range(120):
        if client.get(f"{BASE_URL}/api/plans").json()["plans"]:
            return
        time.sleep(0.5)
    sys.exit("   No plan is on sale. Has `make run` said that it is running? Else:  manage.py publish_catalog")


def main() -> None:
    journey = Journey()
    call, say = journey.call, journey.say
    try:
        journey.client.get(f"{BASE_URL}/healthz")
    except httpx.TransportError:
        sys.exit(f"Nothing answers at {BASE_URL}. Start `make run` in another terminal first.")

    say("Register and log in")
    call("POST", "/api/auth/register", 201, {"email": EMAIL, "password": PASSWORD})
    login = call("POST", "/api/auth/login", 200, {"email": EMAIL, "password": PASSWORD})
    me = {"Authorization": f"Bearer {login['access_token']}"}

    say("See the prices")
    wait_for_plans(journey.client)
    plans = call("GET", "/api/plans", 200)["plans"]
    pro = next(plan for plan in plans if plan["name"] == "DataPilot Pro")

    say("No plan yet")
    call("GET", "/api/user/plan", 200, **me)

    say("Buying without a card on file leads to Checkout")
    wanted = {"plan_id": pro["id"], "duration_months": 1}
    call("POST", "/api/purchase/plan", 402, wanted, **me)
    checkout_url = call("POST", "/api/create-checkout-session", 200, wanted, **me)["checkout_url"]
    session = checkout_url.rstrip("/").rsplit("/", 1)[-1].partition("?")[0].partition("#")[0]

    say("A declined card: the session stays open, there is no plan")
    call("POST", f"{LOCAL_STRIPE}/_sandbox/checkout/{session}/pay", 402, {"card": "4000000000000002"})
    call("GET", "/api/user/plan", 200, **me)

    say("The same session with 4242: paid")
    call("POST", f"{LOCAL_STRIPE}/_sandbox/checkout/{session}/pay", 200, {"card": "4242424242424242"})
    for _ in range(50):
        plan = journey.client.get(f"{BASE_URL}/api/user/plan", headers=me).json()["user_plan"]
        if plan:
            break
        time.sleep(0.2)  # the webhook is on its way
    call("GET", "/api/user/plan", 200, **me)

    say("Three uses, counted by Datilio's backend with an API key")
    backend = {"Authorization": f"Api-Key {_api_key()}"}
    user_id = login["user"]["id"]
    uses = [("file_upload", 1), ("ai_prompt", 1), ("synthetic_rows", pro["synthetic_rows_per_month"] - 10)]
    for feature, amount in uses:
        event = {"user_id": user_id, "feature": feature, "amount": amount, "key": f"{EMAIL}-{feature}"}
        call("POST", "/api/usage/events", 201, event, **backend)

    say("The same event again counts once")
    call("POST", "/api/usage/events", 200, event, **backend)

    say("Over the limit: refused, with the way to more")
    call("POST", "/api/usage/events", 402, event | {"amount": 11, "key": f"{EMAIL}-over"}, **backend)

    say("Usage, limits and warnings")
    call("GET", "/api/user/usage", 200, **me)

    say("What would Datilio Team cost now, and what would it change?")
    team = next(plan for plan in plans if plan["name"] == "Datilio Team")
    upgrade = {"plan_id": team["id"], "duration_months": 1}
    preview = call("POST", "/api/purchase/preview", 200, upgrade, **me)
    then = preview["next_bill"]
    print(f"   Now ${preview['total_now']:.2f}, then ${then['amount']:.2f} on {then['date']}")

    say("Upgrade: exactly that is charged")
    call("POST", "/api/purchase/plan", 200, upgrade | {"quote": preview["quote"]}, **me)
    bills = call("GET", "/api/user/invoices", 200, **me)["invoices"]
    if bills[0]["amount_paid"] != preview["total_now"]:
        sys.exit("   The bill is not what was quoted. The journey stops here.")

    say("Back to Pro at the period's end, and changed one's mind")
    call("POST", "/api/purchase/plan", 200, wanted, **me)
    call("POST", "/api/user/resume_plan", 200, **me)

    say("Cancel: access until the period's end")
    cancelled = call("POST", "/api/user/cancel_plan", 200, {"reason": "Just a demo"}, **me)
    print(f"\n   Access until {cancelled['user_plan']['end_date']}. That was the whole journey.")


if __name__ == "__main__":
    main()
