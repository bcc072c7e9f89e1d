#include "control/alerts.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "control/alert_objects.hpp"
#include "control/envelope.hpp"
#include "control/object_api.hpp"
#include "control/posture.hpp"

namespace qanat::control {

namespace {

using nlohmann::json;

constexpr std::int64_t kHour = 3600;
constexpr std::int64_t kDay = 86'400;
constexpr Duration kMinute = 60s;

int rank_of_health(const std::string& word) {
  return word == "down" ? 2 : word == "degraded" ? 1 : 0;
}

std::string state_key(std::string_view name) {
  return std::string{kAlertStatePrefix} + std::string{name};
}
std::string numbered(std::string_view prefix, std::uint64_t number) {
  return fmt::format("{}{:020}", prefix, number);
}

std::string text_of(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string certificate_text(const Observation& seen, const std::string& word, WallTime now) {
  const std::string whose = seen.tunnel.empty()   ? "of the listener for HTTPS"
                            : seen.state == "own" ? "of our own for the tunnel " + seen.tunnel
                                                  : "that the peer of the tunnel " + seen.tunnel + " showed last";
  if (word == "expired")
    return fmt::format("The certificate {} has expired on {}: peers refuse it.", whose, date_text(seen.until));
  if (word == "renewed") return fmt::format("The certificate {} is good until {}.", whose, date_text(seen.until));
  const std::int64_t days = (seen.until.seconds - now.seconds) / kDay;
  return fmt::format("The certificate {} expires {}, on {}.", whose,
                     days == 0   ? std::string{"within a day"}
                     : days == 1 ? std::string{"in 1 day"}
                                 : fmt::format("in {} days", days),
                     date_text(seen.until));
}

std::string because(const std::string& detail) {
  return detail.empty() ? "." : ": " + detail + ".";
}

}  // namespace

void AlertEngine::set_rules(Moment now, AlertRules rules) {
  rules_ = std::move(rules);
  std::set<std::string> kept;
  for (const AlertPolicy& policy : rules_.policies) {
    if (policy.enabled) kept.insert(policy.id);
  }
  std::vector<store::Operation> gone;
  const auto flush = [&] {
    if (!gone.empty()) writes_.push_back(std::exchange(gone, {}));
  };
  std::erase_if(told_, [&](const auto& entry) {
    if (kept.contains(entry.first.substr(0, entry.first.find('/')))) return false;
    gone.push_back(store::Operation::erase(state_key(entry.first)));
    if (gone.size() == store::kMaxOperations) flush();
    return true;
  });
  std::erase_if(queue_, [&](const Queued& one) {
    if (one.under_way || rules_.webhooks.contains(one.webhook)) return false;
    gone.push_back(store::Operation::erase(numbered(kAlertQueuePrefix, one.number)));
    if (gone.size() == store::kMaxOperations) flush();
    return true;
  });
  flush();
  status_.queued = queue_.size();
  evaluate(now);
}

void AlertEngine::observe(Moment now, std::vector<Observation> seen) {
  seen_ = std::move(seen);
  // What is watched no more is forgotten without a word: whoever removed it knows.
  std::set<std::string> subjects;
  for (const Observation& one : seen_) subjects.insert(one.subject);
  std::vector<store::Operation> gone;
  std::erase_if(told_, [&](const auto& entry) {
    if (subjects.contains(entry.first.substr(entry.first.find('/') + 1)) || gone.size() == store::kMaxOperations)
      return false;
    gone.push_back(store::Operation::erase(state_key(entry.first)));
    return true;
  });
  if (!gone.empty()) writes_.push_back(std::move(gone));
  evaluate(now);
}

void AlertEngine::handle_timeout(Moment now) {
  evaluate(now);
}

std::optional<Instant> AlertEngine::next_timeout() const {
  std::optional<Instant> out = due_;
  for (const Queued& one : queue_) {
    const auto pause = pause_.find(one.webhook);
    if (one.under_way || pause == pause_.end()) continue;
    if (!out || pause->second < *out) out = pause->second;
  }
  return out;
}

void AlertEngine::evaluate(Moment now) {
  due_.reset();
  for (const AlertPolicy& policy : rules_.policies) {
    if (!policy.enabled) continue;
    const bool silent = std::any_of(policy.silences.begin(), policy.silences.end(), [&](const auto& silence) {
      return silence.first <= now.wall && now.wall < silence.second;
    });
    if (silent) {
      due(now.at + kMinute);  // afterwards it is told what is then so
      continue;
    }
    for (const Observation& seen : seen_) {
      if (seen.type == policy.type && seen.account == policy.account) judge(now, policy, seen);
    }
  }
}

std::optional<AlertEngine::Level> AlertEngine::level_of(Moment now, const AlertPolicy& policy,
                                                        const Observation& seen) const {
  if (seen.state.empty()) return std::nullopt;
  if (!policy.tunnel_names.empty() && !policy.tunnel_names.contains(seen.tunnel)) return std::nullopt;
  if (!policy.tunnel_ids.empty() && !policy.tunnel_ids.contains(seen.tunnel_id)) return std::nullopt;
  switch (policy.type) {
    case AlertType::TunnelHealth:
      if (seen.awaited && now.at - start_.at < kAlertGrace) return std::nullopt;
      if (policy.slo) {
        const bool missed = seen.state == "down" || (seen.success && *seen.success < *policy.slo);
        return Level{missed ? 1 : 0, missed ? (seen.state == "healthy" ? "degraded" : seen.state) : "healthy"};
      }
      return Level{rank_of_health(seen.state), seen.state};
    case AlertType::ClassicalKeys:
      return Level{seen.state == "classical" ? 1 : 0, seen.state};
    case AlertType::CertificateExpiry: {
      const std::int64_t left = seen.until.seconds - now.wall.seconds;
      if (left <= 0) return Level{static_cast<int>(policy.days.size()) + 1, "expired"};
      const auto passed =
          std::count_if(policy.days.begin(), policy.days.end(), [&](std::int64_t d) { return left <= d * kDay; });
      return Level{static_cast<int>(passed), passed == 0 ? "renewed" : "expires"};
    }
  }
  return std::nullopt;
}

void AlertEngine::judge(Moment now, const AlertPolicy& policy, const Observation& seen) {
  const auto level = level_of(now, policy, seen);
  if (!level) {
    if (seen.awaited) due(start_.at + kAlertGrace);
    return;
  }
  if (policy.type == AlertType::CertificateExpiry && level->word != "expired") due(now.at + kMinute * 60);
  const std::string name = policy.id + "/" + seen.subject;
  const auto known = told_.find(name);
  if (known == told_.end() && level->rank == 0) return;
  Told& told = known == told_.end() ? told_[name] : known->second;
  const int direction = level->rank > told.rank ? 1 : level->rank < told.rank ? -1 : 0;
  if (direction != told.direction) {
    told.direction = direction;
    told.since = now.at;
  }
  if (direction == 0) {
    if (told.rank == 0 || !policy.interval) return;
    const std::int64_t again = told.sent + policy.interval->count() - now.wall.seconds;
    if (again > 0) return due(now.at + std::chrono::seconds{again});
    return tell(now, policy, seen, told, *level);
  }
  Duration hold{};
  if (direction > 0 && policy.type == AlertType::TunnelHealth) hold = kHoldWorse;
  if (direction < 0 && policy.type != AlertType::CertificateExpiry) {
    std::erase_if(told.begun, [&](std::int64_t at) { return at + kHour <= now.wall.seconds; });
    hold = kHoldBetter;
    for (std::size_t i = 1; i < told.begun.size() && hold < kHoldMost; ++i) hold *= 2;
    hold = std::min(hold, kHoldMost);
  }
  if (now.at < told.since + hold) return due(told.since + hold);
  tell(now, policy, seen, told, *level);
}

void AlertEngine::tell(Moment now, const AlertPolicy& policy, const Observation& seen, Told& told, const Level& level) {
  const bool worse = level.rank > told.rank;
  if (told.rank == 0) told.correlation = to_hex(rng_.bytes(16));
  const std::string body = body_of(now, policy, seen, told, level);
  std::vector<store::Operation> group;
  if (policy.type != AlertType::TunnelHealth || policy.slo || policy.new_health.contains(level.word)) {
    ++status_.notifications;
    for (const std::string& webhook : policy.webhooks) {
      if (rules_.webhooks.contains(webhook)) enqueue(now, policy, webhook, body, group);
    }
  }
  told.rank = level.rank;
  told.word = level.word;
  told.direction = 0;
  told.sent = now.wall.seconds;
  if (worse) told.begun.push_back(now.wall.seconds);
  if (told.begun.size() > 16) told.begun.erase(told.begun.begin());
  group.push_back(
      store::Operation::put(state_key(policy.id + "/" + seen.subject), text_of({{"rank", told.rank},
                                                                                {"word", told.word},
                                                                                {"correlation", told.correlation},
                                                                                {"begun", told.begun},
                                                                                {"sent", told.sent}})));
  writes_.push_back(std::move(group));
  if (told.rank != 0 && policy.interval) due(now.at + *policy.interval);
}

// https://developers.cloudflare.com/notifications/reference/webhook-payload-schema/ has the frame; `data` is ours.
std::string AlertEngine::body_of(Moment now, const AlertPolicy& policy, const Observation& seen, const Told& before,
                                 const Level& level) const {
  json data{{"event_ts", date_text(now.wall)}};
  if (!seen.tunnel.empty()) {
    data["tunnel_name"] = seen.tunnel;
    data["tunnel_id"] = seen.tunnel_id;
  }
  std::string text;
  switch (policy.type) {
    case AlertType::TunnelHealth:
      data["new_status"] = level.word;
      data["previous_status"] = before.word.empty() ? "healthy" : before.word;
      data["reason"] = seen.detail;
      if (policy.slo) data["slo"] = fmt::format("{}", *policy.slo);
      if (seen.success) data["observed_slo"] = fmt::format("{:.2f}", *seen.success);
      text = fmt::format("The tunnel {} is {}{}", seen.tunnel, level.word, because(seen.detail));
      break;
    case AlertType::ClassicalKeys:
      data["keys"] = level.word;
      data["reason"] = seen.detail;
      text = level.rank == 0 ? fmt::format("The tunnel {} has quantum-safe keys again.", seen.tunnel)
                             : fmt::format(
                                   "The tunnel {} once had hybrid keys and has classical ones now{} What it "
                                   "carries can be recorded and read with a quantum computer.",
                                   seen.tunnel, because(seen.detail));
      break;
    case AlertType::CertificateExpiry:
      data["certificate"] = seen.state;
      data["expires"] = date_text(seen.until);
      data["days_left"] = std::max<std::int64_t>(0, (seen.until.seconds - now.wall.seconds) / kDay);
      text = certificate_text(seen, level.word, now.wall);
      break;
  }
  return text_of({{"name", policy.name},
                  {"text", text},
                  {"data", data},
                  {"ts", now.wall.seconds},
                  {"account_id", account_id(policy.account)},
                  {"policy_id", policy.id},
                  {"policy_name", policy.name},
                  {"alert_type", policy.type_word},
                  {"alert_correlation_id", before.correlation},
                  {"alert_event", level.rank == 0 ? "ALERT_STATE_EVENT_END" : "ALERT_STATE_EVENT_START"}});
}

}  // namespace qanat::control
