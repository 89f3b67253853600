"use strict";
// Keeps the mapping page as one chooses: the form is sent after each change, and
// what the bridge answers is put in. Without this script its buttons do the same.
const byId = (id) => document.getElementById(id);
const form = byId("map");
let queue = Promise.resolve(); // one request at a time: each begins with the block of the last
let timer;

const send = (parts, button) => { queue = queue.then(() => ask(parts, button)); return queue; };

async function ask(parts, button) {
  let page;
  try {
    const answer = await fetch("/mapping", { method: "POST", body: new URLSearchParams(new FormData(form, button)) });
    if (!answer.ok) throw new Error(await answer.text());
    page = new DOMParser().parseFromString(await answer.text(), "text/html");
  } catch {
    byId("said").textContent = "The bridge did not answer: what you see is old.";
    return;
  }
  byId("said").textContent = "";
  const opened = [...form.querySelectorAll("details")].map((d) => d.open);
  const focused = document.activeElement?.id;
  for (const id of ["problems", ...parts]) {
    const part = page.getElementById(id);
    if (part && byId(id) && part.innerHTML !== byId(id).innerHTML) byId(id).replaceChildren(...part.childNodes);
  }
  if (!parts.includes("detail")) form.querySelectorAll("details").forEach((d, i) => { if (i in opened) d.open = opened[i]; });
  if (focused && document.activeElement?.id !== focused) byId(focused)?.focus();
  ready();
}

// What needs this script is shown by it.
function ready() { for (const e of document.querySelectorAll("[data-script]")) e.hidden = false; }

function shown() { return [...form.querySelectorAll(".fields tbody tr")].filter((row) => !row.hidden); }

function choose(on) {
  for (const row of shown()) { const box = row.querySelector("[name=field]"); if (!box.disabled) box.checked = on; }
  byId("some").checked = true;
  send(["chosen", "result"]);
}

form.addEventListener("submit", async (e) => {
  const button = e.submitter;
  if (button?.hasAttribute("formaction")) return; // a download
  e.preventDefault();
  if (button?.name === "search") return send(["found"]);
  await send(["chosen", "found", "detail", "result"], button);
  if (button?.name === "show") byId("h-detail")?.focus();
  if (button?.name === "drop") byId("q")?.focus();
});

form.addEventListener("change", (e) => {
  if (e.target.name === "field" || e.target.name === "parents") byId("some").checked = true;
  if (e.target.id === "every") for (const box of form.querySelectorAll("[name=field]:not(:disabled)")) box.checked = true;
  if (e.target.name === "index" && e.target.checked) e.target.closest("tr").querySelector("[name=field]").checked = true;
  if (!["q", "filter"].includes(e.target.id)) send(e.target.id === "external_id" ? ["chosen", "detail", "result"] : ["chosen", "result"]);
});

form.addEventListener("input", (e) => {
  if (e.target.id === "filter") {
    const text = e.target.value.toLowerCase();
    for (const row of form.querySelectorAll(".fields tbody tr")) row.hidden = !row.textContent.toLowerCase().includes(text);
  }
  if (e.target.id === "q") { clearTimeout(timer); timer = setTimeout(() => send(["found"]), 200); }
});

form.addEventListener("keydown", (e) => { if (e.key === "Enter" && e.target.id === "filter") e.preventDefault(); });

form.addEventListener("click", async (e) => {
  if (e.target.id === "all" || e.target.id === "none") return choose(e.target.id === "all");
  const copy = e.target.closest("[data-copy]");
  if (!copy) return;
  const area = byId(copy.dataset.copy);
  try {
    await navigator.clipboard.writeText(area.value);
    byId("said").textContent = "Copied.";
  } catch { // only pages of https and of this machine may
    area.select();
    byId("said").textContent = document.execCommand("copy") ? "Copied." : "Selected: copy it with Ctrl+C.";
  }
});

ready();
