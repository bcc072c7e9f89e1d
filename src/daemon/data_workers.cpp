#include "daemon/data_workers.hpp"

namespace qanat::daemon {

DataWorkers::DataWorkers(std::vector<DataSockets> sockets, io::Mailbox<FromDataWorker>& events, const io::Log& log)
    : shards_(static_cast<std::uint32_t>(sockets.size())) {
  while (boxes_.size() < sockets.size()) boxes_.push_back(std::make_unique<HandoverBox>());
  for (DataSockets& s : sockets) {
    const auto index = static_cast<std::uint32_t>(workers_.size());
    workers_.push_back(std::make_unique<DataWorker>(index, std::move(s), boxes_, events, log));
  }
  leaving_.resize(workers_.size());
}

Status DataWorkers::start() {
  for (const auto& worker : workers_) QANAT_TRY(worker->start());
  return {};
}

void DataWorkers::post(ipsec::Command command) {
  shards_.post(std::move(command),
               [this](std::uint32_t worker, ipsec::Command c) { leaving_[worker].emplace_back(std::move(c)); });
}

void DataWorkers::post(StrayDatagram datagram) {
  const std::uint32_t worker = datagram.data.size() < 4 ? 0 : shards_.map().worker_of(load_be32(datagram.data.data()));
  leaving_[worker].emplace_back(std::move(datagram));
}

void DataWorkers::post(const io::PathError& error) {
  for (auto& worker : leaving_) worker.emplace_back(error);
}

void DataWorkers::post(const wan::TunnelNews& news) {
  for (auto& worker : leaving_) worker.emplace_back(news);
}

void DataWorkers::flush() {
  for (std::size_t i = 0; i < workers_.size(); ++i) (void)workers_[i]->inbox().post_all(leaving_[i]);  // has no limit
}

std::optional<ipsec::Event> DataWorkers::merge(ipsec::Event event) {
  auto whole = shards_.merge(std::move(event));
  const auto* chunk = whole ? std::get_if<ipsec::CaptureChunk>(&*whole) : nullptr;
  if (chunk && chunk->end && workers_.size() > 1) post(ipsec::StopCapture{chunk->capture});
  return whole;
}

}  // namespace qanat::daemon
