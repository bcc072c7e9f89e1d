// Requests to the daemon that has served this page, with the token of the session.
import { EventParser } from "./sse.js";

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status; // 0: no answer
  }
}

// Our own errors, and the envelopes of /client/v4.
function messageOf(body, status) {
  const ours = body?.error?.message;
  const theirs = body?.errors
    ?.map((error) => error.message)
    .filter(Boolean)
    .join("; ");
  return ours || theirs || `the gateway answered with status ${status}`;
}

export class Api {
  constructor(token, onExpired) {
    this.token = token;
    this.onExpired = onExpired;
  }

  get(path, options) {
    return this.#json("GET", path, undefined, options);
  }
  post(path, body, options) {
    return this.#json("POST", path, body, options);
  }
  put(path, body, options) {
    return this.#json("PUT", path, body, options);
  }

  // The octets of an answer, for a download.
  async blob(path) {
    const reply = await this.#fetch("GET", path, undefined, { seconds: 300 });
    return this.#body(() => reply.blob());
  }

  // Calls `each` with every message until the stream ends; throws when it cannot be had or breaks.
  async stream(path, signal, opened, each) {
    const reply = await this.#fetch("GET", path, undefined, { signal, accept: "text/event-stream" });
    if (!(reply.headers.get("Content-Type") ?? "").startsWith("text/event-stream"))
      throw new ApiError(404, "this daemon has no stream of events");
    opened();
    const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
    const parser = new EventParser();
    while (true) {
      const { done, value } = await this.#body(() => reader.read());
      if (done) return;
      parser.feed(value).forEach(each);
    }
  }

  async #json(method, path, body, options) {
    const reply = await this.#fetch(method, path, body, options);
    const text = await this.#body(() => reply.text());
    return text === "" ? null : JSON.parse(text);
  }

  // The connection may also break while the body comes.
  async #body(read) {
    try {
      return await read();
    } catch (error) {
      throw new ApiError(0, `the answer broke off: ${error.message}`);
    }
  }

  async #fetch(method, path, body, { signal, seconds = 20, accept = "application/json" } = {}) {
    const headers = { Accept: accept, Authorization: `Bearer ${this.token}` };
    if (body !== undefined) headers["Content-Type"] = "application/json";
    let reply;
    try {
      reply = await fetch(new URL(`.${path}`, document.baseURI), {
        method,
        headers,
        body: body === undefined ? undefined : JSON.stringify(body),
        cache: "no-store",
        credentials: "omit",
        redirect: "error",
        signal: signal ?? AbortSignal.timeout(seconds * 1000),
      });
    } catch (error) {
      throw new ApiError(
        0,
        error.name === "TimeoutError" ? "the gateway did not answer in time" : "the gateway does not answer",
      );
    }
    if (reply.ok) return reply;
    if (reply.status === 401) this.onExpired();
    throw new ApiError(reply.status, messageOf(await reply.json().catch(() => null), reply.status));
  }
}
