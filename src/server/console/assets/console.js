// The console's one module. Pages work without it; it makes them live and spares some typing.
//
// Live: news of the node (`/live`) make the page be fetched again, and its `[data-live]` parts take the place of the old
// ones: except a part in which somebody is typing, or has typed what is not sent yet.

const token = document.querySelector("meta[name=wicketgate-token]")?.content;

// --- times: in the reader's zone, the exact one as title -------------------------------------------------------------

const today = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const other = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

function tellTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    time.textContent = (at.toDateString() === new Date().toDateString() ? today : other).format(at);
  }
}

// --- live parts -------------------------------------------------------------------------------------------------------

const typed = new WeakSet();
document.addEventListener("input", (event) => {
  for (let part = event.target.closest("[data-live]"); part; part = part.parentElement?.closest("[data-live]")) typed.add(part);
});

const busy = (part) => typed.has(part) || (part.contains(document.activeElement) && document.activeElement.matches("input, textarea, select"));

let asking = false;
let askAgain = false;

async function refresh() {
  // A page that comes into sight opens its stream, and is fetched then.
  if (document.hidden) return;
  if (asking) return void (askAgain = true);
  asking = true;
  askAgain = false;
  try {
    const answer = await fetch(location.href, { headers: { "x-wicketgate-token": token }, redirect: "error" });
    if (answer.ok) replace(new DOMParser().parseFromString(await answer.text(), "text/html"));
  } catch {
    // The stream tells when the node is gone, and comes back by itself.
  } finally {
    asking = false;
    if (askAgain) later();
  }
}

function replace(page) {
  for (const part of document.querySelectorAll("[data-live]")) {
    const fresh = page.querySelector(`[data-live="${CSS.escape(part.dataset.live)}"]`);
    if (!fresh || busy(part)) continue;
    tellTimes(fresh);
    if (fresh.innerHTML === part.innerHTML) continue;
    const focused = part.contains(document.activeElement) ? place(part, document.activeElement) : undefined;
    const open = new Set([...part.querySelectorAll("details[open][id]")].map((one) => one.id));
    part.replaceChildren(...fresh.childNodes);
    for (const one of part.querySelectorAll("details[id]")) one.open ||= open.has(one.id);
    if (focused) part.querySelectorAll(focused.like)[focused.at]?.focus();
  }
}

// How to find the same element again in a part that is put in anew.
function place(part, one) {
  const marks = ["id", "href", "name", "aria-label"].filter((mark) => one.getAttribute(mark));
  const like = one.tagName + (marks.length ? `[${marks[0]}="${CSS.escape(one.getAttribute(marks[0]))}"]` : "");
  return { like, at: [...part.querySelectorAll(like)].indexOf(one) };
}

let due;
const later = () => { due ??= setTimeout(() => { due = undefined; refresh(); }, 250); };

// A browser opens few connections to one host: a page that nobody sees gives its own back.
function listen() {
  if (!token || !document.querySelector("[data-live]")) return;
  const gone = document.getElementById("gone");
  let stream, again;
  const open = () => {
    clearTimeout(again);
    stream?.close();
    stream = new EventSource("/live");
    for (const kind of ["connection", "twin", "error", "job", "tracker"]) stream.addEventListener(kind, later);
    // What happened between the page and the stream, or while it was cut, was told to nobody.
    stream.addEventListener("open", () => {
      gone.hidden = true;
      later();
    });
    stream.addEventListener("error", lost);
  };
  const lost = async () => {
    const answer = await fetch(location.href, { headers: { "x-wicketgate-token": token }, redirect: "manual" }).catch(() => undefined);
    gone.textContent = answer?.type === "opaqueredirect"
      ? "You are no longer signed in. What you send now asks for your password first, and nothing typed is lost."
      : "The node does not answer at the moment. This page goes on by itself when it does.";
    gone.hidden = false;
    if (stream.readyState === EventSource.CLOSED && !document.hidden) again = setTimeout(open, 10_000);
  };
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) return open();
    clearTimeout(again);
    stream.close();
  });
  // Ages of what does not change grow, too.
  setInterval(later, 30_000);
  addEventListener("pagehide", () => stream.close());
  addEventListener("pageshow", (event) => { if (event.persisted) open(); });
  if (!document.hidden) open();
}

// --- helps in forms ---------------------------------------------------------------------------------------------------

function wait(ms, act) {
  let timer;
  return (...given) => { clearTimeout(timer); timer = setTimeout(() => act(...given), ms); };
}

// Sends a form to a path and puts the answer, a fragment of ours, into an element; what came before a newer question is
// passed over, and what says the same again is left as it is, for it is read aloud.
const asked = new WeakMap();

async function fragment(path, form, into) {
  const number = (asked.get(into) ?? 0) + 1;
  asked.set(into, number);
  const sent = { method: "POST", body: new URLSearchParams(new FormData(form)), headers: { "x-wicketgate-token": token }, redirect: "error" };
  const answer = await fetch(path, sent).catch(() => undefined);
  const text = answer?.ok ? await answer.text() : "";
  if (asked.get(into) !== number) return;
  const page = new DOMParser().parseFromString(text, "text/html");
  tellTimes(page.body);
  if (page.body.innerHTML !== into.innerHTML) into.replaceChildren(...page.body.childNodes);
}

for (const field of document.querySelectorAll("[data-check]")) {
  const into = document.getElementById(field.dataset.checkInto);
  const ask = wait(500, async () => {
    if (!field.value.trim() && field.type === "url" || !field.checkValidity()) {
      asked.set(into, (asked.get(into) ?? 0) + 1);
      return into.replaceChildren();
    }
    await fragment(field.form.dataset.checks ?? field.dataset.check, field.form, into);
    mark(into);
  });
  field.addEventListener("input", ask);
}

for (const field of document.querySelectorAll("[data-propose]")) {
  const sources = field.dataset.propose.split(" ").map((id) => document.getElementById(id));
  const proposal = () => sources.every((one) => one.value.trim()) ? sources.map((one) => one.value.trim()).join("_to_") : "";
  let own = field.value !== "" && field.value !== proposal();
  field.addEventListener("input", () => { own = field.value !== ""; });
  for (const source of sources) source.addEventListener("input", () => { if (!own) field.value = proposal(); });
}

// --- the rules editor -------------------------------------------------------------------------------------------------

// Numbers beside a text, scrolled with it; lines in which something was found are marked.
function number(area) {
  const lines = document.querySelector(`[data-lines="${area.id}"]`);
  const count = area.value.split("\n").length;
  if (lines.childElementCount !== count) {
    lines.replaceChildren(...Array.from({ length: count }, (_, at) => {
      const line = document.createElement("div");
      line.textContent = at + 1;
      return line;
    }));
  }
  lines.scrollTop = area.scrollTop;
}

function mark(found) {
  for (const line of document.querySelectorAll("[data-lines] .wrong")) line.classList.remove("wrong");
  for (const one of found.querySelectorAll("[data-line]")) {
    document.querySelector(`[data-lines="${one.dataset.rule}"]`)?.children[one.dataset.line - 1]?.classList.add("wrong");
  }
}

let last;
for (const lines of document.querySelectorAll("[data-lines]")) {
  const area = document.getElementById(lines.dataset.lines);
  number(area);
  area.addEventListener("input", () => number(area));
  area.addEventListener("scroll", () => { lines.scrollTop = area.scrollTop; });
  area.addEventListener("focus", () => { last = area; });
  last ??= area;
}
if (document.querySelector("[data-lines]")) mark(document.getElementById("found"));

for (const button of document.querySelectorAll("[data-insert]")) {
  button.addEventListener("click", () => {
    last.focus();
    last.setRangeText(button.dataset.insert, last.selectionStart, last.selectionEnd, "end");
    last.dispatchEvent(new Event("input", { bubbles: true }));
  });
}

for (const field of document.querySelectorAll("[data-propose]")) {
  const sources = field.dataset.propose.split(" ").map((id) => document.getElementById(id));
  const proposal = () => sources.every((one) => one.value.trim()) ? sources.map((one) => one.value.trim()).join("_to_") : "";
  let own = field.value !== "" && field.value !== proposal();
  field.addEventListener("input", () => { own = field.value !== ""; });
  for (const source of sources) source.addEventListener("input", () => { if (!own) field.value = proposal(); });
}

// Heard at the document: a button may stand in a part that is put in anew.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const said = button.textContent;
  const source = document.getElementById(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(source.textContent.trim());
    button.textContent = "Copied";
  } catch {
    source.closest("details")?.setAttribute("open", "");
    getSelection().selectAllChildren(source);
    button.textContent = "Selected: press Ctrl+C";
  }
  setTimeout(() => { button.textContent = said; }, 2500);
});

// On a phone the navigation scrolls: where one is comes into sight.
const nav = document.querySelector(".top nav");
const here = nav?.querySelector("[aria-current]");
if (here) nav.scrollLeft = here.offsetLeft - (nav.clientWidth - here.offsetWidth) / 2;

// The set-up code stands behind # in the address, where no proxy sees it.
for (const field of document.querySelectorAll("[data-from-address]")) {
  if (location.hash.length > 1) {
    field.value = location.hash.slice(1);
    history.replaceState(null, "", location.pathname);
  }
}

// A page that was answered to a form stands under the address where a reload finds what it made.
const address = document.querySelector("[data-address]")?.dataset.address;
if (address) history.replaceState(null, "", address);

// A form is sent once. What it held is kept until its answer: where the session has ended meanwhile, the person signs in and
// finds it again. Passwords and the session's own marks are not kept.

const KEPT = "wicketgate-form";
const SIGNED_IN = "wicketgate-signed-in";
const person = document.querySelector(".who [title]")?.title;
const plain = (field) => field.name && field.type !== "password" && !["_token", "_key", "step"].includes(field.name) && field.tagName !== "BUTTON";

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.sent) return event.preventDefault();
  if (form.method !== "post") return;
  const action = form.getAttribute("action");
  if (action !== "/invitation-file") {
    form.dataset.sent = "yes";
    // It may have been stopped on its way.
    setTimeout(() => { delete form.dataset.sent; }, 5_000);
  }
  if (action === "/sign-in") return sessionStorage.setItem(SIGNED_IN, "yes");
  sessionStorage.removeItem(KEPT);
  if (action === "/sign-out") return sessionStorage.removeItem(SIGNED_IN);
  const fields = [...form.elements].filter(plain).map((field) => [field.name, field.type, field.value, field.checked]);
  // A form of buttons alone holds nothing that somebody typed.
  if (fields.some(([, type]) => type !== "hidden")) sessionStorage.setItem(KEPT, JSON.stringify({ action, person, fields }));
});
addEventListener("pageshow", () => { for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent; });

function giveBack() {
  if (document.querySelector("form[action='/sign-in']")) return;
  const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? "null");
  const anew = sessionStorage.getItem(SIGNED_IN) || location.hash === "#anew";
  if (location.hash === "#anew") history.replaceState(null, "", location.pathname + location.search);
  sessionStorage.removeItem(KEPT);
  sessionStorage.removeItem(SIGNED_IN);
  if (!kept || !anew || kept.person !== person) return;
  const same = [...document.forms].filter((one) => one.getAttribute("action") === kept.action);
  const form = same.length === 1 ? same[0] : undefined;
  if (!form) return;
  for (const [name, type, value, checked] of kept.fields) {
    for (const field of form.elements) {
      if (field.name !== name || !plain(field)) continue;
      if (type === "checkbox" || type === "radio") {
        if (field.value === value) field.checked = checked;
      } else field.value = value;
    }
  }
  const note = document.createElement("p");
  note.className = "note";
  note.setAttribute("role", "status");
  note.textContent = "Your session had ended before this was sent. What you typed is back: look it through and send it again.";
  form.prepend(note);
  for (const field of form.elements) field.dispatchEvent(new Event("input", { bubbles: true }));
}

// A form that was refused says so first, and leads to what is wrong.
const wrong = document.querySelector("[aria-invalid=true]") ?? document.querySelector("main [role=alert]");
if (wrong) {
  document.title = `Not done: ${document.title}`;
  if (wrong.matches("[role=alert]")) wrong.tabIndex = -1;
  wrong.focus();
}

giveBack();
tellTimes(document);
listen();
