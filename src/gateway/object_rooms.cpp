#include "gateway/object_rooms.hpp"

#include <fmt/format.h>

#include "config/diff.hpp"
#include "config/judge.hpp"
#include "config/write.hpp"

namespace qanat::gateway {

namespace {

std::vector<control::Fault> faults_of(const std::vector<config::Problem>& problems) {
  std::vector<control::Fault> out;
  for (const config::Problem& problem : problems) {
    if (problem.severity == config::Severity::Error) out.push_back({problem.message, problem.hint});
  }
  return out;
}

}  // namespace

control::Rooms object_rooms() {
  control::Rooms rooms;
  rooms.judge = [](const model::Config& config, const control::LoadedFile& file) {
    return faults_of(config::judge(config, file.name, file.lines));
  };
  rooms.write = [](const model::Config& config) {
    config::Written written = config::write(config);
    control::Transfer out{std::move(written.text), {}};
    for (config::WrittenFile& file : written.files)
      out.files.push_back({std::move(file.name), std::move(file.octets), file.secret});
    return out;
  };
  rooms.read = [](const control::Transfer& transfer) -> std::expected<model::Config, std::vector<control::Fault>> {
    const auto file = [&](const std::string& path) -> Result<SecretBytes> {
      for (const control::TransferFile& one : transfer.files) {
        if (one.name == path) return one.octets.clone();
      }
      return fail(ErrorKind::LocalPolicy, path, "is not among the files that came along");
    };
    auto loaded = config::load(transfer.config, "import", file);
    if (loaded) return std::move(loaded->config);
    std::vector<control::Fault> out;
    for (const config::Problem& problem : loaded.error()) {
      if (problem.severity == config::Severity::Error)
        out.push_back({fmt::format("line {}: {}", problem.line, problem.message), problem.hint});
    }
    return std::unexpected(std::move(out));
  };
  rooms.differences = [](const model::Tunnel& one, const model::Tunnel& other) {
    model::Config before;
    model::Config after;
    before.tunnels = {one};
    after.tunnels = {other};
    std::vector<std::string> out;
    for (const config::Change& change : config::diff(before, after))
      out.insert(out.end(), change.keys.begin(), change.keys.end());
    return out;
  };
  return rooms;
}

}  // namespace qanat::gateway
