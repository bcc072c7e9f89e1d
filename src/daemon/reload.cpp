// A reload as the daemon does it: the configuration is read by who may, judged as a whole, and applied as a difference.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "config/diff.hpp"
#include "control/reload_json.hpp"
#include "daemon/host.hpp"
#include "daemon/wiring.hpp"
#include "io/clock.hpp"

namespace qanat::daemon {

namespace {

using control::ReloadReport;

ReloadReport report_of(const std::string& file, const std::vector<config::Change>& changes) {
  ReloadReport out;
  out.file = file;
  out.ok = true;
  for (const config::Change& c : changes) {
    out.changes.push_back({std::string{config::to_string(c.kind)}, c.name, c.keys,
                           std::string{config::to_string(c.effect)}, std::string{config::meaning(c.effect)}});
  }
  return out;
}

}  // namespace

void Wiring::ask_for_config() {
  if (reading_ || stop_at_ || (!reload_asked_ && reload_calls_.empty())) return;
  read_for_ = {std::exchange(reload_asked_, false), std::exchange(reload_calls_, {})};
  for (const ApiCall& call : read_for_.calls)
    read_for_.apply = read_for_.apply || call.command.verb == control::GatewayCommand::Verb::Reload;
  reading_ = true;
  if (const Status asked = source_.reader.ask(); !asked) {
    ConfigFiles none;
    none.text = std::unexpected(asked.error());
    finish_reload(none);
  }
}

void Wiring::on_config() {
  auto files = source_.reader.poll();
  if (!files) return;
  ConfigFiles read;
  if (*files) {
    read = std::move(**files);
  } else {
    loop_->remove(source_.reader.fd());  // it has gone, and its end would be readable for ever
    log_.error("config-reader-gone", files->error());
    read.text = std::unexpected(files->error());
  }
  if (reading_) finish_reload(read);
  ask_for_config();
  end_of_turn();
}

// Everybody who has waited hears the same. A bad file changes nothing.
void Wiring::finish_reload(ConfigFiles& files) {
  reading_ = false;
  const std::string& file = source_.reader.file();
  ReloadReport report;
  report.file = file;
  auto loaded = files.load(file, io::wall_now());
  files = {};
  const auto& problems = loaded ? loaded->warnings : loaded.error();
  report.problems = config::render_problems(problems);
  if (!loaded) {
    std::size_t errors = 0;
    for (const config::Problem& p : problems) errors += p.severity == config::Severity::Error ? 1 : 0;
    report.message = fmt::format("{} has {} error{}, and nothing was changed", file, errors, errors == 1 ? "" : "s");
    for (const config::Problem& p : problems) {
      log_.error(
          "reload-refused",
          {{"where", fmt::format("{}:{}:{}", p.file, p.line, p.column)}, {"problem", p.message}, {"hint", p.hint}});
    }
  } else {
    adapt_to_host(loaded->config, source_.host, log_);
    for (const config::Problem& p : problems)
      log_.warning("reload-warning", {{"line", fmt::format("{}", p.line)}, {"problem", p.message}});
    const std::string kept = std::move(report.problems);
    if (!read_for_.apply) {
      report = report_of(file, config::diff(gateway_.config(), loaded->config));
      report.message = fmt::format("{}; nothing was changed yet", control::count_of(report));
    } else if (const auto changes = gateway_.reload(io::boot_now(), loaded->config)) {
      own_addresses_ = own_addresses(gateway_.config());
      look_at_ = io::boot_now();
      report = report_of(file, *changes);
      report.applied = true;
      report.message = fmt::format("{} is in force: {}", file, control::count_of(report));
      for (const control::ReloadChange& c : report.changes) {
        if (c.effect == "restart") {
          log_.warning("reload-needs-restart", {{"what", c.kind + (c.name.empty() ? "" : " " + c.name)},
                                                {"keys", fmt::format("{}", fmt::join(c.keys, " "))}});
        }
      }
    } else {
      report.message = changes.error().detail;
      log_.error("reload-refused", changes.error());
    }
    report.problems = kept;
  }
  for (ApiCall& call : std::exchange(read_for_.calls, {})) call.reply(control::reload_reply(report));
}

}  // namespace qanat::daemon
