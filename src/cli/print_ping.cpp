// ping and policy: what an operator asks a tunnel and the packet policy.
#include <algorithm>

#include <fmt/format.h>

#include "cli/print.hpp"

namespace qanat::cli {

std::string policy_table(const std::vector<control::PolicyStatus>& rules, Colour colour) {
  if (rules.empty()) return "There is no rule: every packet that fits a route passes.\n";
  std::vector<std::vector<Cell>> rows = {{{"RULE", Tone::Faint},
                                          {"VRF", Tone::Faint},
                                          {"ACTION", Tone::Faint},
                                          {"PACKETS", Tone::Faint},
                                          {"OCTETS", Tone::Faint}}};
  for (const control::PolicyStatus& r : rules) {
    rows.push_back({{clean(r.rule), Tone::Strong},
                    {r.vrf == 0 ? "-" : std::to_string(r.vrf)},
                    {clean(r.action), r.action == "drop" ? Tone::Warn : Tone::Plain},
                    {r.packets == 0 ? "-" : std::to_string(r.packets)},
                    {r.packets == 0 ? "-" : human_bytes(r.bytes)}});
  }
  return table(rows, colour) +
         "The first rule that fits decides, a rule with action log lets the next one decide; "
         "what fits none passes.\n";
}

std::string ping_line(const control::PingStatus& ping, std::size_t number) {
  return ping.answered && ping.milliseconds ? fmt::format("{}: from {} to {}: {:.2f} ms\n", number, clean(ping.to),
                                                          clean(ping.from), *ping.milliseconds)
                                            : fmt::format("{}: no answer from {} within 2 s\n", number, clean(ping.to));
}

std::string ping_summary(const std::string& tunnel, const std::vector<control::PingStatus>& pings) {
  double least = 0;
  double most = 0;
  double sum = 0;
  std::size_t answered = 0;
  for (const control::PingStatus& p : pings) {
    if (!p.answered || !p.milliseconds) continue;
    least = answered == 0 ? *p.milliseconds : std::min(least, *p.milliseconds);
    most = std::max(most, *p.milliseconds);
    sum += *p.milliseconds;
    ++answered;
  }
  const std::size_t lost = pings.size() - answered;
  std::string out =
      fmt::format("{}: {} sent, {} answered, {:.0f} % lost", clean(tunnel), pings.size(), answered,
                  pings.empty() ? 0.0 : 100.0 * static_cast<double>(lost) / static_cast<double>(pings.size()));
  if (answered != 0)
    out += fmt::format("; round trip least {:.2f}, mean {:.2f}, most {:.2f} ms", least,
                       sum / static_cast<double>(answered), most);
  return out + "\n";
}

}  // namespace qanat::cli
