// What the dashboard does in a browser beyond htmx: the theme switch, copy
// and print buttons, and times told in the reader's own zone. Every page works without.
(() => {
  "use strict";
  const root = document.documentElement;
  const themes = ["light", "dark"];
  let stored = null;
  try { stored = localStorage.getItem("theme"); } catch { /* storage is off */ }
  if (themes.includes(stored)) root.dataset.theme = stored;
  root.classList.add("js");

  const local = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });

  function prepare(scope) {
    for (const t of scope.querySelectorAll("time[datetime]:not([title])")) {
      const at = new Date(t.getAttribute("datetime"));
      if (!Number.isNaN(at.getTime())) t.title = local.format(at);
    }
  }

  // Commands in a guide get a button each; there the text is the block's own.
  function guides() {
    for (const pre of document.querySelectorAll(".prose pre")) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "quiet row-copy js-only";
      button.dataset.copy = "";
      button.append(Object.assign(document.createElement("span"), { textContent: "Copy" }));
      button.firstChild.dataset.label = "";
      pre.before(button);
    }
  }

  function dark() {
    const theme = root.dataset.theme;
    return theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  }

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button[data-theme-switch], button[data-copy], button[data-print]");
    if (!button) return;
    if (button.hasAttribute("data-theme-switch")) {
      root.dataset.theme = dark() ? "light" : "dark";
      try { localStorage.setItem("theme", root.dataset.theme); } catch { /* for this page only, then */ }
      return;
    }
    if (button.hasAttribute("data-print")) {
      print();
      return;
    }
    const source = button.dataset.copy ? document.getElementById(button.dataset.copy) : button.nextElementSibling;
    const label = button.querySelector("[data-label]");
    if (!source || !label) return;
    try {
      await navigator.clipboard.writeText(source.textContent.trim());
      label.textContent = "Copied";
    } catch {
      const range = document.createRange();
      range.selectNodeContents(source);
      const selection = getSelection();
      selection.removeAllRanges();
      selection.addRange(range);
      label.textContent = "Selected";
    }
  });

  document.addEventListener("DOMContentLoaded", () => { prepare(document); guides(); });
  document.addEventListener("htmx:after:swap", () => prepare(document));
})();
