// A reload as the daemon does it: the configuration is read by who may, judged as a whole, and applied as a difference.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>

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

bool is_there(const std::string& path) {
  struct stat info{};
  return ::stat(path.c_str(), &info) == 0;
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

Result<std::vector<config::Change>> Wiring::apply_difference(model::Config config) {
  adapt_to_host(config, source_.host, log_);
  const auto shown = gateway_.config().gateway.api_credentials;
  QANAT_ASSIGN(auto changes, gateway_.reload(io::boot_now(), config));
  own_addresses_ = own_addresses(gateway_.config());
  look_at_ = io::boot_now();
  const model::Gateway& gateway = gateway_.config().gateway;
  if (https_ && !(gateway.api_credentials == shown)) {
    if (auto tls = tls_of(gateway)) {
      https_->use_tls(std::move(*tls));
    } else {
      log_.error("reload-refused", tls.error());
    }
  }
  return changes;
}

// What this file changes, and the change itself. An error: it does not fit what the API has stored.
Result<std::vector<config::Change>> Wiring::change_to(control::LoadedFile file, bool apply) {
  std::vector<config::Change> changes;
  const auto carry_out = [&](model::Config config) -> Status {
    if (apply) {
      QANAT_ASSIGN(changes, apply_difference(std::move(config)));
      return {};
    }
    adapt_to_host(config, source_.host, log_);
    changes = config::diff(gateway_.config(), config);
    return fail(ErrorKind::LocalPolicy, "reload", "was only asked about");
  };
  if (!objects_) {
    const Status done = carry_out(*file.config);
    if (apply && !done) return std::unexpected(done.error());
    return changes;
  }
  const std::string name = file.name;
  const auto done = objects_->reload(std::move(file), carry_out);
  if (!done) return refused_by_objects(name, done.error());
  if (apply && !*done) return std::unexpected(done->error());
  return changes;
}

std::unexpected<Error> Wiring::refused_by_objects(const std::string& file, const Faults& faults) {
  std::string all;
  for (const control::Fault& fault : faults) {
    log_.error("objects-refused", {{"problem", fault.message}, {"hint", fault.hint}});
    all += (all.empty() ? "" : "; ") + fault.message + (fault.hint.empty() ? "" : ": " + fault.hint);
  }
  return fail(ErrorKind::LocalPolicy, file, "does not fit what was made by the API, and nothing was changed: " + all);
}

Result<model::Config> Wiring::with_objects(const model::Config& adapted) {
  const std::string path = adapted.gateway.state_dir + "/objects.db";
  auto opened = Objects::open(path, source_.file);
  if (!opened) {
    // Tunnels that were made by the API are protected against plaintext: who cannot read them must not go on.
    if (is_there(path)) return std::unexpected(opened.error());
    log_.warning("objects-not-kept", {{"where", opened.error().where}, {"reason", opened.error().detail}});
    return adapted;
  }
  objects_ = std::move(*opened);
  objects_->use_captures(captures_);
  QANAT_TRY(loop_->add(objects_->wanted_fd(), [this] { on_wanted(); }));
  auto together = objects_->together();
  if (!together) return refused_by_objects(source_.file.name, together.error());
  adapt_to_host(*together, source_.host, log_);
  return std::move(*together);
}

void Wiring::on_wanted() {
  apply_wanted();
  end_of_turn();
}

void Wiring::apply_wanted() {
  auto config = objects_ ? objects_->take_wanted() : std::nullopt;
  if (!config) return;
  if (const auto changes = apply_difference(std::move(*config)); !changes)
    log_.error("objects-refused", {{"problem", changes.error().detail}, {"hint", ""}});
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
    for (const config::Problem& p : problems)
      log_.warning("reload-warning", {{"line", fmt::format("{}", p.line)}, {"problem", p.message}});
    const std::string kept = std::move(report.problems);
    const auto changes = change_to({std::make_shared<const model::Config>(std::move(loaded->config)), file,
                                    io::wall_now(), std::move(loaded->lines)},
                                   read_for_.apply);
    if (changes && !read_for_.apply) {
      report = report_of(file, *changes);
      report.message = fmt::format("{}; nothing was changed yet", control::count_of(report));
    } else if (changes) {
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
