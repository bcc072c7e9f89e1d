// The objects of /client/v4/accounts/{account}/alerting/v3: policies, webhooks and silences as they stand in the store,
// and as rules for AlertEngine. Internal to the object API; nlohmann's header comes along.
//
//   alert_policy/{account}/{id}     what the client set, and when
//   webhook/{account}/{id}          likewise; its secret is an entry of its own, webhook_secret/{account}/{id}
//   webhook_result/{id}/success     when it last worked, /failure when it last did not (AlertEngine writes them)
//   silence/{account}/{id}
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.hpp"
#include "control/alerts.hpp"
#include "control/json_fields.hpp"

namespace qanat::control {

inline constexpr std::string_view kPolicyKind = "alert_policy";
inline constexpr std::string_view kWebhookKind = "webhook";
inline constexpr std::string_view kWebhookSecretKind = "webhook_secret";
inline constexpr std::string_view kSilenceKind = "silence";
inline constexpr std::size_t kMaxAlertObjects = 100;  // of each kind, in an account
inline constexpr std::size_t kMaxPolicyWebhooks = 10;

struct AlertKind {
  AlertType type;
  std::string_view word;
  std::string_view title;
  std::string_view description;
  bool ours;
  std::vector<std::string_view> filters;
};
// What can be alerted of, in the order of /available_alerts.
[[nodiscard]] const std::vector<AlertKind>& alert_kinds();

// Judges a whole document and what it means. The result is to be used only when there is no fault.
[[nodiscard]] AlertPolicy read_alert_policy(const nlohmann::json& document, ApiFaults& faults);
// name and url; `secret` is no part of the document.
void read_webhook(const nlohmann::json& document, std::span<const Prefix> allowed, ApiFaults& faults);

struct StoredAlert {
  std::string id;
  std::string account;
  nlohmann::json document;
  WallTime created;
  WallTime modified;
};
[[nodiscard]] std::string alert_key(std::string_view kind, std::string_view account, std::string_view id);
[[nodiscard]] std::string to_stored(const StoredAlert& object);
// Of one account, or of all when it is empty; by the time of making. Damaged ones are an error.
[[nodiscard]] Result<std::vector<StoredAlert>> stored_alerts(store::ObjectStore& store, std::string_view kind,
                                                             std::string_view account);

// "2026-07-20T12:00:00Z", "2026-07-20T14:00:00.5+02:00".
[[nodiscard]] std::optional<WallTime> parse_date_time(std::string_view text);

}  // namespace qanat::control
