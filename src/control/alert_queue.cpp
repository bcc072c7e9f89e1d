// The half of AlertEngine that sends: the queue, attempts, and the history.
#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "control/alerts.hpp"
#include "control/posture.hpp"

namespace qanat::control {

namespace {

using nlohmann::json;

std::string numbered(std::string_view prefix, std::uint64_t number) {
  return fmt::format("{}{:020}", prefix, number);
}

std::string text_of(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::uint64_t number_of(std::string_view key, std::string_view prefix) {
  std::uint64_t out = 0;
  key.remove_prefix(prefix.size());
  (void)std::from_chars(key.data(), key.data() + key.size(), out);
  return out;
}

Duration pause_after(unsigned attempts, Rng& rng) {
  Duration out = kRetryFirst;
  for (unsigned i = 1; i < attempts && out < kRetryMost; ++i) out *= 3;
  out = std::min(out, kRetryMost);
  // Not all at once, when a receiver that many wait for comes back.
  return out + out / 1024 * static_cast<std::int64_t>(rng.bytes(1)[0]);
}

}  // namespace

void AlertEngine::restore(std::span<const store::Entry> entries) {
  for (const store::Entry& entry : entries) {
    const std::string_view key = entry.key;
    const json in = json::parse(entry.value, nullptr, false);
    if (key.starts_with(kAlertHistoryPrefix))
      next_history_ = std::max(next_history_, number_of(key, kAlertHistoryPrefix) + 1);
    try {
      if (key.starts_with(kAlertStatePrefix)) {
        Told told;
        told.rank = in.at("rank").get<int>();
        told.word = in.at("word").get<std::string>();
        told.correlation = in.at("correlation").get<std::string>();
        told.begun = in.at("begun").get<std::vector<std::int64_t>>();
        told.sent = in.at("sent").get<std::int64_t>();
        told_[std::string{key.substr(kAlertStatePrefix.size())}] = std::move(told);
      } else if (key.starts_with(kAlertQueuePrefix)) {
        Queued one;
        one.number = number_of(key, kAlertQueuePrefix);
        next_queued_ = std::max(next_queued_, one.number + 1);
        one.id = in.at("id").get<std::string>();
        one.webhook = in.at("webhook").get<std::string>();
        one.account = in.at("account").get<std::string>();
        one.policy = in.at("policy").get<std::string>();
        one.policy_name = in.at("policy_name").get<std::string>();
        one.description = in.at("description").get<std::string>();
        one.type = in.at("type").get<std::string>();
        one.body = in.at("body").get<std::string>();
        one.made = in.at("made").get<std::int64_t>();
        queue_.push_back(std::move(one));
      }
    } catch (const json::exception&) {
      continue;  // a damaged one
    }
  }
  std::sort(queue_.begin(), queue_.end(), [](const Queued& a, const Queued& b) { return a.number < b.number; });
  status_.queued = queue_.size();
}

void AlertEngine::enqueue(Moment now, const AlertPolicy& policy, const std::string& webhook, const std::string& body,
                          std::vector<store::Operation>& group) {
  const auto of_hook = [&](const Queued& one) { return one.webhook == webhook && !one.under_way; };
  if (static_cast<std::size_t>(std::count_if(queue_.begin(), queue_.end(), of_hook)) >= kMaxQueued) {
    ++status_.lost;
    finish(now, std::find_if(queue_.begin(), queue_.end(), of_hook), "lost: too many wait for this webhook", false,
           group);
  }
  Queued one{.number = next_queued_++,
             .id = to_hex(rng_.bytes(16)),
             .webhook = webhook,
             .account = policy.account,
             .policy = policy.id,
             .policy_name = policy.name,
             .description = policy.description,
             .type = policy.type_word,
             .body = body,
             .made = now.wall.seconds};
  group.push_back(
      store::Operation::put(numbered(kAlertQueuePrefix, one.number), text_of({{"id", one.id},
                                                                              {"webhook", one.webhook},
                                                                              {"account", one.account},
                                                                              {"policy", one.policy},
                                                                              {"policy_name", one.policy_name},
                                                                              {"description", one.description},
                                                                              {"type", one.type},
                                                                              {"body", one.body},
                                                                              {"made", one.made}})));
  queue_.push_back(std::move(one));
  status_.queued = queue_.size();
}

// Out of the queue and into the history, in one transaction.
void AlertEngine::finish(Moment now, std::deque<Queued>::iterator which, const std::string& outcome, bool delivered,
                         std::vector<store::Operation>& group) {
  const Queued& one = *which;
  group.push_back(store::Operation::erase(numbered(kAlertQueuePrefix, one.number)));
  group.push_back(
      store::Operation::put(numbered(kAlertHistoryPrefix, next_history_), text_of({{"id", one.id},
                                                                                   {"account", one.account},
                                                                                   {"alert_body", one.body},
                                                                                   {"alert_type", one.type},
                                                                                   {"description", one.description},
                                                                                   {"mechanism", one.webhook},
                                                                                   {"mechanism_type", "webhook"},
                                                                                   {"name", one.policy_name},
                                                                                   {"policy_id", one.policy},
                                                                                   {"outcome", outcome},
                                                                                   {"sent", now.wall.seconds}})));
  if (next_history_ > kMaxAlertHistory)
    group.push_back(store::Operation::erase(numbered(kAlertHistoryPrefix, next_history_ - kMaxAlertHistory)));
  ++next_history_;
  ++(delivered ? status_.delivered : status_.undelivered);
  queue_.erase(which);
  status_.queued = queue_.size();
}

std::optional<AlertSend> AlertEngine::poll_send(Moment now) {
  std::set<std::string_view> busy;
  std::size_t under_way = 0;
  for (const Queued& one : queue_) {
    if (one.under_way) busy.insert(one.webhook);
    under_way += one.under_way ? 1 : 0;
  }
  if (under_way >= kMaxInFlight) return std::nullopt;
  for (Queued& one : queue_) {
    if (!busy.insert(one.webhook).second) continue;
    if (const auto pause = pause_.find(one.webhook); pause != pause_.end() && now.at < pause->second) continue;
    const auto hook = rules_.webhooks.find(one.webhook);
    if (hook == rules_.webhooks.end()) continue;
    one.under_way = true;
    ++one.attempts;
    pause_.erase(one.webhook);
    return AlertSend{one.id, one.webhook, hook->second.url, hook->second.secret, one.body};
  }
  return std::nullopt;
}

void AlertEngine::handle_done(Moment now, const std::string& id, const SendResult& result) {
  const auto which = std::find_if(queue_.begin(), queue_.end(), [&](const Queued& one) { return one.id == id; });
  if (which == queue_.end()) return;
  which->under_way = false;
  const std::string webhook = which->webhook;
  std::vector<store::Operation> group;
  const bool delivered = result.kind == SendResult::Kind::Delivered;
  const bool over = now.wall.seconds - which->made >= kGiveUp;
  status_.failed_attempts += delivered ? 0 : 1;
  if (delivered) {
    finish(now, which, "delivered: " + result.detail, true, group);
  } else if (result.kind == SendResult::Kind::Refused || over) {
    finish(now, which, (over ? "given up after a day: " : "refused: ") + result.detail, false, group);
  } else {
    pause_[webhook] = now.at + pause_after(which->attempts, rng_);
  }
  if (rules_.webhooks.contains(webhook))
    group.push_back(
        store::Operation::put(fmt::format("{}{}/{}", kWebhookResultPrefix, webhook, delivered ? "success" : "failure"),
                              text_of({{"at", now.wall.seconds}, {"detail", result.detail}})));
  if (!group.empty()) writes_.push_back(std::move(group));
}

std::vector<Observation> observations_of(const Snapshot& snapshot, std::span<const TunnelPlace> places) {
  constexpr std::uint32_t kEnoughProbes = 10;
  std::map<std::string_view, const TunnelPlace*> by_name;
  for (const TunnelPlace& place : places) by_name.emplace(place.name, &place);
  std::vector<Observation> out;
  for (const TunnelStatus& t : snapshot.tunnels) {
    const auto place = by_name.find(t.name);
    if (place == by_name.end()) continue;  // it came or went a moment ago
    const std::string& id = place->second->id;
    const Observation base{.subject = id, .account = place->second->account, .tunnel = t.name, .tunnel_id = id};

    Observation health = base;
    health.type = AlertType::TunnelHealth;
    health.subject = "health-" + id;
    health.awaited = t.times_up == 0;
    const bool up = t.actual == "up";
    const bool was_up = t.times_up != 0 || t.posture.safe_seconds + t.posture.classical_seconds > 0;
    if (up) {
      health.state = t.health.state == "degraded" || t.health.state == "down" ? t.health.state : "healthy";
      health.detail = health.state == "healthy" ? "" : t.health.reason;
      if (t.health.samples >= kEnoughProbes) health.success = 100 * (1 - t.health.loss);
    } else if (t.wanted == "up" || (t.wanted == "on call" && was_up)) {
      health.state = "down";
      health.detail = t.reason;
    }  // else nobody wants it up, or nobody has ever called
    out.push_back(std::move(health));

    Observation keys = base;
    keys.type = AlertType::ClassicalKeys;
    keys.subject = "keys-" + id;
    if (up) {
      keys.state = t.posture.fell_to_classical ? "classical" : "safe";
      if (t.ike) keys.detail = t.ike->verdict.reason;
    }
    out.push_back(std::move(keys));

    Observation certificate = base;
    certificate.type = AlertType::CertificateExpiry;
    if (t.certificate_until) {
      certificate.subject = "own-" + id;
      certificate.state = "own";
      certificate.until = *t.certificate_until;
      out.push_back(certificate);
    }
    // Nothing is known of the peer's until it has come again: what was told of it stays.
    certificate.subject = "peer-" + id;
    certificate.state = t.peer_certificate_until ? "peer" : "";
    certificate.until = t.peer_certificate_until.value_or(WallTime{});
    out.push_back(std::move(certificate));
  }
  if (snapshot.api && snapshot.api->certificate_end) {
    out.push_back({.type = AlertType::CertificateExpiry,
                   .subject = "listener",
                   .account = "default",
                   .state = "own",
                   .until = *snapshot.api->certificate_end});
  }
  return out;
}

}  // namespace qanat::control
