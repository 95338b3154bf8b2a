// Copy buttons, times in the reader's zone, and automatic refresh. All pages also work without this script.
"use strict";

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

// --- Times -----------------------------------------------------------------------------------------------
// The local time, and how far away it is. The tooltip has the date, the zone and UTC.

const digits = { hour: "2-digit", minute: "2-digit", second: "2-digit" };
const ofToday = new Intl.DateTimeFormat(undefined, digits);
const ofOtherDays = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", ...digits });
const inFull = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });
const inWords = new Intl.RelativeTimeFormat("en", { style: "narrow" });
const units = [["day", 86_400], ["hour", 3600], ["minute", 60], ["second", 1]];

function away(time) {
  const seconds = Math.round((Date.parse(time.dateTime) - Date.now()) / 1000);
  const [unit, length] = units.find(([, length]) => Math.abs(seconds) >= length) ?? units.at(-1);
  return inWords.format(Math.trunc(seconds / length), unit);
}

function localise(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    const isToday = at.toDateString() === new Date().toDateString();
    time.title = `${inFull.format(at)}, ${time.textContent}`;
    const distance = document.createElement("span");
    distance.className = "away";
    // It changes all the time, and a screen reader would announce each change.
    distance.ariaHidden = "true";
    distance.textContent = away(time);
    time.replaceChildren(`${(isToday ? ofToday : ofOtherDays).format(at)} `, distance);
  }
  for (const part of root.querySelectorAll("[data-at]")) part.textContent = ofToday.format(new Date(part.dataset.at));
}

function countTimes() {
  for (const distance of document.querySelectorAll("time > .away")) distance.textContent = away(distance.parentElement);
}

// --- Refresh ---------------------------------------------------------------------------------------------
// A page with `data-every` is fetched again after so many milliseconds, and its parts that changed are updated. Nothing
// else is touched: a secret that is shown only once stays.

const main = document.getElementById("main");
const age = Object.assign(document.createElement("p"), { className: "age" });
let updated = Date.now();
let failed = false;

function showAge() {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const seconds = Math.round((Date.now() - updated) / 1000);
  age.textContent = `Updated ${seconds} s ago${failed ? "; the last refresh failed" : ""}. Times are in ${zone}.`;
}

async function refresh() {
  if (!document.hidden) {
    try {
      const page = await fetched(location.href);
      document.title = page.title;
      main.dataset.every = page.getElementById("main").dataset.every ?? main.dataset.every;
      for (const part of document.querySelectorAll("[data-part]")) {
        const next = page.querySelector(`[data-part="${part.dataset.part}"]`);
        if (next) update(part, next);
      }
      [updated, failed] = [Date.now(), false];
    } catch {
      failed = true;
    }
  }
  setTimeout(refresh, main.dataset.every);
}

async function fetched(address) {
  const answer = await fetch(address, { credentials: "same-origin" });
  // Signed out, or deleted: the reloaded page says so.
  if (answer.status === 401 || answer.status === 404) location.reload();
  if (!answer.ok) throw new Error(answer.statusText);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  localise(page);
  return page;
}

// Makes `shown` equal to `next`. Only what differs is replaced, so that a screen reader announces only that. What has the
// focus is never replaced.
function update(shown, next) {
  if (shown.isEqualNode(next)) return;
  if (shown.nodeName === "TIME" && shown.dateTime === next.dateTime) return;
  const isKeyed = next.firstElementChild?.dataset.key !== undefined;
  const isAlike = shown.nodeType === Node.ELEMENT_NODE && shown.nodeName === next.nodeName;
  if (!isAlike || (!isKeyed && shown.childNodes.length !== next.childNodes.length)) {
    if (!shown.contains(document.activeElement)) shown.replaceWith(next);
    return;
  }
  for (const name of new Set([...shown.getAttributeNames(), ...next.getAttributeNames()])) {
    // What the reader has opened stays open.
    if (name === "open") continue;
    if (next.hasAttribute(name)) shown.setAttribute(name, next.getAttribute(name));
    else shown.removeAttribute(name);
  }
  if (isKeyed) return updateList(shown, next);
  const after = [...next.childNodes];
  [...shown.childNodes].forEach((child, place) => update(child, after[place]));
}

// Updates the entries that are already shown. New ones wait while the reader points at the list, or has selected text in
// it, so that nothing moves away.
function updateList(shown, next) {
  const known = new Map([...shown.children].map((child) => [child.dataset.key, child]));
  const after = [...next.children].map((child) => {
    const before = known.get(child.dataset.key);
    if (before) update(before, child);
    return before?.isConnected ? before : child;
  });
  const selection = getSelection();
  const isRead = shown.matches(":hover") || shown.contains(document.activeElement)
    || (!selection.isCollapsed && shown.contains(selection.anchorNode));
  const isSame = after.length === shown.children.length && after.every((child, place) => child === shown.children[place]);
  if (!isRead && !isSame) shown.replaceChildren(...after);
}

localise(document);
setInterval(countTimes, 5000);
if (main.dataset.every) {
  main.append(age);
  showAge();
  setInterval(showAge, 1000);
  setTimeout(refresh, main.dataset.every);
}
