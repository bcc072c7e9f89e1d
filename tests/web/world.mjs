// What the page is tested against: the mock, or a real daemon. Tests ask for what they need by words; a world that cannot do
// a thing says so, and the test is skipped.
//
// A real daemon is given by the environment:
//   QANAT_WEB_BASE     "https://127.0.0.1:8443/"
//   QANAT_WEB_TOKEN    a token with read, write and capture
//   QANAT_WEB_READER   a token with read alone
//   QANAT_WEB_SPKI     base64 of the SHA-256 of the certificate's public key, where no authority that Chromium knows signed it
//   QANAT_WEB_DRIVER   a program that makes things happen: it gets the words below as arguments, prints JSON, and ends with 77
//                      for what it cannot do
//
//   waiting            { "name" } of a tunnel that is configured, wanted up, and not up
//   up NAME            it comes up
//   steady             { "name" } of a tunnel that is up and healthy; its PSK may be generated through the API
//   degrade NAME       its path begins to lose packets
//   traffic NAME       some packets go through it now
//   captures           nothing, where the gateway captures packets
//   token              { "token" }: a new one with read alone
//   expire TOKEN       it is known no more
//   stop | start       the daemon, in the same place
import { execFile } from "node:child_process";

import { Mock } from "./mock.mjs";

export class Cannot extends Error {}

class MockWorld {
  admin = "admin";
  reader = "reader";
  mock = new Mock();

  async open() {
    this.base = await this.mock.start();
  }
  close() {
    return this.mock.stop();
  }
  async ask(word, argument) {
    const { mock } = this;
    switch (word) {
      case "waiting":
        return { name: mock.tunnels.find((t) => t.actual !== "up" && t.wanted === "up").name };
      case "up":
        return mock.up(argument);
      case "steady":
        return { name: mock.tunnels.find((t) => t.actual === "up" && t.health.state === "healthy").name };
      case "degrade":
        return mock.degrade(argument);
      case "traffic":
      case "captures":
        return {};
      case "token":
        mock.tokens.set("short-lived", { name: "short", account: null, read: true, write: false, capture: false });
        return { token: "short-lived" };
      case "expire":
        return mock.tokens.delete(argument);
      case "stop":
        return mock.stop();
      case "start":
        return mock.startAgain();
      default:
        throw new Cannot(word);
    }
  }
}

class RealWorld {
  base = process.env.QANAT_WEB_BASE;
  admin = process.env.QANAT_WEB_TOKEN;
  reader = process.env.QANAT_WEB_READER;
  mock = null;

  async open() {}
  async close() {}
  ask(...words) {
    const driver = process.env.QANAT_WEB_DRIVER;
    if (!driver) throw new Cannot(words[0]);
    return new Promise((resolve, reject) => {
      execFile(driver, words, { timeout: 180000 }, (error, output, faults) => {
        if (error?.code === 77) reject(new Cannot(words[0]));
        else if (error) reject(new Error(`${driver} ${words.join(" ")}: ${error.message}\n${faults}`));
        else resolve(output.trim() ? JSON.parse(output) : {});
      });
    });
  }
}

export async function makeWorld() {
  const world = process.env.QANAT_WEB_BASE ? new RealWorld() : new MockWorld();
  await world.open();
  return world;
}
