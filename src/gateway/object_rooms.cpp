#include "gateway/object_rooms.hpp"

#include "config/judge.hpp"

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
  return rooms;
}

}  // namespace qanat::gateway
