"use strict";
// Every word of a conversation reaches the page as a text node, never as markup.
(() => {
  const ROWS = 80, LONG = 6000, MORE = 50000;
  const byId = (id) => document.getElementById(id);
  const [query, who, strategy, stop, guard, order] = ["query", "who", "strategy", "stop", "guard", "order"].map(byId);
  const results = byId("results"), found = byId("found");
  let all = [], shown = [], rendered = 0, current = null, pinned = null;

  const make = (tag, css, ...children) => {
    const element = document.createElement(tag);
    if (css) element.className = css;
    element.append(...children);
    return element;
  };
  const count = (n, what) => `${n.toLocaleString("en")} ${what}${n === 1 ? "" : "s"}`;

  async function unpack() {
    const text = byId("packed").textContent;
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    byId("packed").remove();
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const rows = await new Response(stream).json();
    return rows.map(([id, strategy, stop, events, turns, human], at) => ({
      id, strategy, stop, events, turns, at, who: human ? "human" : "simulated",
      rounds: turns.filter(([role]) => role === "user").length,
      length: turns.reduce((sum, [, , characters]) => sum + characters, 0),
      low: null,
    }));
  }

  // Lower-cased copies make a search a plain scan; they are made in idle time, or by the first search that needs them.
  const lowered = (c) => (c.low ??= `${c.id}\n${c.turns.map(([, text]) => text).join("\n")}`.toLowerCase());
  function lowerInIdleTime(from) {
    const until = performance.now() + 12;
    let at = from;
    while (at < all.length && performance.now() < until) lowered(all[at++]);
    if (at < all.length) setTimeout(() => lowerInIdleTime(at), 0);
    else document.documentElement.dataset.searchReady = "true";
  }

  const terms = () => query.value.toLowerCase().split(/\s+/).filter(Boolean);

  function search() {
    const wanted = terms();
    shown = all.filter((c) =>
      (!who.value || c.who === who.value) &&
      (!strategy.value || c.strategy === strategy.value) &&
      (!stop.value || c.stop === stop.value) &&
      (!guard.value || (guard.value === "any" ? Object.keys(c.events).length > 0
        : guard.value === "none" ? Object.keys(c.events).length === 0 : c.events[guard.value.slice(6)] > 0)) &&
      wanted.every((term) => lowered(c).includes(term)));
    if (order.value !== "file") shown.sort((a, b) => b[order.value] - a[order.value] || a.at - b.at);
    results.replaceChildren();
    results.scrollTop = 0;
    rendered = 0;
    renderRows();
    found.textContent = shown.length ? `${count(shown.length, "conversation")} found` : "No conversation found; try fewer words or filters.";
    if (!shown.includes(current)) open(shown[0] ?? null);
    else if (current) render(byId("open"), current);
    mark();
  }

  function renderRows() {
    const rows = shown.slice(rendered, rendered + ROWS).map((c) => {
      const first = c.turns.find(([role]) => role === "user")?.[1] ?? "";
      const preview = make("span", "preview");
      preview.dir = "auto";
      preview.append(...visible(first.slice(0, 160)));
      const facts = make("span", "facts-line", [count(c.rounds, "round"), ...origin(c), c.stop, ...Object.keys(c.events)].filter(Boolean).join(" · "));
      const button = make("button", "", preview, facts);
      button.type = "button";
      button.dataset.at = c.at;
      return make("li", "", button);
    });
    results.append(...rows);
    rendered += rows.length;
  }

  function mark() {
    for (const button of results.querySelectorAll("button"))
      button.setAttribute("aria-current", String(current !== null && Number(button.dataset.at) === current.at));
  }

  function open(conversation) {
    current = conversation;
    const place = byId("open");
    place.replaceChildren();
    if (conversation) {
      render(place, conversation);
      place.scrollTop = 0;
    }
    mark();
  }

  const origin = (c) => (c.who === "human" ? ["human"] : [c.strategy]);

  // The human conversation with the most similar number of rounds; asked again, the next one.
  function pinHuman() {
    const distance = (c) => Math.abs(c.rounds - (current?.who === "simulated" ? current.rounds : 3));
    const people = all.filter((c) => c.who === "human").sort((a, b) => distance(a) - distance(b) || a.at - b.at);
    if (people.length) setPin(people[(people.indexOf(pinned) + 1) % people.length]);
  }

  function render(place, c) {
    const isPin = place.id === "pinned";
    const events = Object.entries(c.events).map(([name, n]) => `${name} × ${n}`).join(", ");
    const pin = make("button", "", isPin ? "Unpin" : "Pin for comparison");
    pin.type = "button";
    pin.addEventListener("click", () => setPin(isPin ? null : c));
    const facts = make("p", "", [...origin(c), c.stop && `ended: ${c.stop}`, count(c.rounds, "round"), events && `guards: ${events}`].filter(Boolean).join(" · "));
    const title = make("h3", "");
    title.append(...visible(c.id));
    place.replaceChildren(make("header", "", title, pin, facts), ...c.turns.map((t) => turn(c.who, t)));
    place.tabIndex = 0;
  }

  function turn(origin, [role, text, characters]) {
    const label = { user: `User (${origin})`, assistant: "Assistant", system: "System" }[role] ?? role;
    const body = make("div", "body");
    const section = make("section", `turn ${role === "user" ? "user" : "other"}`, make("h4", "", label), body);
    const show = (limit) => {
      body.replaceChildren(...blocks(text.slice(0, limit)));
      if (text.length > limit) {
        const button = make("button", "", `Show more (${limit.toLocaleString("en")} of ${characters.toLocaleString("en")} characters shown)`);
        button.type = "button";
        button.addEventListener("click", () => show(limit + MORE));
        body.append(button);
      } else if (characters > text.length) {
        body.append(make("p", "more", `Cut here; the file holds all ${characters.toLocaleString("en")} characters.`));
      }
    };
    show(LONG);
    return section;
  }

  // Fenced code is set apart; everything else is shown as it was written.
  function blocks(text) {
    return text.split(/^(```[\s\S]*?^```[^\S\n]*$)/m).filter((part) => part.trim()).map((part) => {
      const code = part.startsWith("```") && part.endsWith("```") && part.includes("\n");
      const element = make(code ? "pre" : "div", code ? "" : "text");
      element.dir = code ? "ltr" : "auto";
      element.append(...highlighted(code ? part.slice(part.indexOf("\n") + 1, part.lastIndexOf("\n")) : part.replace(/^\n+|\n+$/g, "")));
      return element;
    });
  }

  function highlighted(text) {
    const wanted = terms();
    if (!wanted.length) return visible(text);
    const pattern = new RegExp(`(${wanted.map((t) => t.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|")})`, "giu");
    return text.split(pattern).flatMap((part, n) => (n % 2 ? [make("mark", "", ...visible(part))] : visible(part)));
  }

  // Characters that reorder or hide text are spelled out.
  function visible(text) {
    return text.split(/([\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\u0000-\u0008\u000b-\u001f\u007f])/u).filter(Boolean).map((part) =>
      /^[\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\u0000-\u0008\u000b-\u001f\u007f]$/u.test(part)
        ? make("span", "control", `U+${part.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}`)
        : document.createTextNode(part));
  }

  function setPin(conversation) {
    pinned = conversation;
    byId("pinned").hidden = pinned === null;
    byId("pinned").replaceChildren();
    if (pinned) render(byId("pinned"), pinned);
  }

  function step(by) {
    if (!shown.length) return;
    const at = Math.min(Math.max(shown.indexOf(current) + by, 0), shown.length - 1);
    while (rendered <= at) renderRows();
    open(shown[at]);
    results.children[at].scrollIntoView({ block: "nearest" });
  }

  function options(select, values, any) {
    select.append(new Option(any, ""), ...values.map(([label, value]) => new Option(label, value)));
  }

  function listen() {
    let waiting;
    query.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(search, 40); });
    byId("beside").addEventListener("click", pinHuman);
    for (const select of [who, strategy, stop, guard, order]) select.addEventListener("change", search);
    byId("filters").addEventListener("submit", (event) => event.preventDefault());
    results.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button) open(all[Number(button.dataset.at)]);
    });
    results.addEventListener("scroll", () => {
      if (results.scrollTop + results.clientHeight > results.scrollHeight - 400 && rendered < shown.length) { renderRows(); mark(); }
    });
    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
      if (event.key === "/") { event.preventDefault(); query.focus(); }
      else if (event.key === "j") step(1);
      else if (event.key === "k") step(-1);
      else if (event.key === "h") pinHuman();
      else if (event.key === "p") setPin(pinned === current ? null : current);
    });
  }

  async function start() {
    try {
      all = await unpack();
    } catch (error) {
      found.textContent = `The conversations in this page cannot be unpacked (${error.message}); read simulate/conversations.jsonl, or use a newer browser.`;
      return;
    }
    const kinds = (key) => [...new Set(all.map((c) => c[key]).filter(Boolean))].sort().map((v) => [v, v]);
    options(who, [["simulated", "simulated"], ["human", "human"]], "anybody");
    byId("beside").hidden = who.parentElement.hidden = !all.some((c) => c.who === "human");
    options(strategy, kinds("strategy"), "any");
    options(stop, kinds("stop"), "any reason");
    const guards = [...new Set(all.flatMap((c) => Object.keys(c.events)))].sort();
    options(guard, [["some", "any"], ["none", "none"], ...guards.map((g) => [g, `guard:${g}`])], "any or none");
    byId("filters").hidden = byId("browser").hidden = false;
    listen();
    search();
    lowerInIdleTime(0);
  }
  start();
})();
