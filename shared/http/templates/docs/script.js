"use strict";
// The reference was a single page once. Forward old links to the page that has the part now.
const moved = document.querySelector(`li[id="${CSS.escape(location.hash.slice(1))}"] > a[href^="docs/"]`);
if (moved) location.replace(moved.href);
for (const example of document.querySelectorAll("pre")) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy";
  button.className = "copy";
  button.setAttribute("aria-label", `Copy: ${example.getAttribute("aria-label")}`);
  button.addEventListener("click", async () => {
    let said = "Copied";
    try {
      await navigator.clipboard.writeText(example.textContent);
    } catch {
      said = "Press Ctrl+C";
      getSelection().selectAllChildren(example);
    }
    button.textContent = said;
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });
  example.before(button);
}
