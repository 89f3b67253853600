"use strict";
// Keeps the page as the bridge is: /live sends each part again when it has changed.
const byId = (id) => document.getElementById(id);
const silence = 6000; // ms; the bridge says something every two seconds
let heard = Date.now();

function old(is) {
  const at = new Date(heard).toLocaleTimeString();
  byId("stale").textContent = is ? `No word from the bridge since ${at}: what you see is old.` : "";
  byId("stale").hidden = !is;
  document.body.classList.toggle("stale", is);
}

const held = new Map(); // what waits for the end of a press: it must end on the element that it began on

function put(id, html) {
  if (byId(id).matches(":active")) { held.set(id, html); return; }
  held.delete(id);
  const focused = document.activeElement && byId(id).contains(document.activeElement) ? document.activeElement.id : "";
  byId(id).innerHTML = html; // rendered and escaped by the bridge
  if (focused && byId(focused)) byId(focused).focus();
}

for (const end of ["pointerup", "pointercancel", "keyup"])
  document.addEventListener(end, () => setTimeout(() => held.forEach((html, id) => put(id, html)))); // after the click

function listen() {
  const source = new EventSource("/live");
  const alive = () => { heard = Date.now(); old(false); };
  source.addEventListener("part", (e) => { alive(); const part = JSON.parse(e.data); put(part.id, part.html); });
  source.addEventListener("beat", alive);
  source.onerror = () => { if (source.readyState === EventSource.CLOSED) setTimeout(listen, 2000); };
}
setInterval(() => { if (Date.now() - heard > silence) old(true); }, 1000);
listen();

// Retry and dismiss, without leaving the page.
document.addEventListener("submit", async (e) => {
  e.preventDefault();
  const button = e.submitter, body = new URLSearchParams(new FormData(e.target, button));
  button.disabled = true;
  try {
    const answer = await fetch(button.hasAttribute("formaction") ? button.formAction : e.target.action, { method: "POST", body, headers: { Accept: "application/json" } });
    byId("answer").textContent = (await answer.json()).message;
  } catch {
    byId("answer").textContent = "The bridge did not answer; nothing is known to have happened.";
  }
  button.disabled = false;
});
