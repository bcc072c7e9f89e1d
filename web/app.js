// The page: a token, one Live connection, and the view that the address names. Views are { title, node, update(),
// events()?, destroy() }: update() after every status, events() when events came.
import { Api } from "./api.js";
import { el, setAttribute, setText } from "./dom.js";
import { Live } from "./live.js";
import { capture } from "./views/capture.js";
import { events } from "./views/events.js";
import { login } from "./views/login.js";
import { overview } from "./views/overview.js";
import { posture } from "./views/posture.js";
import { routes } from "./views/routes.js";
import { tunnel } from "./views/tunnel.js";

const STORED = "qanat-token";
const VIEWS = [
  ["", "Overview", overview],
  ["routes", "Routes", routes],
  ["posture", "Posture", posture],
  ["events", "Events", events],
  ["capture", "Capture", capture],
];
const CONNECTIONS = { connecting: "connecting", live: "live", polling: "live, by polling", lost: "reconnecting" };
const TONES = { connecting: "warn", live: "good", polling: "good", lost: "bad" };

const $ = (id) => document.getElementById(id);
const place = {
  main: $("main"),
  nav: $("nav"),
  who: $("who"),
  banner: $("banner"),
  notices: $("notices"),
  spoken: $("spoken"),
};
const link = el(
  "span",
  { class: "link", id: "connection", role: "status", "aria-label": "Connection" },
  el("span", { class: "dot" }),
  el("span", {}),
);

let session = null; // { api, live, who, account, can(), busy(), notice(), findTunnel() }
let view = null;

function show(next, focus) {
  view?.destroy();
  view = next;
  place.main.replaceChildren(view.node);
  document.title = `${view.title} · Qanat`;
  view.update();
  view.events?.();
  if (!focus) return;
  (view.focus ?? view.node.querySelector("h1")).focus({ preventScroll: true });
  scrollTo(0, 0);
}

function go(focus) {
  if (!session) return;
  const [kind, name] = location.hash.replace(/^#\/?/, "").split("/");
  for (const item of place.nav.querySelectorAll("a"))
    setAttribute(
      item,
      "aria-current",
      item.dataset.view === (kind === "tunnel" ? "" : kind) ? (kind === "tunnel" ? "true" : "page") : null,
    );
  if (kind === "tunnel" && name) return show(tunnel(session.live, session, decoded(name)), focus);
  const [, , make] = VIEWS.find(([word]) => word === kind) ?? VIEWS[0];
  show(make(session.live, session), focus);
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function notice(text, tone = "good") {
  const item = el(
    "p",
    { class: tone },
    text,
    el("button", { "aria-label": "Dismiss", class: "plain", onclick: () => item.remove() }, "×"),
  );
  place.notices.append(item);
  while (place.notices.children.length > 4) place.notices.firstChild.remove();
  setTimeout(() => item.remove(), tone === "bad" ? 20000 : 8000);
}

// Runs what a button does: not twice at once, and what goes wrong is said.
async function busy(button, act) {
  if (button.getAttribute("aria-busy")) return;
  button.setAttribute("aria-busy", "true");
  try {
    await act();
  } catch (error) {
    notice(error.message, "bad");
  } finally {
    button.removeAttribute("aria-busy");
  }
}

function connection() {
  if (!session) return; // an answer that came after the end
  const now = session.live.connection;
  setAttribute(link, "class", `link ${TONES[now]}`);
  setText(link.lastChild, CONNECTIONS[now]);
  const version = session.live.newVersion;
  const text =
    now === "lost"
      ? "The gateway does not answer. What you see is as it was; the page goes on asking."
      : version
        ? `The gateway runs version ${version} now: reload this page.`
        : "";
  setText(place.banner, text);
  place.banner.hidden = text === "";
}

function enter({ token, who }) {
  sessionStorage.setItem(STORED, token);
  const api = new Api(token, () => leave("This token is not accepted any more. Log in again."));
  const live = new Live(api);
  const scopes = ["read", "write", "capture"].filter((scope) => who[scope] === true);
  const account = who.account ?? "default";
  session = {
    api,
    live,
    who,
    account,
    notice,
    busy,
    can: (scope) => scopes.includes(scope),
    // Where the API has the tunnel of that name; null when it has not.
    async findTunnel(name) {
      const base = `/client/v4/accounts/${encodeURIComponent(account)}/magic/ipsec_tunnels`;
      const found = ((await api.get(base)).result?.ipsec_tunnels ?? []).find((each) => each.name === name);
      return found ? { ...found, path: `${base}/${encodeURIComponent(found.id)}` } : null;
    },
  };
  live.addEventListener("status", () => {
    view.update();
    connection();
  });
  live.addEventListener("events", () => view.events?.());
  live.addEventListener("connection", connection);
  live.addEventListener("refused", ({ detail }) => leave(`This token may not see the gateway: ${detail}.`));
  live.addEventListener("changes", ({ detail }) => {
    place.spoken.append(...detail.map((sentence) => el("p", {}, sentence)));
    while (place.spoken.children.length > 20) place.spoken.firstChild.remove();
  });
  place.nav.replaceChildren(
    el(
      "ul",
      {},
      VIEWS.filter(([word]) => word !== "capture" || session.can("capture")).map(([word, title]) =>
        el("li", {}, el("a", { href: `#/${word}`, "data-view": word }, title)),
      ),
    ),
  );
  place.who.replaceChildren(
    link,
    el(
      "span",
      {
        class: "name",
        title: `may: ${scopes.join(", ") || "nothing"}${who.account ? `, account ${who.account}` : ""}`,
      },
      who.name ?? "",
      session.can("write") ? "" : " (read only)",
    ),
    el("button", { onclick: () => leave("") }, "Log out"),
  );
  place.nav.hidden = place.who.hidden = false;
  connection();
  go(true);
  live.start();
}

function leave(why) {
  if (session) session.live.stop();
  session = null;
  sessionStorage.removeItem(STORED);
  for (const dialog of document.querySelectorAll("dialog")) dialog.remove();
  place.nav.hidden = place.who.hidden = place.banner.hidden = true;
  place.spoken.replaceChildren();
  show(login(why, enter), true);
}

async function begin() {
  const token = sessionStorage.getItem(STORED);
  if (!token) return leave("");
  let refused = false;
  while (true) {
    try {
      return enter({
        token,
        who: await new Api(token, () => {
          refused = true;
        }).get("/v1/whoami"),
      });
    } catch (error) {
      if (refused) return leave("This token is not accepted any more. Log in again.");
      place.main.replaceChildren(el("p", { class: "quiet", role: "status" }, `Reconnecting: ${error.message}.`));
      await new Promise((resolve) => {
        setTimeout(resolve, 2000);
      });
    }
  }
}

addEventListener("hashchange", () => go(true));
// Not by its address: the part behind "#" names the view.
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  place.main.focus();
});
begin();
