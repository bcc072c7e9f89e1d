// Server-sent events as text comes in: EventSource cannot send an Authorization header, so that fetch() reads them.
// Pure: feed() takes a piece of text and gives the whole messages in it: { id, event, data }.

export class EventParser {
  #rest = "";
  #message = fresh();

  feed(text) {
    const out = [];
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop();
    for (const line of lines) {
      if (line === "") {
        if (this.#message.data.length > 0) out.push({ ...this.#message, data: this.#message.data.join("\n") });
        this.#message = fresh();
        continue;
      }
      const colon = line.indexOf(":");
      if (colon === 0) continue; // a comment: the server is alive
      const name = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
      if (name === "data") this.#message.data.push(value);
      else if (name === "event" || name === "id") this.#message[name] = value;
    }
    return out;
  }
}

function fresh() {
  return { id: "", event: "message", data: [] };
}
