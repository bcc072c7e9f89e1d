// Notification policies, webhooks and silences in a bundle of `qanat export --with-secrets`, and out of it again. They
// are no part of a configuration file, so that only a bundle carries them.
#include <algorithm>
#include <array>
#include <map>
#include <set>

#include <fmt/format.h>

#include "base/text.hpp"
#include "control/alert_objects.hpp"
#include "control/object_api_impl.hpp"

namespace qanat::control {

namespace {

using nlohmann::json;

// A policy names webhooks, a silence its policy: they come after what they name.
constexpr auto kKinds = std::to_array<std::string_view>({kWebhookKind, kPolicyKind, kSilenceKind});

std::string text_of(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

// Empty: it is not there, or is no text.
std::string text_in(const json& document, const char* name) {
  const auto it = document.find(name);
  return it != document.end() && it->is_string() ? it->get<std::string>() : std::string{};
}

bool is_id(std::string_view id) {
  return id.size() == 32 &&
         std::all_of(id.begin(), id.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

// What is there, as account/id.
Result<std::set<std::string>> places_of(store::ObjectStore& store, std::string_view kind) {
  QANAT_ASSIGN(const auto there, stored_alerts(store, kind, ""));
  std::set<std::string> out;
  for (const StoredAlert& one : there) out.insert(one.account + "/" + one.id);
  return out;
}

class AlertImporter {
 public:
  AlertImporter(const Call& call, store::ObjectStore& store, const model::Config& config, Draft& draft,
                ApiFaults& faults)
      : call_(call), store_(store), config_(config), draft_(draft), faults_(faults) {}

  [[nodiscard]] Status add(const std::vector<TransferAlert>& alerts) {
    for (const std::string_view kind : kKinds) {
      QANAT_ASSIGN(places_[kind], places_of(store_, kind));
      for (const TransferAlert& alert : alerts) {
        if (alert.kind == kind) QANAT_TRY(add(alert));
      }
    }
    for (const TransferAlert& alert : alerts) {
      if (std::find(kKinds.begin(), kKinds.end(), alert.kind) == kKinds.end())
        report(fmt::format("alerts: there is no kind {}", printable(alert.kind, 64)));
    }
    return {};
  }

 private:
  void report(std::string message) {
    if (faults_.size() < kMaxFaults) faults_.push_back({ApiCode::BadField, std::move(message)});
  }
  [[nodiscard]] bool knows(std::string_view kind, const TransferAlert& alert, const std::string& id) const {
    return places_.at(kind).contains(alert.account + "/" + id);
  }
  [[nodiscard]] bool is_account(const std::string& name) const {
    return name == "default" || std::any_of(config_.vrfs.begin(), config_.vrfs.end(),
                                            [&](const model::Vrf& vrf) { return vrf.name == name; });
  }

  void judge(const TransferAlert& alert, const json& document, ApiFaults& found) const {
    const auto wrong = [&found](std::string message) { found.push_back({ApiCode::BadField, std::move(message)}); };
    if (alert.kind == kWebhookKind) {
      read_webhook(document, config_.gateway.webhook_allow, found);
      if (!config_.gateway.webhooks)
        wrong("webhooks are off: write webhooks = true below [gateway], restart qanatd, and import again");
    } else if (alert.kind == kPolicyKind) {
      for (const std::string& id : read_alert_policy(document, found).webhooks) {
        if (!knows(kWebhookKind, alert, id)) wrong(fmt::format("there is no webhook {} in its account", id));
      }
    } else {
      const auto from = parse_date_time(text_in(document, "start_time"));
      const auto to = parse_date_time(text_in(document, "end_time"));
      if (!from || !to || *to <= *from) wrong("start_time and end_time must be two dates, one after the other");
      if (!knows(kPolicyKind, alert, text_in(document, "policy_id")))
        wrong("there is no policy with its policy_id in its account");
    }
  }

  [[nodiscard]] Status add(const TransferAlert& alert) {
    const json document = json::parse(alert.document, nullptr, false);
    const std::string title = fmt::format("{} {}", alert.kind, printable(alert.id, 64));
    const bool secret_fits = alert.secret.expose().empty() || alert.kind == kWebhookKind;
    if (!is_id(alert.id) || !document.is_object() || !secret_fits) {
      report(title + ": must have an id of 32 hexadecimal digits and an object as its document; a webhook alone has a "
                     "secret");
      return {};
    }
    if (!is_account(alert.account)) {
      report(fmt::format("{}: this gateway has no account {}: write its [[vrf]] into the configuration file first",
                         title, printable(alert.account, 64)));
      return {};
    }
    ApiFaults found;
    judge(alert, document, found);
    for (const ApiFault& fault : found) report(fmt::format("{}: {}", title, fault.message));
    if (!found.empty()) return {};

    const std::string key = alert_key(alert.kind, alert.account, alert.id);
    QANAT_ASSIGN(const auto before, store_.get(key));
    StoredAlert made{alert.id, alert.account, document, call_.situation.now, call_.situation.now};
    std::string old;
    if (before) {
      const json stored = json::parse(before->value, nullptr, false);
      if (stored.is_object() && stored.value("created", json{}).is_number_integer())
        made.created = WallTime{stored["created"].get<std::int64_t>()};
      if (stored.is_object() && stored.contains("document")) old = text_of(stored["document"]);
    }
    places_[alert.kind].insert(alert.account + "/" + alert.id);
    const auto in_account = std::count_if(places_[alert.kind].begin(), places_[alert.kind].end(), [&](const auto& p) {
      return p.starts_with(alert.account + "/");
    });
    if (static_cast<std::size_t>(in_account) > kMaxAlertObjects) {
      report(fmt::format("{}: an account can have at most {} of them", title, kMaxAlertObjects));
      return {};
    }
    draft_.operations.push_back(store::Operation::put(key, to_stored(made)));
    if (alert.kind == kWebhookKind) {
      const std::string secret_key = alert_key(kWebhookSecretKind, alert.account, alert.id);
      draft_.operations.push_back(
          alert.secret.expose().empty()
              ? store::Operation::erase(secret_key)
              : store::Operation::put_secret(
                    secret_key, std::make_shared<const SecretBytes>(SecretBytes::copy_of(alert.secret.expose()))));
    }
    const std::string name = text_in(document, "name");
    draft_.audit.push_back({fmt::format("import {}", alert.kind), alert.account, alert.id,
                            name.empty() ? alert.id : name, old, text_of(document)});
    return {};
  }

  const Call& call_;
  store::ObjectStore& store_;
  const model::Config& config_;
  Draft& draft_;
  ApiFaults& faults_;
  std::map<std::string_view, std::set<std::string>> places_;  // by kind
};

}  // namespace

Result<std::vector<TransferAlert>> exported_alerts(store::ObjectStore& store) {
  std::vector<TransferAlert> out;
  for (const std::string_view kind : kKinds) {
    QANAT_ASSIGN(const auto all, stored_alerts(store, kind, ""));
    for (const StoredAlert& one : all) {
      TransferAlert alert{std::string{kind}, one.account, one.id, text_of(one.document), {}};
      if (kind == kWebhookKind) {
        QANAT_ASSIGN(const auto entry, store.get(alert_key(kWebhookSecretKind, one.account, one.id)));
        if (entry && entry->secret) alert.secret = SecretBytes::copy_of(entry->secret->expose());
      }
      out.push_back(std::move(alert));
    }
  }
  return out;
}

Status import_alerts(const Call& call, store::ObjectStore& store, const model::Config& config,
                     const std::vector<TransferAlert>& alerts, Draft& draft, ApiFaults& faults) {
  return AlertImporter{call, store, config, draft, faults}.add(alerts);
}

}  // namespace qanat::control
