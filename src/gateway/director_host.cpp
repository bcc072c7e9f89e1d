// What the Director asks of the host, and what the host tells it.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "gateway/director.hpp"
#include "gateway/translate.hpp"

namespace qanat::gateway {

namespace {

constexpr Duration kHostRetry = 5s;
constexpr Duration kAddressesSettle = 500ms;  // routes follow addresses

}  // namespace

// The barrier against plaintext stands before anything of ours moves: no tunnel begins without it.
void Director::ask_for_protection() {
  protection_at_.reset();
  protection_request_ = RequestId{next_request_++};
  SetProtection wanted = protection(config_);
  exceptions_ = exceptions(networks_, wanted);
  outputs_.emplace_back(HostOut{*protection_request_, std::move(wanted)});
}

// Also without a rule: an earlier configuration may have had some.
void Director::ask_for_nat() {
  nat_at_.reset();
  nat_request_ = RequestId{next_request_++};
  outputs_.emplace_back(HostOut{*nat_request_, source_nat(config_)});
}

void Director::handle_host(Instant now, const HostResult& result) {
  if (!result.status) {
    log(EventLevel::Error, "host-refused",
        {{"where", result.status.error().where}, {"reason", result.status.error().detail}});
  }
  if (result.request == protection_request_) {
    protection_request_.reset();
    if (result.status) {
      if (!std::exchange(protected_, true))
        log(EventLevel::Info, "ready", {{"tunnels", fmt::format("{}", tunnels_.size())}});
    } else {
      protection_at_ = now + kHostRetry;
    }
    for (Tunnel& t : tunnels_) {
      if (result.status) t.barred = false;
      if (!t.live.empty()) continue;  // a reload has asked
      if (!result.status)
        t.reason =
            fmt::format("the host's routes could not be set, and without them traffic could leave in the clear: {}: {}",
                        result.status.error().where, result.status.error().detail);
      if (result.status && t.wanted == Wanted::Up) begin(now, t);
    }
  }
  if (result.request == nat_request_) {
    nat_request_.reset();
    if (!result.status) nat_at_ = now + kHostRetry;
  }
  if (barrier_requests_.erase(result.request) != 0 && !result.status) barriers_at_ = now + kHostRetry;
  const auto ticket = host_tickets_.find(result.request);
  if (ticket == host_tickets_.end()) return;
  outputs_.emplace_back(
      CommandDone{ticket->second,
                  {result.status.has_value(),
                   result.status ? "routes, rules and filter are removed: protected traffic may now leave in the clear"
                                 : result.status.error().detail}});
  host_tickets_.erase(ticket);
}

void Director::handle_addresses(Instant now) {
  for (Tunnel& t : tunnels_) {
    if (!t.retry_at) continue;
    t.failures = 0;
    t.retry_at = std::min(*t.retry_at, now + kAddressesSettle);
    note_times(t);
  }
}

}  // namespace qanat::gateway
