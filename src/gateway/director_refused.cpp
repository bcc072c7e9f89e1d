// A peer that was turned away: which tunnels show it, and that no account is told of another's peers.
#include <algorithm>

#include "gateway/director.hpp"

namespace qanat::gateway {

namespace {

// Whether a text names this address, and not a longer one that begins with it.
bool names(std::string_view text, const IpAddress& address) {
  const std::string word = address.to_string();
  const auto goes_on = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || c == ':' || c == '.'; };
  for (std::size_t at = 0; (at = text.find(word, at)) != std::string_view::npos; ++at) {
    const std::size_t end = at + word.size();
    const bool longer = end + 1 < text.size() && goes_on(text[end]) && goes_on(text[end + 1]);
    const bool digit = end < text.size() && text[end] >= '0' && text[end] <= '9';
    if ((at == 0 || !goes_on(text[at - 1])) && !longer && !digit) return true;
  }
  return false;
}

}  // namespace

// A tunnel that waits for its peer shows why the peer did not get in. Where it is not known whose peer it was, and it
// may be that of one account or another, neither is told of the other's.
void Director::note_refused(const ike::Report& report, Tunnel* t) {
  std::vector<std::pair<std::string, std::string>> fields = {{"reason", report.detail}};
  if (t != nullptr) fields.insert(fields.begin(), {"tunnel", t->config.name});
  log(EventLevel::Warning, "peer-refused", std::move(fields));
  std::vector<Tunnel*> concerned;
  for (Tunnel& other : tunnels_) {
    if (!other.live.empty()) continue;
    if (t != nullptr ? &other == t
                     : other.wanted != Wanted::Down && (!other.config.peer || names(report.detail, *other.config.peer)))
      concerned.push_back(&other);
  }
  const bool one_account = std::ranges::all_of(
      concerned, [&](const Tunnel* other) { return other->config.vrf == concerned.front()->config.vrf; });
  for (Tunnel* other : concerned) {
    other->reason = one_account
                        ? "refused the peer: " + report.detail
                        : "refused a peer, which may be this tunnel's: the gateway's log says why (peer-refused)";
  }
}

}  // namespace qanat::gateway
