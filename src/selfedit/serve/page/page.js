// The state of the page, requests to the server, and what buttons do. What things look like is in parts.js.

import * as parts from "./parts.js";

const { el } = parts;
const at = (id) => document.getElementById(id);
const MOST_BYTES = 7_000_000; // of files together: Base64 makes them a third larger, and the server takes 10 MB
const SEEN_EVERY = 5_000;
const READ_EVERY = 30_000;
const MOST_DONE = 4; // jobs that stay in sight when they are over
const MOST_VERSIONS = 15;
const TOKEN = "selfedit-token";

const state = {
  library: null, // what /v1/library says
  version: null, // the one that is shown, in full
  chosen: null, // its number where it was chosen; null: the live one
  open: new Set(), // names of documents that are unfolded
  jobs: new Map(), // by id, in order; those of this visit, and those that run
  titles: new Map(), // by job id: what it is about
  isDown: false,
  readAt: 0,
  reading: 0,
  hasAllVersions: false, // whether old ones are in sight too
};

class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

// Requests

async function send(path, options = {}) {
  const token = sessionStorage.getItem(TOKEN);
  const headers = { ...(options.headers ?? {}), ...(token ? { Authorization: `Bearer ${token}` } : {}) };
  let response;
  try {
    response = await fetch(path, { ...options, headers, cache: "no-store", credentials: "omit", redirect: "error" });
  } catch (error) {
    if (error.name !== "AbortError") down(true);
    throw error.name === "AbortError" ? error : new Refusal(0, "The server does not answer.");
  }
  down(false);
  if (response.ok) return response;
  let message = `The server says ${response.status}.`;
  try {
    message = (await response.json()).error.message;
  } catch { /* no JSON: the number must do */ }
  if (response.status === 401 && token === sessionStorage.getItem(TOKEN)) askForToken(Boolean(token)); // another may be there by now
  throw new Refusal(response.status, message);
}

const get = async (path) => (await send(path)).json();
const post = async (path, body) =>
  (await send(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) })).json();

function down(isDown) {
  if (isDown === state.isDown) return;
  state.isDown = isDown;
  at("trouble").textContent = isDown ? "The server does not answer. What is shown is as it was; this page tries again by itself." : "";
  at("trouble").hidden = !isDown;
  for (const id of ["ask-button", "again", "files"]) at(id).disabled = isDown;
  if (!isDown) begin();
}

function askForToken(wasWrong) {
  sessionStorage.removeItem(TOKEN);
  at("lead").textContent = "A token is wanted.";
  if (wasWrong) at("token-trouble").hidden = false;
  if (!at("token-dialog").open) at("token-dialog").showModal();
}

function say(text) {
  at("said").textContent = text;
}

function trouble(id, text) {
  at(id).textContent = text;
  at(id).hidden = !text;
}

// What is shown

async function refresh() {
  const mine = ++state.reading;
  try {
    const library = await get("/v1/library");
    const wanted = library.versions.some((one) => one.number === state.chosen) ? state.chosen : null;
    const number = wanted ?? library.live;
    const isSame = state.library && JSON.stringify(state.library) === JSON.stringify(library) && state.version?.number === number;
    state.readAt = Date.now();
    if (isSame) return;
    const version = number === null || number === undefined ? null : await get(`/v1/library/versions/${number}`);
    if (mine !== state.reading) return; // a later reading is under way
    Object.assign(state, { library, version, chosen: wanted });
    draw();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    if (error.status && error.status !== 401) at("lead").textContent = error.message;
  }
}

function draw() {
  const { library, version } = state;
  document.title = `${library.name} · selfedit`;
  at("name").textContent = library.name;
  at("lead").textContent = parts.lead(library, version);
  at("facts").hidden = !version;
  at("facts").replaceChildren(...(version ? parts.facts(version) : []));
  const isOther = Boolean(version) && version.number !== library.live;
  at("other-version").hidden = !isOther;
  at("other-version").replaceChildren(...(isOther
    ? [`You look at version ${version.number}, which is not live. `,
       el("button", { type: "button", onclick: () => look(null) }, "Back to the live one")] : []));
  keepFocus(drawDocuments);
  at("lost").replaceChildren(...parts.lost(version, library.struck));
  keepFocus(drawVersions);
}

// What is drawn again keeps the focus, where the control is still there.
function keepFocus(work) {
  const before = document.activeElement?.textContent;
  const list = document.activeElement?.closest("ol, ul");
  const isInside = list && (list.closest("#documents") || list.closest("#versions"));
  work();
  if (!isInside || document.activeElement !== document.body) return;
  const again = [...document.querySelectorAll("#documents button, #documents summary, #versions button")];
  (again.find((one) => one.textContent === before && !one.disabled) ?? document.querySelector("#versions button:not([disabled])") ?? at("question")).focus();
}

function drawDocuments() {
  const { library, version } = state;
  const all = version?.documents ?? [];
  const isLive = !version || version.number === library.live;
  at("filter-box").hidden = all.length < 12;
  const wanted = at("filter-box").hidden ? "" : at("filter").value.toLocaleLowerCase();
  const rows = all.filter((one) => one.name.toLocaleLowerCase().includes(wanted)).map((one) =>
    parts.documentRow(one, state.open.has(one.name), isLive, forget, (name, isOpen) => {
      if (isOpen) state.open.add(name);
      else state.open.delete(name);
    }));
  if (isLive) rows.push(...library.dropped.map((file) => parts.droppedRow(file, forget)));
  const none = wanted ? "No document is called so." : "No documents yet. Choose or drop some, and they are learnt.";
  at("documents").replaceChildren(...(rows.length ? rows : [el("li", { class: "note" }, none)]));
}

function drawVersions() {
  const { library, version } = state;
  const numbers = new Set(library.versions.map((one) => one.number));
  const does = { promote, rollback, show: look };
  const items = [
    ...library.versions.map((one) => [one.number, () => parts.versionItem(one, numbers.has(one.parent), one.number === version?.number, does)]),
    ...library.struck.map((number) => [number, () => parts.struckItem(number)]),
  ].sort((one, other) => other[0] - one[0]);
  const shown = state.hasAllVersions ? items : items.slice(0, MOST_VERSIONS);
  at("versions").replaceChildren(...(items.length ? shown.map(([, make]) => make()) : [el("li", { class: "note" }, "None yet.")]));
  if (shown.length < items.length) {
    at("versions").append(el("li", { class: "version" }, el("button", { type: "button", onclick: () => {
      state.hasAllVersions = true;
      keepFocus(drawVersions);
    } }, `Show ${items.length - shown.length} older ones`)));
  }
  const chosen = at("asked-version").value;
  at("asked-version").replaceChildren(
    el("option", { value: "live" }, library.live ? `live (${library.live})` : "live"),
    ...library.versions.filter((one) => one.number !== library.live).reverse().map((one) => el("option", { value: one.number }, `${one.number}`)));
  if ([...at("asked-version").options].some((one) => one.value === chosen)) at("asked-version").value = chosen;
}

async function look(number) {
  state.chosen = number;
  await refresh();
  at("asked-version").value = number ?? "live"; // who looks at a version means that one
  at("main").scrollIntoView({ block: "start" });
  say(state.version ? `Version ${state.version.number} is shown.` : "");
}

// What buttons do

async function change(path, body, told) {
  trouble("version-trouble", "");
  try {
    const now = await post(path, body);
    state.chosen = null;
    await refresh();
    say(told(now));
  } catch (error) {
    trouble("version-trouble", error.message);
  }
}

const promote = (number) => change("/v1/library/promote", { version: number }, (now) => `Version ${now.live} is live.`);
const rollback = () => change("/v1/library/rollback", {}, (now) => `Rolled back: version ${now.live} is live.`);

function forget(document) {
  const knew = document.sha256 ? "Its lessons, adapters and questions are deleted, and every version that knew it is struck. This cannot be undone." : "";
  const file = document.is_dropped
    ? "The dropped file is deleted here as well."
    : "The file itself stays in its folder: while it lies there, looking for changes in the folders learns it again.";
  at("confirm-title").replaceChildren(document.sha256 ? "Forget " : "Delete ", parts.name(document.name), "?");
  at("confirm-text").replaceChildren(...[knew, file].filter(Boolean).map((line) => el("p", {}, line)));
  const dialog = at("confirm");
  dialog.returnValue = "no";
  dialog.showModal();
  dialog.addEventListener("close", () => {
    if (dialog.returnValue === "yes") start("/v1/forget", { documents: [document.name] }, document.name);
  }, { once: true });
}

async function start(path, body, title) {
  trouble("drop-trouble", "");
  try {
    const { id } = await post(path, body);
    state.titles.set(id, title);
    follow(id);
    at("jobs").scrollIntoView({ block: "nearest" });
  } catch (error) {
    trouble("drop-trouble", error.message);
  }
}

async function learn(files) {
  if (!files.length) return;
  const size = [...files].reduce((sum, file) => sum + file.size, 0);
  if (size > MOST_BYTES) {
    trouble("drop-trouble", `These take ${(size / 1e6).toFixed(1)} MB, and ${MOST_BYTES / 1e6} MB are taken at a time. Put larger ones into a folder, and learn that.`);
    return;
  }
  try {
    const documents = await Promise.all([...files].map(async (file) => ({ name: file.name, content_base64: await base64(file) })));
    await start("/v1/learn", { documents }, documents.map((one) => one.name).join(", "));
  } catch {
    trouble("drop-trouble", "A file could not be read. A folder cannot be dropped here: choose the files in it.");
  }
}

function base64(file) {
  return new Promise((done, fail) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => fail(reader.error);
    reader.readAsDataURL(file);
  });
}

let asking = null;

async function ask(event) {
  event.preventDefault();
  const question = at("question").value.trim();
  if (!question) return;
  asking?.abort();
  const mine = (asking = new AbortController());
  at("answer").setAttribute("aria-busy", "true");
  at("answer").replaceChildren(el("p", { class: "note" }, "Asking …"));
  try {
    const body = JSON.stringify({ question, version: at("asked-version").value || "live" });
    const response = await send("/v1/library/ask",
      { method: "POST", headers: { "Content-Type": "application/json" }, body, signal: mine.signal });
    at("answer").replaceChildren(parts.answer(await response.json()));
  } catch (error) {
    if (mine.signal.aborted) return;
    at("answer").replaceChildren(el("p", { class: "trouble" }, error.message));
  } finally {
    if (asking === mine) at("answer").setAttribute("aria-busy", "false");
  }
}

// Jobs

async function findJobs() {
  try {
    const { jobs } = await get("/v1/jobs");
    for (const job of jobs.reverse()) if (job.status === "queued" || job.status === "running") follow(job.id);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
  }
}

async function follow(id) {
  if (state.jobs.has(id)) return;
  state.jobs.set(id, null);
  for (;;) {
    try {
      await readEvents(id);
    } catch (error) {
      if (error.status === 404) heard({ ...(state.jobs.get(id) ?? { id, kind: "learn", warnings: [] }), status: "failed", error: "The server was started anew, and knows no more of this." });
      else if (error.status === 429) heard(await get(`/v1/jobs/${id}`).catch(() => state.jobs.get(id)));
    }
    const job = state.jobs.get(id);
    if (job && isOver(job)) break;
    await new Promise((done) => setTimeout(done, 1_000));
  }
}

const isOver = (job) => job.status === "done" || job.status === "failed";

// Server-sent events by hand: EventSource cannot send a token.
async function readEvents(id) {
  const response = await send(`/v1/jobs/${id}/events`);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const events = (held + value).split("\n\n");
    held = events.pop();
    for (const event of events) if (event.startsWith("data: ")) heard(JSON.parse(event.slice(6)));
  }
}

function heard(job) {
  if (!job) return;
  const before = state.jobs.get(job.id);
  state.jobs.set(job.id, job);
  const card = parts.jobCard(job, state.titles.get(job.id) ?? "");
  const old = document.querySelector(`[data-job="${CSS.escape(job.id)}"]`);
  if (old) old.replaceWith(card);
  else at("jobs").prepend(card);
  if (before?.stage !== job.stage || before?.status !== job.status) say(card.querySelector("p")?.textContent ?? "");
  if (!isOver(job)) return;
  for (const done of [...document.querySelectorAll(".job.done, .job.failed")].slice(MOST_DONE)) done.remove();
  refresh();
}

// The beginning

async function begin() {
  await refresh();
  if (state.library && !at("token-dialog").open) await findJobs();
}

at("ask-form").addEventListener("submit", ask);
at("again").addEventListener("click", () => start("/v1/learn", {}, "what has changed"));
at("filter").addEventListener("input", drawDocuments);
at("files").addEventListener("change", async (event) => {
  await learn(event.target.files);
  event.target.value = "";
});
const drop = at("drop");
for (const kind of ["dragenter", "dragover"]) {
  drop.addEventListener(kind, (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
}
for (const kind of ["dragleave", "drop"]) drop.addEventListener(kind, () => drop.classList.remove("over"));
drop.addEventListener("drop", (event) => {
  event.preventDefault();
  learn(event.dataTransfer.files);
});
for (const kind of ["dragover", "drop"]) window.addEventListener(kind, (event) => event.preventDefault()); // a miss opens no file
at("token-dialog").addEventListener("close", () => {
  const token = at("token").value.trim();
  at("token").value = "";
  at("token-trouble").hidden = true;
  if (!/^[\x21-\x7e]+$/.test(token)) {
    askForToken(Boolean(token)); // no header could carry it
    return;
  }
  sessionStorage.setItem(TOKEN, token);
  begin();
});

setInterval(() => {
  if (document.hidden || at("token-dialog").open) return;
  if (state.isDown || Date.now() - state.readAt > READ_EVERY) refresh();
  else send("/healthz").catch(() => {});
}, SEEN_EVERY);
await begin();
