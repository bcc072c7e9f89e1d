// IKE_SA_INIT as responder: what is judged before an IKE SA exists.
#include <algorithm>

#include <fmt/format.h>

#include "crypto/digest.hpp"
#include "crypto/prf.hpp"
#include "ike/crash_token.hpp"
#include "ike/endpoint.hpp"

namespace qanat::ike {

using wire::ExchangeType;
using wire::NotifyPayload;
using wire::NotifyType;

namespace {

constexpr unsigned kMaxEasier = 2;  // a solved puzzle may be so many bits easier than today's

}  // namespace

IkeEndpoint::InitKey IkeEndpoint::init_key(const Path& arrived, ByteView datagram) {
  const auto hash = crypto::sha256({arrived.remote.address.bytes(), datagram});
  InitKey out;
  std::copy_n(hash.begin(), out.size(), out.begin());
  return out;
}

// Without keys, to whoever it may be: never more octets than were asked with (and `more`, where an answer of another
// kind would do no good), so that nobody gains by a forged source.
void IkeEndpoint::answer_in_clear(const Path& arrived, const wire::IkeHeader& request, wire::Payloads payloads,
                                  std::size_t more) {
  wire::IkeHeader header;
  header.spi_i = request.spi_i;
  header.spi_r = request.exchange == ExchangeType::IKE_SA_INIT ? 0 : request.spi_r;  // 0: no IKE SA was made
  header.exchange = request.exchange;
  header.flags = static_cast<std::uint8_t>(wire::kFlagResponse | (request.from_initiator() ? 0 : wire::kFlagInitiator));
  header.message_id = request.message_id;
  const Bytes answer = wire::write_clear_message(header, payloads);
  if (answer.size() > request.length + more) {
    counters_.add(Counter::not_answered);
    return;
  }
  Bytes out;
  if (arrived.local.port == config_.nat_port) out.resize(4);
  append(out, answer);
  actions_.emplace_back(Transmit{arrived, std::move(out)});
}

void IkeEndpoint::answer_notify(const Path& arrived, const wire::IkeHeader& request, NotifyType type, Bytes data) {
  answer_in_clear(arrived, request, {NotifyPayload{wire::ProtocolId::None, {}, type, std::move(data)}});
}

// RFC 7296 2.21.4: the peer may have an IKE SA that we have lost with a crash. Strangers are not told, and nobody is
// while there is an attack.
void IkeEndpoint::handle_unknown_spi(Instant now, const Path& arrived, const wire::IkeHeader& header) {
  counters_.add(Counter::unknown_spi);
  if (header.is_response() || header.exchange == ExchangeType::IKE_SA_INIT) return;
  if (sas_.contains(header.from_initiator() ? header.spi_i : header.spi_r)) return;  // our own, reflected
  if (!tunnels_.knows_peer(arrived.remote.address) || half_open_.is_under_load() || !spi_answers_.take(now)) {
    counters_.add(Counter::not_answered);
    return;
  }
  // What was sent with AES-GCM and nothing in it is 3 octets shorter than a notification and a token.
  constexpr std::size_t kTokenMore = 8;
  wire::Payloads answer{NotifyPayload{wire::ProtocolId::None, {}, NotifyType::INVALID_IKE_SPI, {}}};
  if (config_.crash_secret && header.spi_i != 0 && header.spi_r != 0)
    answer.emplace_back(crash_token(*config_.crash_secret, header.spi_i, header.spi_r));
  answer_in_clear(arrived, header, std::move(answer), kTokenMore);
}

// The same, received. Nobody vouches for it: it is a hint.
bool IkeEndpoint::is_trouble_notice(const wire::ClearMessage& message) {
  return message.header.is_response() && !message.encrypted &&
         wire::find_notify(message.payloads, NotifyType::INVALID_IKE_SPI) != nullptr;
}

void IkeEndpoint::handle_path_error(Instant now, const IpAddress& local, const IpAddress& remote) {
  counters_.add(Counter::path_error);
  if (!path_errors_.take(now)) return;  // the search below is not for everybody to cause
  std::vector<std::uint64_t> there;
  for (const auto& [spi, entry] : sas_) {
    const Path& path = entry.sa->path();
    if (entry.sa->is_established() && path.remote.address == remote && path.local.address == local)
      there.push_back(spi);
  }
  for (const std::uint64_t spi : there) {
    sas_.at(spi).sa->hint_of_trouble(now);
    touch(now, spi);
  }
}

void IkeEndpoint::handle_addresses(Instant now, HostAddresses host) {
  env_.host = std::move(host);
  std::vector<std::uint64_t> spis;
  for (const auto& [spi, entry] : sas_) spis.push_back(spi);
  for (const std::uint64_t spi : spis) {
    if (!sas_.contains(spi)) continue;
    sas_.at(spi).sa->handle_addresses(now);
    touch(now, spi);
  }
}

// For whoever reads the log; strangers do not get to fill it.
void IkeEndpoint::refuse(Instant now, const Path& arrived, std::string why) {
  if (!refusals_.take(now)) return;
  actions_.emplace_back(
      Report{Report::What::PeerRefused, TunnelId{}, IkeSaId{}, fmt::format("{}: {}", arrived.remote.to_string(), why)});
}

// Cookies, puzzles and limits (RFC 7296 2.6, RFC 8019 7.1). Nothing is kept of a request that is not admitted.
std::optional<IkeEndpoint::Admission> IkeEndpoint::admit(Instant now, const Path& arrived,
                                                         const wire::ClearMessage& message) {
  const IpAddress& source = arrived.remote.address;
  const std::uint64_t spi_i = message.header.spi_i;
  const Bytes& nonce = wire::find<wire::NoncePayload>(message.payloads)->data;
  // Only the first payload counts as the cookie (RFC 7296 2.6).
  const auto* cookie = std::get_if<NotifyPayload>(&message.payloads.front());
  if (cookie != nullptr && cookie->type != NotifyType::COOKIE) cookie = nullptr;
  const auto asked = cookie != nullptr ? cookies_.check(now, cookie->data, nonce, arrived.remote, spi_i) : std::nullopt;
  Admission out;
  out.verified = asked.has_value();
  if (half_open_.wants_cookie(source)) {
    // An offer without a PRF of ours will be refused; no need to have it work for that.
    const auto prf = puzzle_prf(*wire::find<wire::SaPayload>(message.payloads));
    const std::uint8_t difficulty = prf ? half_open_.difficulty(source) : std::uint8_t{0};
    const auto challenge = [&](Counter why) {
      counters_.add(why);
      wire::Payloads answer{NotifyPayload{wire::ProtocolId::None,
                                          {},
                                          NotifyType::COOKIE,
                                          cookies_.make(now, nonce, arrived.remote, spi_i, difficulty)}};
      if (difficulty != 0) {
        answer.emplace_back(
            NotifyPayload{wire::ProtocolId::None, {}, NotifyType::PUZZLE, puzzle_data({*prf, difficulty})});
      }
      answer_in_clear(arrived, message.header, std::move(answer));
      return std::nullopt;
    };
    if (!asked) return challenge(cookie != nullptr ? Counter::cookie_bad : Counter::cookie_demanded);
    if (difficulty != 0) {
      // A solution counts when a puzzle was given with this cookie; a cookie alone is the lowest priority. Puzzles of
      // a calmer time, kept for now, are too easy.
      const auto* solution = wire::find<wire::PuzzleSolutionPayload>(message.payloads);
      const unsigned bits =
          *asked != 0 && solution != nullptr ? solved_bits(*prf, cookie->data, solution->data).value_or(0) : 0;
      const bool is_solved = bits != 0 && bits >= *asked && *asked + kMaxEasier >= difficulty;
      if (is_solved && cookies_.is_spent(cookie->data)) {
        counters_.add(Counter::puzzle_reused);
        return std::nullopt;
      }
      if (is_solved) {
        out.solved = cookie->data;
      } else if (rng_.below(1000) >= half_open_.unsolved_per_mille()) {
        return challenge(Counter::puzzle_unsolved);
      }
    }
  }
  if (half_open_.is_full(source, out.verified)) {
    counters_.add(Counter::half_open_limit);
    return std::nullopt;
  }
  return out;
}

void IkeEndpoint::handle_init_request(Instant now, const Path& arrived, ByteView datagram, wire::ClearMessage message) {
  const wire::IkeHeader header = message.header;
  if (const Status fits = check_payloads(ExchangeType::IKE_SA_INIT, Direction::Request, message.payloads); !fits) {
    counters_.add(Counter::malformed);
    if (fits.error().notify == static_cast<std::uint16_t>(NotifyType::UNSUPPORTED_CRITICAL_PAYLOAD)) {
      answer_notify(arrived, header, NotifyType::UNSUPPORTED_CRITICAL_PAYLOAD, {unknown_critical(message.payloads)});
    }
    return;
  }
  if (const auto own = sas_.find(header.spi_i); own != sas_.end() && own->second.sa->is_initiator()) {
    counters_.add(Counter::wrong_role);  // our own request, reflected
    return;
  }
  const InitKey key = init_key(arrived, datagram);
  if (const auto known = init_requests_.find(key); known != init_requests_.end()) {
    sas_.at(known->second).sa->repeat_init_response(arrived);
    return;
  }
  const auto admission = admit(now, arrived, message);
  if (!admission) return;
  auto request = judge_init_request(now, arrived, datagram, std::move(message));
  if (!request) return;
  request->cookie_verified = admission->verified;
  request->patience = half_open_.patience(arrived.remote.address);
  const std::uint64_t spi = new_spi();
  auto sa = IkeSa::respond(env_, now, IkeSaId{next_sa_++}, spi, arrived, std::move(*request));
  if (!sa) return;
  Entry& entry = sas_[spi];
  entry.sa = std::move(*sa);
  entry.init_key = key;
  entry.standing.source = arrived.remote.address;
  if (!admission->solved.empty()) cookies_.spend(now, admission->solved);
  init_requests_[key] = spi;
  touch(now, spi);
}

std::optional<InitRequest> IkeEndpoint::judge_init_request(Instant now, const Path& arrived, ByteView datagram,
                                                           wire::ClearMessage message) {
  const wire::IkeHeader& header = message.header;
  const auto& offered = *wire::find<wire::SaPayload>(message.payloads);
  const auto& ke = *wire::find<wire::KePayload>(message.payloads);
  const std::vector<TunnelIndex::Group> fitting = tunnels_.by_addresses(arrived.local.address, arrived.remote.address);
  if (fitting.empty()) {
    counters_.add(Counter::no_tunnel);
    refuse(now, arrived,
           fmt::format("no tunnel is configured between {} and {}: add one with peer = \"{}\" or \"any\"",
                       arrived.local.address.to_string(), arrived.remote.address.to_string(),
                       arrived.remote.address.to_string()));
    answer_notify(arrived, header, NotifyType::NO_PROPOSAL_CHOSEN);
    return std::nullopt;
  }
  const bool intermediate = wire::find_notify(message.payloads, NotifyType::INTERMEDIATE_EXCHANGE_SUPPORTED) != nullptr;
  const auto rules_of = [&](const TunnelConfig& t) {
    ipsec::IkeChoiceRules rules;
    rules.intermediate = intermediate && t.pq != model::PqPolicy::Off;
    rules.hybrid_first = t.pq == model::PqPolicy::Prefer || t.pq == model::PqPolicy::Pin;
    rules.hybrid_only = t.pq == model::PqPolicy::Require;
    rules.sent_ke = ke.method;
    return rules;
  };
  // The identity is not known yet: the first tunnel whose choice is hybrid decides, else the first that accepts. Equal
  // terms are judged once.
  std::optional<ipsec::ChosenIke> chosen;
  std::string why;
  std::map<TunnelIndex::Terms, bool> accepts;
  for (const auto& [terms, t] : fitting) {
    if (!accepts.emplace(terms, false).second) continue;
    auto choice = ipsec::choose_ike(offered, t->ike, rules_of(*t));
    if (!choice) {
      if (why.empty()) why = fmt::format("tunnel {}: {}: {}", t->name, choice.error().where, choice.error().detail);
    } else if (!chosen || (choice->has_ml_kem() && !chosen->has_ml_kem())) {
      chosen = *choice;
    }
  }
  if (!chosen) {
    counters_.add(Counter::no_proposal);
    refuse(now, arrived, why);
    answer_notify(arrived, header, NotifyType::NO_PROPOSAL_CHOSEN);
    return std::nullopt;
  }
  if (chosen->ke != ke.method) {
    counters_.add(Counter::invalid_ke);
    Bytes group(2);
    store_be16(group.data(), static_cast<std::uint16_t>(chosen->ke));
    answer_notify(arrived, header, NotifyType::INVALID_KE_PAYLOAD, std::move(group));
    return std::nullopt;
  }
  if (wire::find<wire::NoncePayload>(message.payloads)->data.size() * 2 < crypto::prf_size(chosen->prf)) {
    counters_.add(Counter::malformed);
    refuse(now, arrived, "its nonce is shorter than half the key of the PRF (RFC 7296 2.10)");
    answer_notify(arrived, header, NotifyType::INVALID_SYNTAX);
    return std::nullopt;
  }
  auto [reply, microseconds] =
      measured(config_.stopwatch, [&, ke_id = chosen->ke] { return env_.keys.respond(ke_id, ke.data); });
  if (!reply) {
    counters_.add(Counter::bad_key_exchange);  // RFC 6989 2.5: drop; an attacker could have sent it
    return std::nullopt;
  }
  InitRequest out;
  out.datagram = to_bytes(datagram);
  out.header = header;
  out.chosen = *chosen;
  accepts.clear();
  for (const auto& [terms, t] : fitting) {
    const auto [judged, is_new] = accepts.emplace(terms, false);
    if (is_new) judged->second = ipsec::choose_ike(ipsec::accept_ike(*chosen), t->ike, rules_of(*t)).has_value();
    if (judged->second) out.candidates.push_back(t);
  }
  out.ke = std::move(*reply);
  out.ke_microseconds = microseconds;
  out.payloads = std::move(message.payloads);
  return out;
}

}  // namespace qanat::ike
