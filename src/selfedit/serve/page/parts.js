// Data in, elements out. All text is set as text: a document may be called `<img onerror=…>`.

export function el(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "class") made.className = value;
    else if (name === "onclick" || name === "ontoggle") made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : String(value));
  }
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return made;
}

export const name = (text) => el("bdi", { class: "name" }, text);

export function plural(count, word, words = `${word}s`) {
  return `${count.toLocaleString("en")} ${count === 1 ? word : words}`;
}

export function when(created) {
  const at = new Date(created);
  if (Number.isNaN(at.getTime())) return created;
  return at.toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
}

export function timeLeft(seconds) {
  if (seconds === null || seconds === undefined) return "";
  if (seconds < 60) return `about ${Math.max(1, Math.round(seconds))} s left`;
  if (seconds < 5400) return `about ${Math.round(seconds / 60)} min left`;
  return `about ${(seconds / 3600).toFixed(1)} h left`;
}

function bar(share, kind) {
  const inner = el("span", { class: `fill ${kind}` });
  inner.style.width = `${Math.round(100 * Math.min(1, Math.max(0, share)))}%`;
  return el("span", { class: "bar", "aria-hidden": "true" }, inner);
}

function fact(label, value, ...more) {
  return el("div", { class: "fact" }, el("dt", {}, label), el("dd", {}, el("span", { class: "value" }, value), ...more));
}

// The headline

export function lead(library, version) {
  if (!version) return "Nothing has been learnt yet. Drop a document to begin.";
  if (!version.documents.length) return "This version knows no document.";
  const documents = plural(version.documents.length, "document");
  const gain = version.questions_asked
    ? ` Of ${plural(version.questions_asked, "test question")} that decided nothing, ${version.right_before} were right` +
      ` before learning and ${version.right_after} are now.`
    : "";
  return `${plural(version.known, "chunk")} of ${documents} known.${gain}`;
}

export function facts(version) {
  const asked = version.questions_asked;
  const probe = version.probe;
  return [
    fact(version.aliases.includes("live") ? "Live version" : "Version", `${version.number}`,
      el("span", { class: "small" }, when(version.created))),
    fact("Documents", `${version.documents.length}`, el("span", { class: "small" }, `${plural(version.known, "chunk")} known`)),
    asked
      ? fact("Right before → after", `${version.right_before} → ${version.right_after}`,
          bar(version.right_before / asked, "before"), bar(version.right_after / asked, "after"),
          el("span", { class: "small" }, `of ${plural(asked, "question")}`))
      : fact("Right before → after", "–", el("span", { class: "small" }, "no question was asked")),
    probe?.known_before
      ? fact("Known before, still known", `${probe.still_known} of ${probe.known_before}`,
          bar(probe.still_known / probe.known_before, "after"),
          el("span", { class: "small" }, "questions of common knowledge"))
      : fact("Known before, still known", "–", el("span", { class: "small" }, "nothing was known before, or it was not asked")),
  ];
}

// Documents

const STATUS = {
  kept: ["✓", "known"],
  rejected: ["✗", "rejected"],
  quarantined: ["!", "quarantined"],
  failed: ["✗", "failed"],
  pending: ["…", "not learnt yet"],
  noted: ["…", "in sight, not learnt yet"],
  waiting: ["?", "waits for a person"],
  superseded: ["✗", "superseded"],
};

function badge(status) {
  const [mark, word] = STATUS[status] ?? ["?", status];
  return el("span", { class: `badge ${status}` }, el("span", { "aria-hidden": "true" }, `${mark} `), word);
}

function verdict(isRight) {
  return el("span", { class: isRight ? "mark right" : "mark wrong" },
    el("span", { "aria-hidden": "true" }, isRight ? "✓ " : "✗ "), isRight ? "right" : "wrong");
}

function answered(label, text, isRight) {
  return el("div", { class: "answered" }, el("dt", {}, label, " ", verdict(isRight)),
    el("dd", { dir: "auto" }, text || el("em", {}, "no answer")));
}

function question(one) {
  return el("li", {}, el("p", { class: "asked", dir: "auto" }, one.question),
    el("dl", { class: "answers" },
      el("div", { class: "answered" }, el("dt", {}, "Document says"), el("dd", { dir: "auto" }, one.gold)),
      answered("Before", one.before, one.right_before),
      answered("After", one.after, one.right_after)));
}

const WRITERS = { sentences: "the document's own sentences", model: "written by the model" };

function chunk(one) {
  const drift = one.drift
    ? `General text ${one.drift > 0 ? "loses" : "gains"} ${Math.abs(one.drift).toFixed(2)} nats per token under its adapter.` : "";
  return el("li", { class: `chunk ${one.status}` },
    el("h4", {}, name(one.place), " ", badge(one.status)),
    one.reason ? el("p", { class: "reason", dir: "auto" }, one.reason) : null,
    one.questions.length
      ? el("ul", { class: "plain questions" }, ...one.questions.map(question))
      : el("p", { class: "note" }, "No question about it was held back to be reported."),
    one.edit
      ? el("details", { class: "edit" },
          el("summary", {}, `The self-edit that was studied (${WRITERS[one.writer] ?? one.writer})`),
          el("pre", { dir: "auto", tabindex: "0", "aria-label": `Self-edit of ${one.place}` }, one.edit))
      : null,
    drift ? el("p", { class: "note" }, drift) : null);
}

export function documentRow(one, isOpen, canForget, forget, toggled) {
  const held = {};
  for (const part of one.chunks) if (!part.is_known) held[part.status] = (held[part.status] ?? 0) + 1;
  const asked = one.questions_asked;
  const body = el("div", { class: "inside" });
  const fill = () => {
    if (body.childElementCount) return;
    body.append(
      el("div", { class: "row between" },
        el("span", { class: "note" }, one.is_dropped ? "Dropped onto this page" : "From a folder", " · SHA-256 ",
          el("code", {}, one.sha256.slice(0, 12))),
        canForget ? el("button", { type: "button", class: "danger", onclick: () => forget(one) }, "Forget ", name(one.name), " …") : null),
      el("ul", { class: "plain" }, ...one.chunks.map(chunk)));
  };
  if (isOpen) fill();
  const row = el("details", { class: "document", open: isOpen },
    el("summary", {}, el("h3", {}, name(one.name)),
      el("span", { class: "tally" },
        el("span", {}, one.chunks.length ? `${one.known} of ${plural(one.chunks.length, "chunk")} known` : "nothing in it can be learnt"),
        asked ? el("span", {}, `${one.right_before} → ${one.right_after} of ${asked} right`) : null,
        ...Object.entries(held).map(([status, count]) =>
          el("span", { class: `badge ${status}` }, `${count} ${(STATUS[status] ?? ["", status])[1]}`)))),
    body);
  row.addEventListener("toggle", () => { if (row.open) fill(); toggled(one.name, row.open); });
  return el("li", {}, row);
}

export function droppedRow(file, forget) {
  return el("li", { class: "document dropped" },
    el("h3", {}, name(file)), el("p", { class: "note" },
      "Dropped, and not learnt: it waits, its learning failed, or it could not be read. Looking for changes tries it again."),
    el("button", { type: "button", class: "danger", onclick: () => forget({ name: file, is_dropped: true }) }, "Delete ", name(file), " …"));
}

// Lost and forgotten

export function lost(version, struck) {
  const parts = [];
  const probe = version?.probe;
  if (probe?.lost.length) {
    parts.push(el("h3", {}, `${plural(probe.lost.length, "question")} of common knowledge known before and not now`),
      el("ul", {}, ...probe.lost.map((one) => el("li", {}, one.question))));
  } else if (probe?.known_before) {
    parts.push(el("p", {}, `All ${probe.known_before} questions of common knowledge that were known before still are.`));
  } else {
    parts.push(el("p", { class: "note" }, "Of questions of common knowledge, none was known before, or none was asked."));
  }
  const astray = probe?.astray.filter((one) => !probe.lost.some((other) => other.id === one.id)) ?? [];
  if (astray.length) {
    parts.push(el("h3", {}, `${plural(astray.length, "question")} that a document answers, though none is about it`),
      el("ul", {}, ...astray.map((one) => el("li", {}, one.question))));
  }
  if (struck.length) {
    parts.push(el("p", {}, `${struck.length === 1 ? "Version" : "Versions"} ${struck.join(", ")} held what was forgotten since, and ` +
      `${struck.length === 1 ? "is" : "are"} gone.`));
  }
  return parts;
}

// Versions

export function versionItem(one, parentIsThere, shown, does) {
  const isLive = one.aliases.includes("live");
  const others = one.aliases.filter((alias) => alias !== "live");
  const label = `Version ${one.number}`;
  return el("li", { class: isLive ? "version live" : "version", "aria-current": isLive ? "true" : null, value: one.number },
    el("h3", {}, label, isLive ? el("span", { class: "badge live" }, "● live") : null,
      ...others.map((alias) => el("span", { class: "badge" }, alias)),
      one.is_consolidated ? el("span", { class: "badge" }, one.chunks_by_their_own ? "consolidated in part" : "consolidated") : null),
    el("p", { class: "small" }, `${when(one.created)} · ${plural(one.documents, "document")}, ${plural(one.known, "chunk")} known · `,
      one.parent ? `made from version ${one.parent}` : "made from none"),
    one.chunks_by_their_own
      ? el("p", { class: "small" }, `One adapter answers about ${plural(one.chunks_by_one_adapter, "chunk")}; ` +
          `${one.chunks_by_their_own} newer by their own.`)
      : null,
    one.note ? el("p", { class: "small", dir: "auto" }, one.note) : null,
    el("div", { class: "row" },
      isLive
        ? el("button", { type: "button", onclick: does.rollback, disabled: !parentIsThere },
            parentIsThere ? `Roll back to version ${one.parent}` : "Nothing to roll back to")
        : el("button", { type: "button", onclick: () => does.promote(one.number) }, `Make version ${one.number} live`),
      shown ? el("span", { class: "small" }, "shown here")
        : el("button", { type: "button", class: "quiet", onclick: () => does.show(one.number) }, `Look at version ${one.number}`)));
}

export function struckItem(number) {
  return el("li", { class: "version struck", value: number },
    el("h3", {}, `Version ${number}`, el("span", { class: "badge" }, "struck")),
    el("p", { class: "small" }, "It held what was forgotten since, and is gone."));
}

// Answers

function meter(share) {
  const filled = el("span", { class: "fill after" });
  filled.style.width = `${Math.round(100 * share)}%`;
  const told = `${Math.round(100 * share)} %`;
  return el("div", { class: "meter" }, el("span", { id: "confidence-label" }, "Confidence"),
    el("span", { class: "bar", role: "meter", "aria-labelledby": "confidence-label", "aria-valuemin": 0, "aria-valuemax": 100,
      "aria-valuenow": Math.round(100 * share), "aria-valuetext": told }, filled),
    el("span", { class: "small" }, told));
}

export function answer(reply) {
  const parts = [];
  if (reply.is_known) {
    parts.push(el("p", { class: "said", dir: "auto" }, reply.answer),
      el("p", { class: "small" }, "From ", name(reply.source ?? "an unnamed place"), ", as ", name(reply.version), " knows it"),
      meter(reply.confidence),
      el("p", { class: "note" }, "How probable the adapter finds its own words. It is not how often such answers are right."));
  } else {
    parts.push(el("p", { class: "said" }, "I have not learnt this."),
      el("p", { class: "small" }, "No document shares enough words with the question; asked was ", name(reply.version), "."));
  }
  const others = reply.is_known ? reply.weighed.slice(1) : reply.weighed;
  if (others.length) {
    parts.push(el("details", {}, el("summary", {}, `What else was weighed (${others.length})`),
      el("ul", { class: "plain weighed" }, ...others.map((one) => el("li", {},
        el("p", { dir: "auto" }, one.answer),
        el("p", { class: "small" }, name(one.source), ` · ${Math.round(100 * one.words)} % of the question's words · confidence ` +
          `${Math.round(100 * one.confidence)} % · ${one.lift.toFixed(2)} nats likelier by its adapter`))))));
  } else if (reply.is_known) parts.push(el("p", { class: "note" }, "Nothing else was weighed."));
  return el("div", { class: reply.is_known ? "card known" : "card unknown" }, el("p", { class: "asked", dir: "auto" }, reply.question), ...parts);
}

// Jobs

const KINDS = { learn: "Learning", forget: "Forgetting" };

function outcome(job) {
  const found = job.result;
  if (job.kind === "forget") return `Forgotten: ${found.forgotten.join(", ")}.`;
  if (found.is_idle) return "There was nothing to do: all that can be read there is known or was held back already.";
  const asked = found.questions_asked
    ? ` ${found.right_before} → ${found.right_after} of ${plural(found.questions_asked, "question")} right.` : "";
  return `Version ${found.version}: ${found.new} new, ${found.changed} changed, ${found.gone} gone; ` +
    `${plural(found.chunks_known, "chunk")} known.${asked} It took ${Math.max(1, Math.round(found.seconds))} s.`;
}

export function jobCard(job, title) {
  const isOver = job.status === "done" || job.status === "failed";
  const head = el("h3", {}, `${KINDS[job.kind] ?? job.kind} `, title ? name(title) : "",
    el("span", { class: `badge ${job.status === "failed" ? "failed" : job.status === "done" ? "kept" : ""}` },
      { queued: "waits", running: "runs", done: "✓ done", failed: "✗ failed" }[job.status] ?? job.status));
  const parts = [head];
  if (!isOver) {
    const share = job.total ? job.done / job.total : null;
    const filled = el("span", { class: "fill after" });
    if (share !== null) filled.style.width = `${Math.round(100 * share)}%`;
    const left = timeLeft(job.seconds_left);
    parts.push(
      el("p", { class: "stage" }, job.stage || (job.status === "queued" ? "Waits for what is before it" : "Begins")),
      el("span", { class: share === null ? "bar unknown" : "bar", role: "progressbar", "aria-label": `Progress: ${job.stage || job.status}`,
        "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": share === null ? null : Math.round(100 * share) }, filled),
      el("p", { class: "small" }, [job.total ? `${job.done} of ${job.total}` : "", left, job.note].filter(Boolean).join(" · ")));
  }
  if (job.status === "done") parts.push(el("p", {}, outcome(job)));
  if (job.status === "failed") parts.push(el("p", { class: "trouble" }, job.error));
  const held = job.result?.not_kept ?? [];
  if (held.length) {
    parts.push(el("ul", { class: "plain" }, ...held.slice(0, 8).map((one) =>
      el("li", {}, badge(one.status), " ", name(one.place || one.document), one.reason ? `: ${one.reason}` : ""))));
    if (held.length > 8) parts.push(el("p", { class: "small" }, `and ${held.length - 8} more`));
  }
  for (const warning of job.warnings) parts.push(el("p", { class: "small" }, warning));
  return el("div", { class: `card job ${job.status}`, "data-job": job.id }, ...parts);
}
