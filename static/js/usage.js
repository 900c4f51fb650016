// Keeps the usage page fresh while somebody looks at it, and proposes the browser's time zone. It works without this.
const EVERY = 10_000;

function ask() {
  if (document.visibilityState !== "visible") return;
  document.getElementById("usage-live")?.dispatchEvent(new CustomEvent("usage-refresh"));
}

setInterval(ask, EVERY);
document.addEventListener("visibilitychange", ask);

// Who hears the page is told of a new warning, and of nothing else: numbers move all the time.
let said = document.getElementById("usage-live")?.dataset.said;
document.addEventListener("htmx:afterSettle", () => {
  const now = document.getElementById("usage-live")?.dataset.said;
  if (now === undefined || now === said) return;
  said = now;
  document.getElementById("usage-said").textContent = now;
});

// The newest rows of the history. A row that stands there stays the same element, and what is below what is new stays
// where it is on the screen once somebody has scrolled past the table's head: who reads, marks or hears is not moved.
const MOST_ROWS = 200;
const A_MINUTE = 60_000;
let saidOfRowsAt = 0;

function rowsOf(element) {
  return [...element.querySelectorAll("tr[data-id]")];
}

function putIn(fresh, rows) {
  let next = rows[0];
  let count = 0;
  for (const row of fresh) {
    const same = rows.find((one) => one.dataset.id === row.dataset.id);
    if (same) {
      next = same.nextElementSibling;
    } else {
      rows[0].parentElement.insertBefore(row, next);
      count += 1;
    }
  }
  return count;
}

function keepInPlace(body, change) {
  const head = body.querySelector("thead");
  const seen = [...rowsOf(body), document.getElementById("history-said")].find(
    (one) => one.getBoundingClientRect().bottom > 0,
  );
  if (!head || !seen || head.getBoundingClientRect().bottom > 0) return change();
  // Most browsers do it by themselves; not all, and not twice.
  const page = document.documentElement;
  page.style.overflowAnchor = "none";
  const before = seen.getBoundingClientRect().top;
  const changed = change();
  window.scrollBy(0, seen.getBoundingClientRect().top - before);
  requestAnimationFrame(() => page.style.removeProperty("overflow-anchor"));
  return changed;
}

function freshen() {
  const fresh = document.querySelector("#history-fresh[data-version]");
  const asked = document.querySelector("#history-asked [name=rows]");
  if (!fresh || !asked) return;
  const body = document.getElementById("history-body");
  const rows = rowsOf(body);
  const newRows = rowsOf(fresh);
  const known = new Set(rows.map((row) => row.dataset.id));
  const count = keepInPlace(body, () => {
    // With nothing in common there may be more between them.
    if (rows.length <= MOST_ROWS && newRows.some((row) => known.has(row.dataset.id))) return putIn(newRows, rows);
    body.replaceChildren(...fresh.childNodes);
    return newRows.length;
  });
  document.getElementById("history-csv").hidden = !newRows.length;
  asked.value = fresh.dataset.version;
  delete fresh.dataset.version;
  fresh.replaceChildren();
  if (!count || Date.now() - saidOfRowsAt < A_MINUTE) return;
  saidOfRowsAt = Date.now();
  document.getElementById("history-said").textContent = `New in the history: ${count === 1 ? "one use" : `${count} uses`}.`;
}

document.addEventListener("htmx:oobAfterSwap", freshen);

const zone = document.querySelector("select#zone[data-propose]");
if (zone) {
  const own = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (own !== zone.value && [...zone.options].some((option) => option.value === own)) {
    zone.value = own;
    document.getElementById("zone-help").textContent = `Your browser is in ${own}. Press the button to see times in it.`;
  }
}
