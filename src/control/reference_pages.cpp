#include "control/reference_pages.hpp"

#include <fmt/format.h>

#include "control/event_codes.hpp"
#include "control/event_ring.hpp"
#include "control/metrics.hpp"
#include "esp/drop_reason.hpp"
#include "ike/counters.hpp"

namespace qanat::control {

namespace {

constexpr const char* kMade =
    "<!-- Made from the code (src/control/reference_pages.cpp): QANAT_UPDATE_DOCS=1 qanat_control_test. -->\n";

std::string row(std::string_view a, std::string_view b, std::string_view c) {
  return fmt::format("| `{}` | {} | {} |\n", a, b, c);
}

}  // namespace

std::string events_page() {
  std::string out = fmt::format(
      "# Log events\n{}\nOne line an event on standard error. With `[log] json = true`, one JSON object a line with "
      "the "
      "same names. Of those about tunnels, keys and routes, the last {} that the log's level lets through are in "
      "`qanat events` and `GET /v1/events`.\n\n"
      "| event | level | when |\n|---|---|---|\n",
      kMade, EventRing::kLimit);
  for (const EventInfo& e : kEvents) out += row(e.name, to_string(e.level), e.help);
  return out;
}

std::string metrics_page() {
  std::string out = fmt::format(
      "# Metrics\n{}\n`[gateway] metrics = \"127.0.0.1:9469\"` opens an HTTP listener that answers `GET /metrics` in "
      "Prometheus' text format; there is none by default. The same text: `GET /v1/metrics` on the control socket. "
      "`packaging/grafana/qanat.json` is a dashboard of them.\n\nA tunnel is named by its name, never by an SA's id. "
      "The metrics of the harvest ledger go on over restarts; all other counters begin at 0 with the daemon.\n\n"
      "| metric | type | labels | meaning |\n|---|---|---|---|\n",
      kMade);
  for (const MetricInfo& m : kMetrics) {
    out += fmt::format("| `{}` | {} | {} | {} |\n", m.name, m.type, m.labels, m.help);
  }
  out += "\n## Reasons of `qanat_dropped_packets_total`\n\n| reason | loss | meaning |\n|---|---|---|\n";
  for (std::size_t i = 0; i < esp::kDropReasons; ++i) {
    out +=
        row(esp::kDropTexts[i].name, is_loss(static_cast<esp::DropReason>(i)) ? "yes" : "no", esp::kDropTexts[i].help);
  }
  out += "\n## Reasons of `qanat_ike_messages_total`\n\n| reason | meaning |\n|---|---|\n";
  for (const ike::CounterInfo& c : ike::kCounterInfo) out += fmt::format("| `{}` | {} |\n", c.name, c.help);
  return out;
}

}  // namespace qanat::control
