// DataWorkers: the data workers of a gateway, as its control thread sees them: who gets what (wan/data_shards.hpp).
#pragma once

#include <memory>
#include <vector>

#include "daemon/data_worker.hpp"
#include "wan/data_shards.hpp"

namespace qanat::daemon {

class DataWorkers {
 public:
  // One for each of `sockets`, at least one. `events` is told what happens; it outlives the workers.
  DataWorkers(std::vector<DataSockets> sockets, io::Mailbox<FromDataWorker>& events, const io::Log& log);

  [[nodiscard]] Status start();

  // What is posted leaves with flush(), in its order: one wake-up a worker.
  void post(ipsec::Command command);
  void post(StrayDatagram datagram);       // of ESP: for whoever has its SPI
  void post(const io::PathError& error);   // for all: nobody knows whose tunnel it is about
  void post(const wan::TunnelNews& news);  // for all; its owner knows it already
  void flush();
  // What `events` has brought, as the gateway is to hear it (see wan::DataShards).
  [[nodiscard]] std::optional<ipsec::Event> merge(ipsec::Event event);

 private:
  wan::DataShards shards_;
  HandoverBoxes boxes_;
  std::vector<std::unique_ptr<DataWorker>> workers_;
  std::vector<std::vector<ToDataWorker>> leaving_;  // by worker
};

}  // namespace qanat::daemon
