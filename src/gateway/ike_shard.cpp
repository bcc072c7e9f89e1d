#include "gateway/ike_shard.hpp"

namespace qanat::gateway {

void IkeShard::handle(Instant now, ToIkeShard message) {
  if (auto* set = std::get_if<SetIkeTunnel>(&message)) {
    endpoint_.set_tunnel(std::move(set->tunnel));
  } else if (auto* update = std::get_if<UpdateIkeTunnel>(&message)) {
    endpoint_.update_tunnel(now, std::move(update->tunnel), update->change);
  } else if (const auto* remove = std::get_if<RemoveIkeTunnel>(&message)) {
    endpoint_.remove_tunnel(now, remove->tunnel);
  } else if (const auto* initiate = std::get_if<Initiate>(&message)) {
    if (Status begun = endpoint_.initiate(now, initiate->tunnel); !begun) {
      outbox_.emplace_back(CannotInitiate{initiate->tunnel, std::move(begun).error()});
    }
  } else if (const auto* complete = std::get_if<Complete>(&message)) {
    if (!endpoint_.complete(now, complete->tunnel)) outbox_.emplace_back(NothingToComplete{complete->tunnel});
  } else if (const auto* rekey = std::get_if<Rekey>(&message)) {
    if (rekey->what == Rekey::What::Ike) {
      endpoint_.rekey(now, rekey->tunnel);
    } else {
      endpoint_.rekey_children(now, rekey->tunnel);
    }
  } else if (const auto* terminate = std::get_if<Terminate>(&message)) {
    endpoint_.terminate(now, terminate->tunnel, terminate->why);
  } else if (auto* sign = std::get_if<ike::SignAnswer>(&message)) {
    endpoint_.handle_auth(now, std::move(*sign));
  } else if (auto* verify = std::get_if<ike::VerifyAnswer>(&message)) {
    endpoint_.handle_auth(now, std::move(*verify));
  } else if (const auto* crossing = std::get_if<ike::Crossing>(&message)) {
    endpoint_.handle_crossing(now, *crossing);
  }
  drain();
}

void IkeShard::drain() {
  while (auto action = endpoint_.poll_action()) {
    if (auto* report = std::get_if<ike::Report>(&*action)) {
      const bool up = report->what == ike::Report::What::ChildUp || report->what == ike::Report::What::IkeUp;
      outbox_.emplace_back(Reported{std::move(*report), up ? sas(report->tunnel) : std::vector<ike::SaInfo>{}});
    } else {
      outbox_.emplace_back(std::move(*action));
    }
  }
}

std::optional<FromIkeShard> IkeShard::poll() {
  if (outbox_.empty()) return std::nullopt;
  std::optional<FromIkeShard> out{std::move(outbox_.front())};
  outbox_.pop_front();
  return out;
}

}  // namespace qanat::gateway
