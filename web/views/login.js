import { Api } from "../api.js";
import { el, setText } from "../dom.js";

// Asks for a token until the gateway knows it; then entered({ token, who }).
export function login(why, entered) {
  const token = el("input", {
    id: "token",
    type: "password",
    required: true,
    autocomplete: "off",
    spellcheck: "false",
    "aria-describedby": "token-help token-problem",
  });
  const problem = el("p", { class: "problem", id: "token-problem", role: "alert" }, why);
  const button = el("button", { class: "primary" }, "Log in");

  async function submit(event) {
    event.preventDefault();
    const text = token.value.trim();
    setText(problem, "");
    if (text === "") return setText(problem, "Type or paste a token.");
    button.disabled = true;
    let refused = false;
    try {
      const who = await new Api(text, () => {
        refused = true;
      }).get("/v1/whoami");
      entered({ token: text, who });
    } catch (error) {
      setText(
        problem,
        refused
          ? "The gateway does not know this token, or it has expired."
          : `${error.message[0].toUpperCase()}${error.message.slice(1)}.`,
      );
      button.disabled = false;
      token.focus();
      token.select();
    }
  }

  return {
    title: "Log in",
    node: el(
      "div",
      { class: "view login" },
      el("h1", { tabindex: "-1" }, "Log in"),
      el(
        "form",
        { onsubmit: submit, novalidate: true },
        el("label", { for: "token" }, "Token"),
        token,
        button,
        problem,
        el(
          "p",
          { class: "quiet", id: "token-help" },
          "Made on the gateway by ",
          el("code", {}, "qanat token create NAME"),
          ", and shown there once. It stays in this tab, and goes when the tab is closed.",
        ),
      ),
    ),
    focus: token,
    update() {},
    destroy() {},
  };
}
