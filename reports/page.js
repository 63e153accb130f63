"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  // Copy buttons. A page opened as a file may lack the clipboard: then the text is selected and copied the old way.
  for (const button of all(".copy")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const source = byId(button.dataset.copy);
      let done = true;
      try {
        await navigator.clipboard.writeText(source.textContent);
      } catch {
        const range = document.createRange();
        range.selectNodeContents(source);
        getSelection().removeAllRanges();
        getSelection().addRange(range);
        done = document.execCommand("copy");
      }
      button.textContent = done ? "copied" : "selected: press Ctrl+C";
      setTimeout(() => { button.textContent = "copy"; }, 1500);
    });
  }

  // The filter; its state is kept in the fragment, so that a link to this page can carry it.
  const text = byId("filter-text"), failing = byId("filter-failing"), differing = byId("filter-differing");
  const operations = all(".op").map((element) => ({ element, rows: all("tbody > tr", element) }))
    .map((op) => ({ ...op, open: op.element.open, rows: op.rows.filter((row) => row.dataset.text !== undefined) }));
  const total = operations.reduce((sum, op) => sum + op.rows.length, 0);
  let narrowed = false;
  const apply = () => {
    const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const narrow = words.length > 0 || failing.checked || differing.checked;
    let shown = 0;
    for (const op of operations) {
      let here = 0;
      for (const row of op.rows) {
        row.hidden = !(words.every((word) => row.dataset.text.includes(word))
          && (!failing.checked || "failing" in row.dataset)
          && (!differing.checked || "differing" in row.dataset));
        here += !row.hidden;
      }
      op.element.hidden = narrow && here === 0;
      if (narrow && !narrowed) op.open = op.element.open;
      if (narrow) op.element.open = here > 0;
      else if (narrowed) op.element.open = op.open;
      shown += here;
    }
    narrowed = narrow;
    byId("filter-count").textContent = narrow ? `${shown} of ${total} clauses` : "";
  };
  const remember = () => {
    const state = new URLSearchParams();
    if (text.value) state.set("q", text.value);
    if (failing.checked) state.set("failing", "1");
    if (differing.checked) state.set("differing", "1");
    try { history.replaceState(null, "", "#" + state); } catch { /* a browser that forbids it for files */ }
  };

  // A link into something folded unfolds it.
  const reveal = (element) => {
    for (let e = element; e; e = e.parentElement) {
      if (e.tagName === "DETAILS") e.open = true;
      e.hidden = false;
    }
    const own = element.querySelector("th > details");
    if (own) own.open = true;
    element.scrollIntoView();
    if (element.tabIndex >= -1 && element.hasAttribute("tabindex")) element.focus({ preventScroll: true });
  };
  const follow = () => {
    const fragment = location.hash.slice(1);
    if (/^(q|failing|differing)=/.test(fragment)) {
      const state = new URLSearchParams(fragment);
      text.value = state.get("q") ?? "";
      failing.checked = state.has("failing");
      differing.checked = state.has("differing");
      apply();
    } else if (fragment) {
      const target = byId(decodeURIComponent(fragment));
      if (target) reveal(target);
    }
  };
  byId("filter").hidden = false;
  byId("filter").addEventListener("submit", (event) => event.preventDefault());
  for (const control of [text, failing, differing]) {
    control.addEventListener("input", () => { apply(); remember(); });
  }
  byId("open-all").addEventListener("click", () => { for (const op of operations) op.element.open = true; });
  byId("close-all").addEventListener("click", () => { for (const op of operations) op.element.open = false; });
  addEventListener("hashchange", follow);
  follow();

  // Print everything, then fold again what was folded.
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = all("details:not([open])");
    for (const element of folded) element.open = true;
  });
  addEventListener("afterprint", () => { for (const element of folded) element.open = false; });
})();
