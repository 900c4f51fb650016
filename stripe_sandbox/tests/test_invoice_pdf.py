"""invoice_pdf: a PDF that readers open, with the number, the dates, the lines and the totals."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from stripe_sandbox import pdf


@pytest.fixture
def download(stripe, http):
    def get(invoice_id):
        return http.get(stripe.get(invoice_id)["invoice_pdf"].removeprefix(stripe.url))

    return get


def words(content):
    """The text that is drawn, a line each, and that a reader copies where it is another."""
    text = content.decode("cp1252")
    drawn = re.findall(r"\(((?:[^()\\]|\\.)*)\) Tj", text)
    read = [bytes.fromhex(one).decode("utf-16") for one in re.findall(r"ActualText <(\w+)>", text)]
    return [re.sub(r"\\(.)", r"\1", one) for one in drawn] + read


def check_structure(content):
    """Follow a reader's way: the trailer, the table of offsets, every object, every stream's length."""
    assert content.startswith(b"%PDF-1.4\n")
    assert content.endswith(b"%%EOF\n")
    table = int(re.search(rb"startxref\n(\d+)\n", content)[1])
    assert content[table : table + 5] == b"xref\n"
    offsets = [int(one) for one in re.findall(rb"(\d{10}) 00000 n \n", content[table:])]
    size = int(re.search(rb"/Size (\d+)", content[table:])[1])
    assert len(offsets) == size - 1
    for number, offset in enumerate(offsets, 1):
        assert content[offset:].startswith(b"%d 0 obj\n" % number)
    for stream in re.finditer(rb"<</Length (\d+)>>\nstream\n", content):
        assert content[stream.end() + int(stream[1]) :].startswith(b"\nendstream")
    for reference in re.findall(rb"(\d+) 0 R", content):
        assert 1 <= int(reference) < size


def test_it_tells_what_the_page_tells(stripe, download, subscription):
    invoice = stripe.get(subscription.latest_invoice)
    answer = download(invoice["id"])
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/pdf"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="Invoice-{invoice["number"]}.pdf"'
    check_structure(answer.content)
    told = words(answer.content)
    for part in (invoice["number"], "Ada Lovelace", "ada@example.com", "1 × Pro (at $29.00 / month)", "$29.00"):
        assert part in told
    assert any(one.startswith("Paid on ") for one in told)
    assert told[told.index("Amount due") + 1] == "$0.00"


def test_an_open_one_says_that_it_is_due(stripe, download, subscription):
    stripe.card_starts_failing(subscription.customer)
    stripe.advance(months=1, days=1)
    told = words(download(stripe.get(subscription.id)["latest_invoice"]).content)
    assert "Open: not paid yet" in told
    assert told[told.index("Amount due") + 1] == "$29.00"


def test_a_discount_and_a_balance_stand_between_subtotal_and_due(client, download, ada, pro, card_of_ada):
    card_of_ada("pm_card_visa")
    coupon = client.v1.coupons.create({"percent_off": 50, "duration": "once", "name": "Half off"})
    client.v1.customers.update(ada.id, {"balance": -1000})
    subscription = client.v1.subscriptions.create(
        {"customer": ada.id, "items": [{"price": pro.id}], "discounts": [{"coupon": coupon.id}]}
    )
    told = words(download(subscription.latest_invoice).content)
    pairs = dict(zip(told, told[1:], strict=False))
    assert pairs["Subtotal"] == "$29.00"
    assert pairs["Discount: Half off"] == "-$14.50"
    assert pairs["Total"] == "$14.50"
    assert pairs["From your balance"] == "-$10.00"
    assert pairs["Amount paid"] == "$4.50"


@pytest.mark.slow
def test_many_lines_go_on_on_further_pages(stripe, client, download, ada, card_of_ada):
    card_of_ada("pm_card_visa")
    draft = client.v1.invoices.create({"customer": ada.id})
    for number in range(40):
        client.v1.invoice_items.create(
            {
                "customer": ada.id,
                "invoice": draft.id,
                "amount": 100 + number,
                "currency": "usd",
                "description": f"Row {number}",
            }
        )
    client.v1.invoices.finalize_invoice(draft.id)
    content = download(draft.id).content
    check_structure(content)
    pages = int(re.search(rb"/Type /Pages /Count (\d+)", content)[1])
    assert pages >= 3
    told = words(content)
    assert [one for one in told if one.startswith("Row ")] == [f"Row {number}" for number in range(40)]
    assert told.count("Description") == pages


@pytest.mark.parametrize(
    ("name", "drawn"),
    [
        ("Zoë Müller & Söhne", "Zoë Müller & Söhne"),
        ("Łukasz Żółć", "Lukasz Zólc"),
        ("株式会社", "????"),
        ("A (b) \\ c", "A (b) \\ c"),
        ("€ £ – “x”", "€ £ – “x”"),
    ],
)
def test_every_name_can_be_read(client, stripe, download, subscription, ada, name, drawn):
    client.v1.customers.update(ada.id, {"name": name})
    stripe.advance(months=1, days=1)
    content = download(stripe.get(subscription.id)["latest_invoice"]).content
    check_structure(content)
    told = words(content)
    assert drawn in told
    assert name in told


def test_long_words_are_cut_to_the_room_they_have():
    lines = pdf.wrapped("x" * 200 + " end", 10, 100)
    assert "".join(lines).replace(" ", "") == "x" * 200 + "end"
    assert all(pdf.width(line, 10) <= 100 for line in lines)
    assert pdf.wrapped("", 10, 100) == []


@pytest.mark.skipif(shutil.which("pdftotext") is None, reason="poppler-utils is not installed")
def test_a_real_reader_opens_it(stripe, client, download, subscription, ada, tmp_path):
    client.v1.customers.update(ada.id, {"name": "Łukasz Żółć"})
    stripe.advance(months=1, days=1)
    invoice = stripe.get(stripe.get(subscription.id)["latest_invoice"])
    file = tmp_path / "invoice.pdf"
    file.write_bytes(download(invoice["id"]).content)
    read = subprocess.run(["pdftotext", "-layout", file, "-"], capture_output=True, text=True, timeout=30)
    assert read.returncode == 0
    assert read.stderr == ""
    for part in (invoice["number"], "Łukasz Żółć", "1 × Pro (at $29.00 / month)", "Paid on"):
        assert part in read.stdout
