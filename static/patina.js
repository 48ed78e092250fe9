// What the dashboard does in a browser beyond htmx: the theme switch, copy and
// print buttons, times told in the reader's own zone, a word that confirms what
// was done, lists that say that they are on their way, arrow keys along a chart.
// Every page works without.
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

  // A toast confirms, and goes; what must be read stands in the page.
  function toast(text, stale) {
    let all = document.querySelector(".toasts");
    if (!all) {
      all = Object.assign(document.createElement("div"), { className: "toasts" });
      all.setAttribute("role", "status");
      document.body.append(all);
    }
    const one = Object.assign(document.createElement("p"), { className: stale ? "toast stale" : "toast", textContent: text });
    all.append(one);
    if (!stale) setTimeout(() => one.remove(), 6000);
    return one;
  }

  // A form may say what it will have done; the next page confirms it, unless
  // that page tells of a problem.
  const later = "said";
  document.addEventListener("submit", (event) => {
    const said = event.submitter?.dataset.done ?? event.target.dataset.done;
    try { if (said) sessionStorage.setItem(later, said); } catch { /* then nothing is said */ }
  });
  function confirmed() {
    let said = null;
    try { said = sessionStorage.getItem(later); sessionStorage.removeItem(later); } catch { /* storage is off */ }
    if (said && !document.querySelector("main [role=alert]")) toast(said);
  }

  // While a list is on its way it says so; one that asks for itself does not.
  const busy = (event, on) => {
    const { target, sourceElement } = event.detail?.ctx ?? {};
    if (!(target instanceof Element) || target === sourceElement) return;
    if (on) target.setAttribute("aria-busy", "true");
    else target.removeAttribute("aria-busy");
  };

  // A page that renews itself says so when it no longer can.
  let since = null;
  function unanswered() {
    since ??= toast("Not renewed since " + new Date().toLocaleTimeString() + ": Patina does not answer. What you see is as it was then.", true);
  }

  // The arrow keys go along the points of a chart, which are links.
  document.addEventListener("keydown", (event) => {
    const point = event.target.closest?.(".point");
    if (!point || !["ArrowLeft", "ArrowRight", "Home", "End"].includes(event.key)) return;
    const all = [...point.parentNode.querySelectorAll(".point")];
    const at = all.indexOf(point);
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: all.length - 1 }[event.key];
    all[to]?.focus();
    event.preventDefault();
  });

  function dark() {
    const theme = root.dataset.theme;
    return theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  }

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button[data-theme-switch], button[data-copy], button[data-print], button[data-toast], button[data-dialog]");
    if (!button) return;
    if (button.hasAttribute("data-toast")) {
      toast(button.dataset.toast);
      return;
    }
    if (button.hasAttribute("data-dialog")) {
      document.getElementById(button.dataset.dialog)?.showModal();
      return;
    }
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

  document.addEventListener("DOMContentLoaded", () => {
    prepare(document);
    guides();
    confirmed();
    // On a phone the menu is one line that scrolls: the marked entry is in sight.
    const here = document.querySelector(".bar [aria-current]");
    const line = here?.closest("ul");
    if (line) line.scrollLeft = here.offsetLeft - (line.clientWidth - here.offsetWidth) / 2;
  });
  document.addEventListener("htmx:before:request", (event) => busy(event, true));
  document.addEventListener("htmx:finally:request", (event) => busy(event, false));
  document.addEventListener("htmx:error", unanswered);
  document.addEventListener("htmx:response:error", (event) => {
    const { target, sourceElement, response } = event.detail?.ctx ?? {};
    if (target && target === sourceElement && response?.status >= 500) unanswered();
  });
  document.addEventListener("htmx:after:swap", (event) => {
    prepare(document);
    if (event.detail?.ctx?.response?.status >= 400) return;
    since?.remove();
    since = null;
  });
})();
