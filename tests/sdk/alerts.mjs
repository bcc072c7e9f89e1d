// Every call that the SDK has below client.alerting, against a receiver that the test runs. One line a step.
//   QANAT_HOOK=https://localhost:9443/hook
import assert from "node:assert/strict";
import { Cloudflare, account_id, client } from "./client.mjs";

const cf = client();
const { policies, destinations, silences, availableAlerts, history } = cf.alerting;
const hooks = destinations.webhooks;
const url = process.env.QANAT_HOOK;
const steps = [];
const step = (name, run) => steps.push([name, run]);
const all = async (pages) => { const out = []; for await (const one of pages) out.push(one); return out; };
const fails = (promise, kind, match) => assert.rejects(promise, (error) => {
  assert.ok(error instanceof kind, `${error.constructor.name} instead of ${kind.name}: ${error.message}`);
  assert.match(error.errors.map((one) => one.message).join("; "), match);
  return true;
});
let hook;
let policy;
let silence;

step("available alerts and destinations", async () => {
  const offered = Object.values(await availableAlerts.list({ account_id })).flat().map((one) => one.type);
  assert.ok(offered.includes("magic_tunnel_health_check_event") && offered.includes("qanat_classical_keys"));
  assert.equal((await destinations.eligible.get({ account_id })).email[0].eligible, false);
  await fails(destinations.pagerduty.get({ account_id }), Cloudflare.NotFoundError, /pagerduty: not offered/);
});
step("a webhook is tested, made, shown, changed", async () => {
  hook = (await hooks.create({ account_id, name: "ops", url, secret: "sdk-secret" })).id;
  assert.match(hook, /^[0-9a-f]{32}$/);
  const shown = await hooks.get(hook, { account_id });
  assert.equal(shown.url, url);
  assert.equal(shown.type, "generic");
  assert.equal(shown.secret, undefined);
  assert.equal((await hooks.update(hook, { account_id, name: "ops2", url })).id, hook);
  assert.deepEqual((await all(hooks.list({ account_id }))).map((one) => one.name), ["ops2"]);
});
step("one that refuses the test message is not stored", async () => {
  await fails(hooks.create({ account_id, name: "bad", url: url.replace("/hook", "/refuse") }), Cloudflare.BadRequestError, /was not accepted.*it answered 403/);
  await fails(hooks.create({ account_id, name: "bad", url: url.replace("/hook", "/redirect") }), Cloudflare.BadRequestError, /redirects are not followed/);
  await fails(hooks.create({ account_id, name: "bad", url: "https://localhost:1/" }), Cloudflare.BadRequestError, /cannot be reached/);
  await fails(hooks.create({ account_id, name: "bad", url: "https://169.254.169.254/" }), Cloudflare.BadRequestError, /no public address/);
  await fails(hooks.create({ account_id, name: "bad", url: "http://a.example/" }), Cloudflare.BadRequestError, /https/);
  assert.equal((await all(hooks.list({ account_id }))).length, 1);
});
step("a policy: create, get, list, update", async () => {
  policy = (await policies.create({ account_id, name: "tunnels", alert_type: "magic_tunnel_health_check_event", enabled: true,
    mechanisms: { webhooks: [{ id: hook }] }, filters: { new_health: ["down"] } })).id;
  assert.deepEqual((await policies.get(policy, { account_id })).filters, { new_health: ["down"] });
  assert.equal((await policies.update(policy, { account_id, description: "later" })).id, policy);
  assert.deepEqual((await all(policies.list({ account_id }))).map((one) => [one.name, one.description]), [["tunnels", "later"]]);
  await fails(policies.create({ account_id, name: "x", alert_type: "dos_attack_l4", enabled: true, mechanisms: { webhooks: [{ id: hook }] } }),
    Cloudflare.BadRequestError, /not offered/);
  await fails(policies.create({ account_id, name: "x", alert_type: "qanat_classical_keys", enabled: true, mechanisms: { email: [{ id: "a@b" }] } }),
    Cloudflare.BadRequestError, /sends no mail/);
});
step("silences", async () => {
  await silences.create({ account_id, body: [{ policy_id: policy, start_time: "2030-01-01T00:00:00Z", end_time: "2030-01-02T00:00:00Z" }] });
  silence = (await all(silences.list({ account_id })))[0];
  assert.equal(silence.policy_id, policy);
  const changed = await all(silences.update({ account_id, body: [{ id: silence.id, end_time: "2030-01-03T00:00:00Z" }] }));
  assert.equal(changed[0].end_time, "2030-01-03T00:00:00Z");
  assert.equal((await silences.get(silence.id, { account_id })).start_time, "2030-01-01T00:00:00Z");
  assert.equal((await silences.delete(silence.id, { account_id })).success, true);
  await fails(silences.get(silence.id, { account_id }), Cloudflare.NotFoundError, /there is no silence/);
});
step("history", async () => {
  assert.deepEqual(await all(history.list({ account_id, per_page: 5 })), []);
});
step("delete: a webhook only after its policy", async () => {
  await fails(hooks.delete(hook, { account_id }), Cloudflare.ConflictError, /used by the policy/);
  assert.equal((await policies.delete(policy, { account_id })).success, true);
  assert.equal((await hooks.delete(hook, { account_id })).success, true);
  await fails(policies.get(policy, { account_id }), Cloudflare.NotFoundError, /there is no policy/);
  await fails(hooks.get(hook, { account_id }), Cloudflare.NotFoundError, /there is no webhook/);
});

let failed = 0;
for (const [name, run] of steps) {
  try {
    await run();
    console.log(`ok      ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED  ${name}\n${error.stack}`);
  }
}
process.exit(failed ? 1 : 0);
