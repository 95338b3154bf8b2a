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

// The state of a webhook is asked for again, often while it is about to change. Whoever has put the focus in it is left alone.
async function lookAgain() {
  const shown = document.querySelector("[data-refresh]");
  if (!shown) return;
  if (!document.hidden && !shown.contains(document.activeElement)) {
    try {
      const next = (await fetched(shown.dataset.refresh)).querySelector("[data-refresh]");
      if (next) await show(shown, next);
    } catch {
      // The network is away; the next look may find it.
    }
  }
  setTimeout(lookAgain, shown.dataset.every);
}

async function fetched(address) {
  const answer = await fetch(address, { credentials: "same-origin" });
  // Signed out, or deleted: the page itself says so.
  if (answer.status === 401 || answer.status === 404) location.reload();
  if (!answer.ok) throw new Error(answer.statusText);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  localTimes(page);
  return page;
}

let settling = false;

async function show(shown, next) {
  const state = (part) => part.querySelector("[data-state]").dataset.state;
  const changed = state(shown) !== state(next);
  shown.className = next.className;
  shown.dataset.every = next.dataset.every;
  replace(shown, next);
  // The rest is of the state before, and for one look more, of what was under way when it changed. It is not reloaded: that
  // would take away a secret that is shown only once.
  if (!changed && !settling) return;
  settling = changed;
  const page = await fetched(location.href);
  document.title = page.title;
  for (const part of document.querySelectorAll("[data-part]")) {
    const anew = page.querySelector(`[data-part="${part.dataset.part}"]`);
    if (anew && !part.contains(document.activeElement)) replace(part, anew);
  }
}

// Only what differs is replaced: a screen reader tells what has changed, and not all of it again.
function replace(shown, next) {
  const [before, after] = [[...shown.children], [...next.children]];
  if (before.length !== after.length) {
    shown.replaceChildren(...after);
    return;
  }
  before.forEach((child, place) => {
    if (!child.isEqualNode(after[place])) child.replaceWith(after[place]);
  });
}

localTimes(document);
setTimeout(lookAgain, document.querySelector("[data-refresh]")?.dataset.every);
