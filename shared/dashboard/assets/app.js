// Copy buttons, local times and automatic refresh. All pages also work without this script.
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
    button.textContent = "Select and copy it";
  }
  setTimeout(() => { button.textContent = before; }, 2000);
});

// Refreshes the state of a webhook, more often while it is about to change. It is not replaced while it has the focus.
async function lookAgain() {
  const shown = document.querySelector("[data-refresh]");
  if (!shown) return;
  if (!document.hidden && !shown.contains(document.activeElement)) {
    try {
      const next = (await fetched(shown.dataset.refresh)).querySelector("[data-refresh]");
      if (next) await show(shown, next);
    } catch {
      // The request failed; the next refresh tries again.
    }
  }
  setTimeout(lookAgain, shown.dataset.every);
}

async function fetched(address) {
  const answer = await fetch(address, { credentials: "same-origin" });
  // Signed out, or deleted: the reloaded page says so.
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
  // After a change of state the other parts of the page are updated too, and once more at the next refresh, for work that
  // was in progress. The page is not reloaded, because a secret that is shown only once would disappear.
  if (!changed && !settling) return;
  settling = changed;
  const page = await fetched(location.href);
  document.title = page.title;
  for (const part of document.querySelectorAll("[data-part]")) {
    const anew = page.querySelector(`[data-part="${part.dataset.part}"]`);
    if (anew && !part.contains(document.activeElement)) replace(part, anew);
  }
}

// Replaces only the elements that differ, so that a screen reader announces only these.
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
