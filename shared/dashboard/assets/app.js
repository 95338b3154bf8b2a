// What a page does beyond its links and forms: copies, tells a time in the reader's own zone, looks again. Without it all pages work.
"use strict";

function localTimes(root) {
  const shown = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });
  for (const time of root.querySelectorAll("time[datetime]")) {
    time.title = shown.format(new Date(time.dateTime));
  }
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-copy]");
  if (!button) return;
  const text = document.getElementById(button.dataset.copy).textContent;
  const before = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Select it and copy";
  }
  setTimeout(() => { button.textContent = before; }, 2000);
});

// The state of a webhook is asked for again while it is about to change. Whoever has put the focus in it is left alone.
const EVERY = 1500;

async function lookAgain() {
  const old = document.querySelector("[data-refresh]");
  if (!old) return;
  if (!document.hidden && !old.contains(document.activeElement)) {
    try {
      const answer = await fetch(old.dataset.refresh, { credentials: "same-origin" });
      if (answer.status === 401) { location.reload(); return; }
      if (answer.ok) replace(old, await answer.text());
    } catch {
      // The network is away; the next look may find it.
    }
  }
  setTimeout(lookAgain, EVERY);
}

function replace(old, text) {
  const next = new DOMParser().parseFromString(text, "text/html").body.firstElementChild;
  if (!next || next.outerHTML === old.dataset.seen) return;
  next.dataset.seen = next.outerHTML;
  localTimes(next);
  old.replaceWith(next);
  // The rest of the page, its buttons too, is of the state before.
  if (next.className !== old.className) location.reload();
}

localTimes(document);
setTimeout(lookAgain, EVERY);
