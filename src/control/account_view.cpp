#include "control/account_view.hpp"

#include <algorithm>
#include <iterator>

namespace qanat::control {

namespace {

// Of an account alone the VRF's number says only how many there are: it becomes that of a gateway with one.
template <typename T>
std::vector<T> own_of(const std::vector<T>& all, std::string_view account) {
  std::vector<T> out;
  std::copy_if(all.begin(), all.end(), std::back_inserter(out), [&](const T& one) { return one.account == account; });
  if constexpr (requires(T t) { t.vrf; }) {
    for (T& one : out) one.vrf = 0;
  }
  return out;
}

}  // namespace

Snapshot account_view(const Snapshot& snapshot, std::string_view account) {
  Snapshot out;
  out.version = snapshot.version;
  out.crypto = snapshot.crypto;
  out.seconds_up = snapshot.seconds_up;
  out.tunnels = own_of(snapshot.tunnels, account);
  out.policy = own_of(snapshot.policy, account);
  out.routes = own_of(snapshot.routes, account);
  out.vrfs = {{0, std::string{account}}};
  std::copy_if(snapshot.events.begin(), snapshot.events.end(), std::back_inserter(out.events),
               [&](const auto& event) { return event->account == account; });
  return out;
}

}  // namespace qanat::control
