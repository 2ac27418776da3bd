"use strict";
(() => {
  const PAGE_SIZE = 50;
  const get = (id) => document.getElementById(id);
  const index = JSON.parse(get("index").textContent);
  const isAudit = index.base !== null;
  const baseAt = isAudit ? index.models.indexOf(index.base) : -1;
  const state = { which: isAudit ? 1 : 0, tag: "", text: "", page: 0, open: null, reader: "self" };
  const blocks = new Map();
  let found = [];

  // Whatever a model wrote enters the page here, as text and as nothing else.
  function make(tag, options = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(options)) {
      if (name === "text") node.textContent = value;
      else if (name === "class") node.className = value;
      else if (value !== null && value !== false) node.setAttribute(name, value);
    }
    node.append(...children.filter((child) => child !== null && child !== undefined));
    return node;
  }

  const searchable = index.rows.map((row) =>
    [row.id, row.question, row.reference, ...row.cells.map((cell) => (cell ? cell[2] : ""))].join("\n").toLowerCase());

  function tagsOf(row) { return row.tags[String(state.which)] || []; }

  function inModel(row) { return row.cells[state.which] !== null && row.cells[state.which] !== undefined; }

  function filter() {
    const words = state.text.toLowerCase().split(/\s+/).filter(Boolean);
    found = [];
    index.rows.forEach((row, at) => {
      if (!inModel(row) || (state.tag && !tagsOf(row).includes(state.tag))) return;
      if (words.every((word) => searchable[at].includes(word))) found.push(at);
    });
    const pages = Math.max(1, Math.ceil(found.length / PAGE_SIZE));
    state.page = Math.min(state.page, pages - 1);
    draw(pages);
  }

  function cell(row, at, name) {
    const known = row.cells[at];
    if (!known) return make("span", { class: "cell", text: "no chain" });
    const [outcome, words, answer, gain] = known;
    return make("span", { class: "cell" },
      make("span", { class: "sr", text: `${name}: ` }),
      make("span", { class: `outcome ${outcome.replace(/[^a-z_]/g, "")}`, text: words }),
      make("span", { text: answer === null ? "" : `: ${answer.length > 60 ? answer.slice(0, 60) + "…" : answer}` }),
      make("small", { text: `gain ${gain}` }));
  }

  function draw(pages) {
    const list = get("list");
    const rows = found.slice(state.page * PAGE_SIZE, (state.page + 1) * PAGE_SIZE);
    list.replaceChildren(...rows.map((at) => {
      const row = index.rows[at];
      const tags = tagsOf(row).filter((tag) => tag !== "same");
      const told = tags.map((tag, at) => make("span", { "data-tag": tag, text: (at ? " · " : "") + (index.tags[tag] || tag) }));
      const button = make("button", { type: "button", class: "row", "aria-expanded": "false", "data-at": at },
        make("span", { class: "asked" }, make("b", { text: row.id }), make("span", { class: "clip", dir: "auto", text: row.question })),
        isAudit ? cell(row, baseAt, "base") : null,
        cell(row, state.which, isAudit ? "tuned" : "writer"),
        isAudit && tags.length ? make("span", { class: "tagline" }, ...told) : null);
      return make("li", {}, button);
    }));
    const first = found.length ? state.page * PAGE_SIZE + 1 : 0;
    get("count").textContent = `${found.length} of ${index.rows.length} problems` +
      (isAudit ? `; ${index.base} left, ${index.models[state.which]} right` : "");
    get("page").textContent = `${first} to ${state.page * PAGE_SIZE + rows.length}, page ${state.page + 1} of ${pages}`;
    get("previous").disabled = state.page === 0;
    get("next").disabled = state.page >= pages - 1;
    get("pages").hidden = pages === 1;
    for (const chip of get("tags").children) chip.setAttribute("aria-pressed", String(chip.dataset.tag === state.tag));
  }

  async function block(number) {
    if (!blocks.has(number)) {
      const packed = Uint8Array.from(atob(get(`block-${number}`).textContent.trim()), (letter) => letter.charCodeAt(0));
      const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
      blocks.set(number, new Response(stream).json());
    }
    return blocks.get(number);
  }

  function focusable(node) {
    // A box that scrolls has to be reachable by keyboard.
    requestAnimationFrame(() => { if (node.scrollHeight > node.clientHeight + 1) node.tabIndex = 0; });
    return node;
  }

  function written(text, tag = "div") { return focusable(make(tag, { class: "text", dir: "auto", text })); }

  function strip(ladder, at) {
    const fill = make("span", { class: `fill ${ladder.gains[at] < 0 ? "down" : "up"}` });
    fill.style.width = `${Math.abs(ladder.bars[at]) / 2}%`;
    return make("div", { class: "strip" },
      make("div", { class: "track", "aria-hidden": "true" }, fill),
      make("div", { class: "gain", text: `${ladder.gain_texts[at]} nats` }),
      make("div", { class: "belief", text: `then ${ladder.beliefs[at]}` }));
  }

  function edit(one) {
    const state = one.kept === null ? "" : one.kept ? "kept" : "changed";
    const summary = make("summary", {}, make("span", { text: `${one.words}: ` }), make("span", { class: state, text: one.effect }));
    if (!one.before && !one.after) return make("li", { text: `${one.words}: ${one.effect}` });
    return make("li", {}, make("details", {}, summary,
      make("div", { class: "both" },
        make("div", {}, make("h5", { text: "before" }), written(one.before)),
        make("div", {}, make("h5", { text: "after" }), written(one.after))),
      make("p", { class: "soft", text: [one.belief, one.note].filter(Boolean).join("; ") })));
  }

  function side(chain, label) {
    const asked = state.reader === "tuned" ? `tuned:${index.models[state.which]}` : state.reader;
    const reader = chain.readings[asked] ? asked : "self";
    const ladder = chain.readings[reader];
    const steps = (ladder && ladder.steps) || chain.steps;
    const edits = chain.edits.filter((one) => one.reader === reader);
    const list = make("ol", { class: "steps" }, ...steps.map((text, at) => {
      const here = edits.filter((one) => one.step === at && !one.kind.startsWith("fill"));
      return make("li", {}, written(text), ladder ? strip(ladder, at) : make("div", { class: "strip soft", text: "not read" }),
        here.length ? make("ul", { class: "edits" }, ...here.map(edit)) : null);
    }));
    const whole = edits.filter((one) => one.step === null || one.kind.startsWith("fill"));
    const facts = [chain.outcome_text, chain.answer === null ? null : `answer ${chain.answer}`, `${chain.num_tokens} tokens`].filter(Boolean);
    const replies = [
      chain.asked_with === null ? null : `asked after the steps: ${chain.asked_with}`,
      chain.asked_without === null ? null : `asked before any: ${chain.asked_without}`,
    ].filter(Boolean);
    return make("div", { class: "side" },
      make("h4", { text: label }),
      make("p", { text: facts.join(", ") }),
      replies.length ? make("p", { class: "soft", text: replies.join("; ") }) : null,
      ladder ? make("p", { class: "soft", text: `reference answer at ${ladder.start} before any step; all steps ${ladder.total} nats` }) : null,
      chain.skip_reason ? make("p", { class: "soft", text: `not measured: ${chain.skip_reason}` }) : null,
      chain.before.trim() ? written(chain.before) : null,
      steps.length ? list : null,
      chain.after.trim() ? make("div", { class: "rest" }, written(chain.after)) : null,
      whole.length ? make("details", {}, make("summary", { text: `Whole chain changed (${whole.length})` }),
        make("ul", { class: "edits" }, ...whole.map(edit))) : null,
      make("details", {}, make("summary", { text: "Raw text" }), written(chain.text, "pre")),
      make("details", {}, make("summary", { text: "Prompt" }), written(chain.prompt, "pre")));
  }

  function heading(problem) {
    const parts = [make("p", { class: "question", dir: "auto", text: problem.question })];
    if (problem.choices.length) {
      parts.push(make("ol", { type: "A" }, ...problem.choices.map((choice) => make("li", { dir: "auto", text: choice }))));
    }
    const words = problem.reference_words !== problem.reference ? `${problem.reference}: ${problem.reference_words}` : problem.reference;
    parts.push(make("p", { class: "soft", text: problem.reference === null ? "no reference answer" : `reference answer ${words}` }));
    focusable(parts[0]);
    return parts;
  }

  function sides(problem, sample) {
    const wanted = isAudit ? [index.base, index.models[state.which]] : [index.models[state.which]];
    const chosen = wanted.map((model) => problem.chains.filter((chain) => chain.model === model));
    return make("div", { class: "sides" }, ...chosen.map((chains, at) => {
      const chain = chains.find((one) => one.sample === sample) || chains[0];
      const label = `${isAudit ? (at ? "tuned: " : "base: ") : ""}${wanted[at]}` + (chains.length > 1 ? `, sample ${chain.sample + 1} of ${chains.length}` : "");
      return chain ? side(chain, label) : make("p", { text: `${wanted[at]} wrote nothing here` });
    }));
  }

  async function open(button) {
    close();
    const at = Number(button.dataset.at);
    const row = index.rows[at];
    const holder = make("div", { class: "open", id: "opened", role: "region", "aria-label": `Chains of ${row.id}` });
    button.setAttribute("aria-expanded", "true");
    button.setAttribute("aria-controls", "opened");
    button.after(holder);
    state.open = at;
    history.replaceState(null, "", `#problem=${encodeURIComponent(row.id)}`);
    if (row.place === null) {
      holder.append(make("p", { class: "notice", text: `These chains are not in this page, to keep it small: soundness show RUN ${row.id}` }));
      return;
    }
    const problem = (await block(row.place[0]))[row.place[1]];
    if (state.open !== at) return;
    let shown = sides(problem, 0);
    holder.append(...heading(problem));
    const most = Math.max(...problem.chains.map((chain) => chain.sample));
    if (most > 0) {
      const select = make("select", { "aria-label": "Sample" }, ...Array.from({ length: most + 1 }, (_, i) => make("option", { value: i, text: `sample ${i + 1}` })));
      select.addEventListener("change", () => { const fresh = sides(problem, Number(select.value)); shown.replaceWith(fresh); shown = fresh; });
      holder.append(select);
    }
    holder.append(shown);
  }

  function close() {
    const opened = get("opened");
    if (!opened) return null;
    const button = opened.previousElementSibling;
    opened.remove();
    button.setAttribute("aria-expanded", "false");
    button.removeAttribute("aria-controls");
    state.open = null;
    history.replaceState(null, "", "#chains");
    return button;
  }

  function again() {
    const button = close();
    if (button) open(button);
  }

  get("list").addEventListener("click", (event) => {
    const button = event.target.closest("button.row");
    if (!button) return;
    if (button.getAttribute("aria-expanded") === "true") close();
    else open(button);
  });
  get("list").addEventListener("keydown", (event) => {
    if (event.key === "Escape") { const button = close(); if (button) button.focus(); return; }
    if (!event.target.matches("button.row") || !["ArrowDown", "ArrowUp", "Home", "End"].includes(event.key)) return;
    const rows = [...get("list").querySelectorAll("button.row")];
    const at = rows.indexOf(event.target);
    const next = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: rows.length - 1 }[event.key];
    if (rows[next]) { rows[next].focus(); event.preventDefault(); }
  });
  get("filters").addEventListener("submit", (event) => event.preventDefault());
  get("search").addEventListener("input", (event) => { state.text = event.target.value; state.page = 0; filter(); });
  function turn(by) { state.page += by; filter(); get("list").querySelector("button.row")?.focus(); }
  get("previous").addEventListener("click", () => turn(-1));
  get("next").addEventListener("click", () => turn(1));

  index.models.forEach((model, at) => { if (at !== baseAt) get("which").append(make("option", { value: at, text: model })); });
  get("which").value = String(state.which);
  get("which-field").hidden = get("which").options.length < 2;
  get("which").addEventListener("change", (event) => { state.which = Number(event.target.value); state.page = 0; drawTags(); filter(); });
  get("reader").append(make("option", { value: "self", text: isAudit ? "the writer" : "the scorer" }), make("option", { value: "base", text: "the base" }),
    make("option", { value: "tuned", text: "the tuned model" }));
  get("reader-field").hidden = !isAudit;
  get("reader").addEventListener("change", (event) => { state.reader = event.target.value; again(); });

  function drawTags() {
    const counts = {};
    for (const row of index.rows) if (inModel(row)) for (const tag of tagsOf(row)) counts[tag] = (counts[tag] || 0) + 1;
    const all = index.rows.filter(inModel).length;
    const chips = [["", "all", all], ...Object.entries(index.tags).filter(([tag]) => counts[tag]).map(([tag, words]) => [tag, words, counts[tag]])];
    if (!chips.some(([tag]) => tag === state.tag)) state.tag = "";
    get("tags").replaceChildren(...chips.map(([tag, words, count]) => {
      const chip = make("button", { type: "button", "data-tag": tag, "aria-pressed": "false", text: `${words} ${count}` });
      chip.addEventListener("click", () => { state.tag = tag; state.page = 0; filter(); });
      return chip;
    }));
  }

  const theme = get("theme");
  function paint(dark) {
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    theme.setAttribute("aria-pressed", String(dark));
  }
  let kept = null;
  try { kept = localStorage.getItem("soundness-theme"); } catch { /* a page from disk may not have any */ }
  paint(kept ? kept === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);
  theme.addEventListener("click", () => {
    const dark = document.documentElement.dataset.theme !== "dark";
    paint(dark);
    try { localStorage.setItem("soundness-theme", dark ? "dark" : "light"); } catch { /* kept for this visit only */ }
  });
  addEventListener("beforeprint", () => paint(false));

  function follow() {
    const wanted = location.hash.startsWith("#problem=") ? decodeURIComponent(location.hash.slice(9)) : null;
    const at = wanted === null ? -1 : index.rows.findIndex((row) => row.id === wanted);
    if (at < 0 || state.open === at) return;
    const place = found.indexOf(at);
    if (place < 0) return;
    state.page = Math.floor(place / PAGE_SIZE);
    filter();
    const button = get("list").querySelector(`button[data-at="${at}"]`);
    open(button).then(() => button.scrollIntoView());
  }

  drawTags();
  filter();
  follow();
  addEventListener("hashchange", follow);
  document.documentElement.dataset.ready = "yes";
})();
