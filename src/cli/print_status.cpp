#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/print.hpp"

namespace qanat::cli {

namespace {

using control::ChildStatus;
using control::IkeStatus;
using control::NamedCounters;
using control::TunnelStatus;

bool is_up(const TunnelStatus& tunnel) {
  return tunnel.actual == "up";
}
// Down because it shall be, or waiting for a peer that calls in: nothing is wrong.
bool is_as_wanted(const TunnelStatus& tunnel) {
  return tunnel.actual == tunnel.wanted ||
         (tunnel.wanted == "on call" && (is_up(tunnel) || tunnel.actual == "waiting"));
}

std::string joined(const std::vector<std::string>& words, std::string_view between) {
  return clean(fmt::format("{}", fmt::join(words, between)));
}

// Rows of a page: a word, and what there is to say about it.
class Page {
 public:
  explicit Page(Colour colour) : colour_(colour) {}

  void row(std::string_view word, std::string text, Tone tone = Tone::Plain) {
    if (!text.empty()) rows_.push_back({{std::string{word}, Tone::Faint}, {std::move(text), tone}});
  }
  void flush() {
    text_ += table(rows_, colour_, "  ");
    rows_.clear();
  }
  void line(const std::string& text, Tone tone = Tone::Plain) {
    flush();
    text_ += paint(text, tone, colour_) + "\n";
  }
  void add_table(const std::vector<std::vector<Cell>>& rows) {
    flush();
    text_ += table(rows, colour_, "  ");
  }
  [[nodiscard]] std::string take() && {
    flush();
    return std::move(text_);
  }

 private:
  Colour colour_;
  std::vector<std::vector<Cell>> rows_;
  std::string text_;
};

std::string with_reason(std::string text, const std::string& reason) {
  return reason.empty() ? text : fmt::format("{} ({})", text, clean(reason));
}

std::string nat_text(const IkeStatus& ike) {
  if (ike.nat_local && ike.nat_remote) return "both sides are behind a NAT";
  if (ike.nat_local) return "this side is behind a NAT";
  return ike.nat_remote ? "the peer is behind a NAT" : "";
}

void add_ike(Page& page, const IkeStatus& ike) {
  page.row(
      "keys",
      with_reason(fmt::format("{} {}", clean(ike.verdict.keys), joined(ike.key_exchanges, " + ")), ike.verdict.reason),
      keys_tone(ike.verdict.keys));
  page.row("authentication", with_reason(clean(ike.authentication), ike.authentication_verdict));
  page.row("downgrade",
           ike.downgrade_excluded ? "excluded: both sides signed both first messages"
                                  : "not excluded: the peer does not sign both first messages (notify 16447)",
           Tone::Plain);
  page.row("local", fmt::format("{}  {}", clean(ike.local), clean(ike.local_id)));
  page.row("remote", fmt::format("{}  {}", clean(ike.remote), clean(ike.remote_id)));
  page.row("NAT", nat_text(ike));
  page.row("MOBIKE", ike.mobike ? "the peer may move, and so may we" : "");
  page.row("IKE SA", fmt::format("{}, {}, up {}, rekey in {}", clean(ike.suite), clean(ike.role),
                                 human_time(ike.seconds_up), human_time(ike.seconds_to_rekey)));
  page.row("IKE SPIs", fmt::format("{:016x} {:016x}", ike.spi_i, ike.spi_r));
}

std::string again_text(std::uint32_t times) {
  return times == 0 ? "-" : times == 1 ? "once" : fmt::format("{} times", times);
}

void add_handshake(Page& page, const IkeStatus& ike) {
  if (ike.handshake.empty()) return;
  page.line("");
  page.line("Handshake", Tone::Strong);
  std::vector<std::vector<Cell>> rows = {{{"EXCHANGE", Tone::Faint},
                                          {"REQUEST", Tone::Faint},
                                          {"RESPONSE", Tone::Faint},
                                          {"TIME", Tone::Faint},
                                          {"SENT AGAIN", Tone::Faint}}};
  double total = 0;
  std::uint64_t sent = 0;
  std::uint64_t received = 0;
  for (const control::ExchangeStep& step : ike.handshake) {
    total += step.milliseconds;
    sent += step.request_bytes;
    received += step.response_bytes;
    rows.push_back({{clean(step.exchange)},
                    {size_text(step.request_bytes, step.request_fragments)},
                    {size_text(step.response_bytes, step.response_fragments)},
                    {milliseconds_text(step.milliseconds)},
                    {again_text(step.retransmissions), step.retransmissions == 0 ? Tone::Plain : Tone::Warn}});
  }
  rows.push_back(
      {{"together"}, {fmt::format("{} B", sent)}, {fmt::format("{} B", received)}, {milliseconds_text(total)}});
  page.add_table(rows);
}

void add_child(Page& page, const ChildStatus& child) {
  page.line("");
  page.line(fmt::format("Child SA in {:08x}, out {:08x}", child.spi_in, child.spi_out), Tone::Strong);
  page.row("keys", with_reason(clean(child.verdict.keys), child.verdict.reason), keys_tone(child.verdict.keys));
  page.row("packets", fmt::format("{}, {}, {}", clean(child.suite),
                                  child.encapsulation == "udp" ? "in UDP" : clean(child.encapsulation),
                                  child.esn ? "64-bit sequence numbers" : "32-bit sequence numbers"));
  page.row("replay window",
           child.replay_window == 0 ? "none: recorded packets can be played back"
                                    : fmt::format("{} packets", child.replay_window),
           child.replay_window == 0 ? Tone::Warn : Tone::Plain);
  page.row("selectors", fmt::format("{} == {}", joined(child.local_ts, ", "), joined(child.remote_ts, ", ")));
  page.row("inner MTU", child.inner_mtu == 0 ? "" : fmt::format("{} B", child.inner_mtu));
  page.row("in", fmt::format("{} in {}", human_bytes(child.bytes_in), plural(child.packets_in, "packet")));
  page.row("out", fmt::format("{} in {}", human_bytes(child.bytes_out), plural(child.packets_out, "packet")));
  page.row("age", fmt::format("up {}, rekey in {}", human_time(child.seconds_up), human_time(child.seconds_to_rekey)));
}

void add_drops(Page& page, const NamedCounters& drops) {
  if (std::all_of(drops.begin(), drops.end(), [](const auto& drop) { return drop.second == 0; })) return;
  page.line("");
  page.line("Dropped packets", Tone::Strong);
  for (const auto& [name, count] : drops) {
    if (count != 0) page.row(clean(name), std::to_string(count), Tone::Warn);
  }
}

std::string daemon_line(const control::Snapshot& snapshot) {
  std::string line = fmt::format("qanatd {}, up {}", clean(snapshot.version), human_time(snapshot.seconds_up));
  if (!snapshot.crypto.empty()) line += ", " + clean(snapshot.crypto);
  if (snapshot.data_workers > 1)
    line += fmt::format("\n{} data workers, {} packets handed over", snapshot.data_workers, snapshot.handed_over);
  if (const auto& api = snapshot.api)
    line += fmt::format("\nAPI at {}, TLS handshakes: {} X25519MLKEM768 (hybrid), {} X25519 (classical)",
                        clean(api->listen), api->hybrid, api->classical);
  return line;
}

}  // namespace

Tone state_tone(const TunnelStatus& tunnel) {
  if (is_up(tunnel)) return Tone::Good;
  if (is_as_wanted(tunnel)) return Tone::Plain;
  return tunnel.actual == "connecting" ? Tone::Warn : Tone::Bad;
}

Tone keys_tone(const std::string& keys) {
  if (keys == "classical") return Tone::Warn;
  return keys.empty() || keys == "none" ? Tone::Plain : Tone::Good;
}

std::string size_text(std::uint32_t octets, std::uint32_t datagrams) {
  return datagrams > 1 ? fmt::format("{} B in {} fragments", octets, datagrams) : fmt::format("{} B", octets);
}

// Only the initiator of an exchange sees how long its answer took.
std::string milliseconds_text(double milliseconds) {
  return milliseconds < 0.05 ? "-" : fmt::format("{:.1f} ms", milliseconds);
}

std::string health_text(const TunnelStatus& tunnel) {
  const control::HealthStatus& health = tunnel.health;
  if (health.state.empty()) return "-";
  return health.loss > 0 ? fmt::format("{}, {:.1f} % lost", clean(health.state), health.loss * 100)
                         : clean(health.state);
}

Tone health_tone(const TunnelStatus& tunnel) {
  const std::string& state = tunnel.health.state;
  if (state == "healthy") return Tone::Good;
  return state == "degraded" ? Tone::Warn : state == "down" ? Tone::Bad : Tone::Plain;
}

std::string keys_text(const TunnelStatus& tunnel) {
  if (!tunnel.ike) return "-";
  const control::Verdict& verdict = tunnel.ike->verdict;
  if (verdict.keys == "classical") return verdict.reason.empty() ? "classical" : "classical: " + clean(verdict.reason);
  return clean(verdict.keys) + " " + joined(tunnel.ike->key_exchanges, "+");
}

std::string state_text(const TunnelStatus& tunnel) {
  const std::string actual = clean(tunnel.actual);
  if (tunnel.actual == tunnel.wanted) return actual;
  return tunnel.wanted == "on call" ? fmt::format("{} (on call)", actual)
                                    : fmt::format("{} (wanted {})", actual, clean(tunnel.wanted));
}

std::string status_table(const control::Snapshot& snapshot, Colour colour) {
  if (snapshot.tunnels.empty()) {
    return fmt::format("No tunnel is configured: add a [[tunnel]] to the configuration, then: qanat reload\n{}\n",
                       daemon_line(snapshot));
  }
  std::vector<std::vector<Cell>> rows(1);
  for (const char* head : {"NAME", "STATE", "KEYS", "PEER", "IN", "OUT", "UP"}) rows[0].push_back({head, Tone::Faint});
  const bool health = std::any_of(snapshot.tunnels.begin(), snapshot.tunnels.end(),
                                  [](const TunnelStatus& t) { return !t.health.state.empty(); });
  if (health) rows[0].insert(rows[0].begin() + 2, {"HEALTH", Tone::Faint});
  std::string reasons;
  for (const TunnelStatus& tunnel : snapshot.tunnels) {
    rows.push_back({{clean(tunnel.name), Tone::Strong},
                    {state_text(tunnel), state_tone(tunnel)},
                    {keys_text(tunnel), tunnel.ike ? keys_tone(tunnel.ike->verdict.keys) : Tone::Plain},
                    {clean(tunnel.peer)},
                    {human_bytes(tunnel.bytes_in)},
                    {human_bytes(tunnel.bytes_out)},
                    {tunnel.ike ? human_time(tunnel.ike->seconds_up) : "-"}});
    if (health) rows.back().insert(rows.back().begin() + 2, {health_text(tunnel), health_tone(tunnel)});
    if (!tunnel.reason.empty()) {
      reasons += fmt::format("{} {}\n",
                             paint(clean(tunnel.name) + ":", is_as_wanted(tunnel) ? Tone::Strong : Tone::Bad, colour),
                             clean(tunnel.reason));
    }
  }
  std::string out = table(rows, colour);
  if (!reasons.empty()) out += "\n" + reasons;
  return out + "\n" + paint(daemon_line(snapshot), Tone::Faint, colour) + "\n";
}

std::string tunnel_page(const TunnelStatus& tunnel, Colour colour) {
  Page page{colour};
  page.line(fmt::format("{}: {}", clean(tunnel.name), state_text(tunnel)), state_tone(tunnel));
  if (!tunnel.reason.empty()) page.line("  " + clean(tunnel.reason), is_as_wanted(tunnel) ? Tone::Strong : Tone::Bad);
  if (!is_as_wanted(tunnel) && tunnel.reason.empty())
    page.line("  no reason is known yet; the daemon's log has more", Tone::Bad);
  page.line("");
  if (tunnel.ike) {
    add_ike(page, *tunnel.ike);
  } else {
    page.row("local", clean(tunnel.local));
    page.row("peer", clean(tunnel.peer));
  }
  if (!tunnel.health.state.empty()) {
    std::string text = with_reason(health_text(tunnel), tunnel.health.reason);
    if (tunnel.health.p50_ms) text += fmt::format(", round trip {:.1f} ms", *tunnel.health.p50_ms);
    if (tunnel.health.p99_ms) text += fmt::format(" (99 % within {:.1f} ms)", *tunnel.health.p99_ms);
    page.row("health", std::move(text), health_tone(tunnel));
  }
  page.row("policy", fmt::format("pq = {}", clean(tunnel.pq)));
  page.row("routes", tunnel.routes.empty() ? "none" : joined(tunnel.routes, ", "));
  page.row("in", fmt::format("{} in {}", human_bytes(tunnel.bytes_in), plural(tunnel.packets_in, "packet")));
  page.row("out", fmt::format("{} in {}", human_bytes(tunnel.bytes_out), plural(tunnel.packets_out, "packet")));
  page.flush();
  if (tunnel.ike) add_handshake(page, *tunnel.ike);
  for (const ChildStatus& child : tunnel.children) add_child(page, child);
  add_drops(page, tunnel.drops);
  return std::move(page).take();
}

std::string check_summary(const std::string& file, const model::Config& config) {
  const auto count = [&](model::PqPolicy pq) {
    return std::count_if(config.tunnels.begin(), config.tunnels.end(),
                         [&](const model::Tunnel& tunnel) { return tunnel.pq == pq; });
  };
  std::vector<std::string> parts;
  if (const auto n = count(model::PqPolicy::Require)) parts.push_back(fmt::format("{} with pq = require", n));
  if (const auto n = count(model::PqPolicy::Prefer)) parts.push_back(fmt::format("{} with pq = prefer", n));
  if (const auto n = count(model::PqPolicy::Pin)) parts.push_back(fmt::format("{} with pq = pin", n));
  if (const auto n = count(model::PqPolicy::Off)) parts.push_back(fmt::format("{} with pq = off", n));
  std::string out = fmt::format("{} is fine: {}", clean(file), plural(config.tunnels.size(), "tunnel"));
  if (!parts.empty()) out += fmt::format(" ({})", fmt::join(parts, ", "));
  return out + "\n";
}

}  // namespace qanat::cli
