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

const zone = document.querySelector("select#zone[data-propose]");
if (zone) {
  const own = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (own !== zone.value && [...zone.options].some((option) => option.value === own)) {
    zone.value = own;
    document.getElementById("zone-help").textContent = `Your browser is in ${own}. Press the button to see times in it.`;
  }
}
