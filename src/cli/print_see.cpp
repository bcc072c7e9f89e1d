// watch, explain, posture, events, routes: what is seen of a gateway beside its status.
#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/print.hpp"

namespace qanat::cli {

namespace {

using control::ExchangeStep;
using control::TunnelStatus;

std::vector<Cell> head(std::initializer_list<const char*> words) {
  std::vector<Cell> out;
  for (const char* word : words) out.push_back({word, Tone::Faint});
  return out;
}

std::string rate_text(std::uint64_t now, std::uint64_t before, double seconds) {
  if (now < before || seconds <= 0) return "-";
  const double bits = static_cast<double>(now - before) * 8 / seconds;
  if (bits >= 1e9) return fmt::format("{:.1f} Gbit/s", bits / 1e9);
  if (bits >= 1e6) return fmt::format("{:.1f} Mbit/s", bits / 1e6);
  return bits >= 1e3 ? fmt::format("{:.1f} kbit/s", bits / 1e3) : fmt::format("{:.0f} bit/s", bits);
}

// What an exchange is there for.
std::string purpose(const ExchangeStep& step) {
  if (step.exchange.starts_with("IKE_SA_INIT")) return "first keys, in the clear";
  if (step.exchange.starts_with("IKE_INTERMEDIATE")) return "a further key exchange, encrypted";
  return step.exchange.starts_with("IKE_AUTH") ? "who both are, and the first Child SA" : "";
}

std::string steps_text(const std::vector<ExchangeStep>& steps, bool we_began, Colour colour) {
  std::vector<std::vector<Cell>> rows = {head({"", "EXCHANGE", we_began ? "WE SENT" : "THE PEER SENT",
                                               we_began ? "THE PEER SENT" : "WE SENT", "TIME", "SENT AGAIN", "FOR"})};
  for (const ExchangeStep& step : steps) {
    const bool answered = step.response_fragments != 0 && step.response_bytes != 0;
    rows.push_back({{fmt::format("{}.", rows.size())},
                    {clean(step.exchange)},
                    {size_text(step.request_bytes, step.request_fragments)},
                    {answered ? size_text(step.response_bytes, step.response_fragments) : "no answer",
                     answered ? Tone::Plain : Tone::Bad},
                    {milliseconds_text(step.milliseconds)},
                    {step.retransmissions == 0 ? "-" : fmt::format("{} x", step.retransmissions),
                     step.retransmissions == 0 ? Tone::Plain : Tone::Warn},
                    {purpose(step), Tone::Faint}});
  }
  return table(rows, colour, "  ");
}

std::string cost(std::uint32_t microseconds) {
  return microseconds == 0 ? "-" : fmt::format("{} us", microseconds);
}

// What the arithmetic cost, where the daemon has measured it.
std::string costs_text(const std::vector<ExchangeStep>& steps, bool we_began, Colour colour) {
  if (std::none_of(steps.begin(), steps.end(),
                   [](const ExchangeStep& s) { return s.own_us != 0 || s.peer_us != 0 || s.prf_us != 0; }))
    return "";
  std::vector<std::vector<Cell>> rows = {head({"EXCHANGE", "OUR PART", "WITH THE PEER'S", "KEYS DERIVED", "WHICH IS"})};
  std::uint64_t sum = 0;
  for (const ExchangeStep& s : steps) {
    const bool auth = s.exchange.starts_with("IKE_AUTH");
    const bool kem = s.exchange.find("mlkem") != std::string::npos;
    const char* what = auth  ? "our proof; the peer's judged"
                       : kem ? (we_began ? "a key pair; decapsulation" : "encapsulation")
                             : (we_began ? "a key pair; the shared secret" : "a key pair and the shared secret");
    sum += s.own_us + s.peer_us + s.prf_us;
    rows.push_back({{clean(s.exchange)}, {cost(s.own_us)}, {cost(s.peer_us)}, {cost(s.prf_us)}, {what, Tone::Faint}});
  }
  return fmt::format("\nWhat the keys cost us: {} us together\n{}", sum, table(rows, colour, "  "));
}

std::string field(std::string_view word, const std::string& text) {
  return text.empty() ? "" : fmt::format("  {}: {}\n", word, text);
}

std::string csv_field(const std::string& text) {
  // A spreadsheet takes a leading = + - @ for a formula, and reasons may quote a peer.
  std::string out =
      !text.empty() && std::string_view{"=+-@\t\r"}.find(text.front()) != std::string_view::npos ? "'" + text : text;
  if (out.find_first_of(",\"\r\n") == std::string::npos) return out;
  std::string quoted = "\"";
  for (const char c : out) quoted += c == '"' ? "\"\"" : std::string(1, c);
  return quoted + "\"";
}

}  // namespace

std::string watch_table(const control::Snapshot& snapshot, const control::Snapshot* before, Colour colour) {
  std::vector<std::vector<Cell>> rows = {
      head({"NAME", "STATE", "HEALTH", "KEYS", "IN", "OUT", "LOSS", "ROUND TRIP", "DROPPED"})};
  const double seconds = before != nullptr ? snapshot.seconds_up - before->seconds_up : 0;
  for (const TunnelStatus& t : snapshot.tunnels) {
    const TunnelStatus* old = nullptr;
    if (before != nullptr) {
      const auto found = std::find_if(before->tunnels.begin(), before->tunnels.end(),
                                      [&](const TunnelStatus& b) { return b.name == t.name; });
      if (found != before->tunnels.end()) old = &*found;
    }
    std::uint64_t drops = 0;
    for (const auto& [reason, count] : t.drops) drops += count;
    const std::string keys = t.ike ? clean(t.ike->verdict.keys) : "-";
    const bool measured = t.health.p50_ms.has_value();
    rows.push_back(
        {{clean(t.name), Tone::Strong},
         {state_text(t), state_tone(t)},
         {t.health.state.empty() ? "-" : clean(t.health.state), health_tone(t)},
         {keys, t.ike ? keys_tone(t.ike->verdict.keys) : Tone::Plain},
         {old != nullptr ? rate_text(t.bytes_in, old->bytes_in, seconds) : "-"},
         {old != nullptr ? rate_text(t.bytes_out, old->bytes_out, seconds) : "-"},
         {measured ? fmt::format("{:.1f} %", t.health.loss * 100) : "-", t.health.loss > 0 ? Tone::Warn : Tone::Plain},
         {measured ? fmt::format("{:.1f} ms", *t.health.p50_ms) : "-"},
         {drops == 0 ? "-" : std::to_string(drops)}});
  }
  const auto up = std::count_if(snapshot.tunnels.begin(), snapshot.tunnels.end(),
                                [](const TunnelStatus& t) { return t.actual == "up"; });
  return table(rows, colour) +
         paint(fmt::format("{} of {} up; qanatd up {}\n", up, snapshot.tunnels.size(), human_time(snapshot.seconds_up)),
               Tone::Faint, colour);
}

// Home, each line to its end, then the rest of the screen: nothing flickers.
std::string in_place(const std::string& text) {
  std::string out = "\x1b[H";
  for (const char c : text) {
    if (c == '\n') out += "\x1b[K";
    out += c;
  }
  return out + "\x1b[J";
}

std::string explain_page(const TunnelStatus& t, Colour colour) {
  std::string out = paint(fmt::format("{}: {}\n", clean(t.name), state_text(t)), state_tone(t), colour);
  if (!t.reason.empty()) out += fmt::format("  {}\n", clean(t.reason));
  if (t.ike) {
    const bool we_began = t.ike->role == "initiator";
    out += fmt::format("\nThe handshake, {} ago; {} began it\n", human_time(t.ike->seconds_up),
                       we_began ? "we" : "the peer");
    out += steps_text(t.ike->handshake, we_began, colour);
    out += costs_text(t.ike->handshake, we_began, colour);
    out += "\nWhy these algorithms\n";
    out += field(we_began ? "we offered" : "the peer offered", clean(t.ike->offered));
    out += field("we accept", clean(t.ike->accepts));
    out += field("chosen", fmt::format("{}, {}", clean(t.ike->suite),
                                       clean(fmt::format("{}", fmt::join(t.ike->key_exchanges, " + ")))));
    out +=
        field("by", we_began ? "the peer, out of what we offered" : "us: the first of our list that the peer offered");
    out += "\nHow safe\n";
    out += field("keys", clean(fmt::format("{}: {}", t.ike->verdict.keys, t.ike->verdict.reason)));
    if (!t.ike->verdict.code.empty())
      out +=
          field("what to do", fmt::format("{} ({})", control::remedy(t.ike->verdict.code), clean(t.ike->verdict.code)));
    out += field("the peer proved itself by",
                 clean(fmt::format("{}, {}", t.ike->authentication, t.ike->authentication_verdict)));
    out += field("downgrade", t.ike->downgrade_excluded
                                  ? "excluded: both sides signed both first messages"
                                  : "not excluded: the peer does not sign both first messages (notify 16447)");
  }
  if (!t.last_failure.empty()) {
    out += "\nThe last attempt that failed\n" + steps_text(t.last_failure, true, colour);
    if (!t.failure_code.empty())
      out += field("what to do", fmt::format("{} ({})", control::remedy(t.failure_code), clean(t.failure_code)));
  }
  if (!t.ike && t.last_failure.empty()) {
    out += t.wanted == "up" ? "\nNo handshake has come so far as to have steps. What the daemon saw: qanat events " +
                                  clean(t.name) + "\n"
                            : "\nThere has been no handshake.\n";
  }
  return out;
}

std::string posture_table(const control::Posture& posture, Colour colour) {
  std::vector<std::vector<Cell>> rows = {head({"NAME", "KEYS", "KEY EXCHANGES", "AUTHENTICATION", "DOWNGRADE",
                                               "HARVESTABLE", "CLASSICAL FOR", "FIRST HYBRID"})};
  std::string why;
  for (const control::PostureRow& r : posture.tunnels) {
    const bool up = r.keys != "none";
    rows.push_back({{clean(r.tunnel), Tone::Strong},
                    {up ? clean(r.keys) : "down", keys_tone(r.keys)},
                    {up ? clean(fmt::format("{}", fmt::join(r.key_exchanges, "+"))) : "-"},
                    {up ? clean(r.authentication) : "-"},
                    {up ? r.downgrade_excluded ? "excluded" : "not excluded" : "-"},
                    {r.ledger.classical_bytes == 0 ? "-" : human_bytes(r.ledger.classical_bytes),
                     r.ledger.classical_bytes == 0 ? Tone::Plain : Tone::Warn},
                    {r.ledger.classical_seconds < 1 ? "-" : human_time(r.ledger.classical_seconds)},
                    {r.ledger.first_hybrid_at.empty() ? "never" : clean(r.ledger.first_hybrid_at)}});
    if (r.ledger.fell_to_classical) {
      why += paint(clean(r.tunnel) + ": it was hybrid before, and is classical now: is somebody in between?", Tone::Bad,
                   colour) +
             "\n";
    }
    if (r.code.empty()) continue;
    why += fmt::format("{} {}: {}\n  {}\n", paint(clean(r.tunnel) + ":", Tone::Warn, colour), clean(r.code),
                       clean(r.reason), control::remedy(r.code));
  }
  std::string out = table(rows, colour);
  if (!why.empty()) out += "\n" + why;
  return out + fmt::format(
                   "\n{} up: {} hybrid, {} with a PPK, {} classical. Carried: {} under quantum-safe keys, {} that "
                   "can be harvested.\n",
                   posture.up, posture.hybrid, posture.ppk, posture.classical, human_bytes(posture.safe_bytes),
                   human_bytes(posture.classical_bytes));
}

std::string posture_csv(const control::Posture& posture) {
  std::string out =
      "tunnel,state,policy,keys,key_exchanges,code,reason,authentication,downgrade_excluded,fragments_used,seconds_up,"
      "classical_bytes,classical_seconds,safe_bytes,safe_seconds,first_hybrid_at,last_classical_at,fell_to_"
      "classical\r\n";
  for (const control::PostureRow& r : posture.tunnels) {
    for (const std::string& text :
         {r.tunnel, r.state, r.policy, r.keys, fmt::format("{}", fmt::join(r.key_exchanges, "+")), r.code, r.reason,
          r.authentication})
      out += csv_field(clean(text)) + ",";
    out += fmt::format("{},{},{:.0f},{},{:.0f},{},{:.0f},{},{},{}\r\n", r.downgrade_excluded, r.fragments_used,
                       r.seconds_up, r.ledger.classical_bytes, r.ledger.classical_seconds, r.ledger.safe_bytes,
                       r.ledger.safe_seconds, csv_field(r.ledger.first_hybrid_at),
                       csv_field(r.ledger.last_classical_at), r.ledger.fell_to_classical);
  }
  return out;
}

std::string events_text(const std::vector<control::EventLine>& events, Colour colour) {
  if (events.empty()) return "No event yet.\n";
  std::string out;
  for (const control::EventLine& e : events) {
    const Tone tone = e.level == "error" ? Tone::Bad : e.level == "warning" ? Tone::Warn : Tone::Plain;
    out += fmt::format("{} {}", paint(clean(e.time), Tone::Faint, colour), paint(clean(e.name), tone, colour));
    for (const auto& [key, value] : e.fields)
      out += key == "tunnel" ? fmt::format(" {}", clean(value)) : fmt::format(" {}={}", clean(key), clean(value));
    out += "\n";
  }
  return out;
}

std::string routes_table(const std::vector<control::RouteStatus>& routes, Colour colour) {
  if (routes.empty()) return "There is no route.\n";
  std::vector<std::vector<Cell>> rows = {head({"PREFIX", "TUNNEL", "PRIORITY", "WEIGHT", "KEYS", "FROM", "STATE"})};
  const bool several = std::ranges::any_of(routes, [&](const auto& r) { return r.vrf != routes.front().vrf; });
  if (several) rows.front().insert(rows.front().begin(), head({"VRF"}).front());
  for (const control::RouteStatus& r : routes) {
    rows.push_back({{clean(r.prefix), Tone::Strong},
                    {clean(r.tunnel)},
                    {r.penalty == 0 ? std::to_string(r.priority) : fmt::format("{} + {}", r.priority, r.penalty)},
                    {std::to_string(r.weight)},
                    {clean(r.pq)},
                    {clean(r.source)},
                    {r.refused        ? "refused: its keys are not hybrid"
                     : r.penalty == 0 ? "good"
                                      : "put back",
                     r.refused        ? Tone::Bad
                     : r.penalty == 0 ? Tone::Good
                                      : Tone::Warn}});
    if (several) rows.back().insert(rows.back().begin(), Cell{clean(r.account)});
  }
  return table(rows, colour);
}

std::string route_text(const control::RouteAnswer& a, Colour colour) {
  std::string out = fmt::format("{}: {}\n", clean(a.address),
                                paint(clean(a.summary), a.tunnel.empty() ? Tone::Bad : Tone::Good, colour));
  if (!a.prefix.empty()) out += fmt::format("  by {}\n", clean(a.prefix));
  for (const std::string& hop : a.hops) out += fmt::format("    {}\n", clean(hop));
  return out;
}

}  // namespace qanat::cli
