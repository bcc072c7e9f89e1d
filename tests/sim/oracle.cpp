#include "sim/oracle.hpp"

#include <algorithm>
#include <cstdlib>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "sim/sa_view.hpp"
#include "testcrypto/ledger.hpp"

namespace qanat::sim {

namespace {

using Problems = std::vector<std::string>;

std::string name_of(const ike::SaInfo& sa) {
  return fmt::format("IKE SA {:016x}/{:016x} (state {})", sa.spi_i, sa.spi_r, static_cast<int>(sa.state));
}

std::vector<ike::SaInfo> sas_of(const Node& node, const std::string& tunnel) {
  std::vector<ike::SaInfo> out;
  for (ike::SaInfo& sa : node.gateway().ike_sas()) {
    if (sa.tunnel == node.tunnel_id(tunnel)) out.push_back(std::move(sa));
  }
  return out;
}

// One side of a link: it has exactly one IKE SA, established, with a Child SA that is in use and on the other side too.
void compare(const Node& here, const std::string& tunnel, const Node& there, const std::string& other_tunnel,
             Problems& out) {
  const auto ours = sas_of(here, tunnel);
  const auto theirs = sas_of(there, other_tunnel);
  if (ours.size() != 1) {
    out.push_back(fmt::format("{} has {} IKE SAs for {}", here.name(), ours.size(), tunnel));
    for (const ike::SaInfo& sa : ours) out.push_back("  " + name_of(sa));
  }
  for (const ike::SaInfo& sa : ours) {
    const std::string label = fmt::format("{} {}: {}", here.name(), tunnel, name_of(sa));
    const auto twin = std::find_if(theirs.begin(), theirs.end(), [&](const ike::SaInfo& other) {
      return other.spi_i == sa.spi_i && other.spi_r == sa.spi_r;
    });
    if (sa.state != ike::SaState::Established) out.push_back(label + " is not established");
    const std::vector<ike::ChildInfo> children = all_children(sa);
    if (children.size() != 1 || live_children(sa).size() != 1)
      out.push_back(fmt::format("{} has {} Child SAs", label, children.size()));
    if (twin == theirs.end()) {
      out.push_back(fmt::format("{} is not at {}", label, there.name()));
      continue;
    }
    if (twin->initiator == sa.initiator) out.push_back(label + " has the same role on both sides");
    const std::vector<ike::ChildInfo> mirrored = all_children(*twin);
    for (const ike::ChildInfo& child : children) {
      const auto other = std::find_if(mirrored.begin(), mirrored.end(), [&](const ike::ChildInfo& c) {
        return c.spi_out == child.spi_in && c.spi_in == child.spi_out;
      });
      if (other == mirrored.end()) {
        out.push_back(label + ": the SPIs of the Child SA do not mirror");
      } else if (child.suite != other->suite || child.esn != other->esn) {
        out.push_back(label + ": the Child SA has other algorithms at the peer");
      }
      const auto current = here.tap.current.find(sa.tunnel);
      if (current == here.tap.current.end() || current->second != child.id)
        out.push_back(label + ": traffic does not use the Child SA");
    }
  }
}

// The packet path holds what the IKE SAs say, and nothing else.
void compare_with_plane(const Node& node, Problems& out) {
  std::map<ChildSaId, ipsec::EspSpi> in;
  std::map<ChildSaId, ipsec::EspSpi> outbound;
  for (const ike::SaInfo& sa : node.gateway().ike_sas()) {
    for (const ike::ChildInfo& child : all_children(sa)) {
      in[child.id] = child.spi_in;
      outbound[child.id] = child.spi_out;
    }
  }
  if (in != node.tap.inbound)
    out.push_back(fmt::format("{}: {} inbound SAs are installed, and IKE knows {}", node.name(),
                              node.tap.inbound.size(), in.size()));
  if (outbound != node.tap.outbound)
    out.push_back(fmt::format("{}: {} outbound SAs are installed, and IKE knows {}", node.name(),
                              node.tap.outbound.size(), outbound.size()));
  if (!node.tap.reserved.empty())
    out.push_back(fmt::format("{}: {} SPIs stay reserved", node.name(), node.tap.reserved.size()));
}

std::size_t count_of(const Node& node, const Bytes& packet) {
  // From the UDP header on: TTL and checksum of the IP header change on the way.
  return static_cast<std::size_t>(std::count_if(node.delivered.begin(), node.delivered.end(), [&](const Bytes& got) {
    return equal(ByteView{got}.subspan(std::min<std::size_t>(got.size(), 20)), ByteView{packet}.subspan(20));
  }));
}

void check_traffic(World& world, Problems& out) {
  struct Expected {
    const Node* at;
    Bytes packet;
    std::string way;
  };
  std::vector<Expected> expected;
  for (const Link& l : world.links) {
    for (int n = 0; n < 3; ++n) {
      for (const bool rightward : {true, false}) {
        Node& from = rightward ? *l.left : *l.right;
        Node& to = rightward ? *l.right : *l.left;
        const std::string way = fmt::format("{} to {}, packet {}", from.name(), to.name(), n);
        Bytes packet = udp_packet(rightward ? l.left_inner : l.right_inner, rightward ? l.right_inner : l.left_inner,
                                  fmt::format("oracle: {} ", way));
        from.send(packet);
        expected.push_back({&to, std::move(packet), way});
      }
    }
  }
  world.run_for(2s);
  for (const Expected& e : expected) {
    const std::size_t times = count_of(*e.at, e.packet);
    if (times != 1) out.push_back(fmt::format("traffic from {}: delivered {} times", e.way, times));
  }
}

}  // namespace

std::vector<std::string> problems_of(World& world) {
  Problems out;
  world.network.calm();
  world.filter = nullptr;
  for (const auto& node : world.nodes()) {
    if (!node->running()) node->start();
  }
  if (!world.run_until([&] { return world.all_up(); }, 10min)) {
    for (const Link& l : world.links) {
      for (const auto& [node, tunnel] : {std::pair{l.left, l.left_tunnel}, std::pair{l.right, l.right_tunnel}}) {
        const control::TunnelStatus status = node->status(tunnel);
        if (status.actual != "up")
          out.push_back(fmt::format("{} {} is {}: {}", node->name(), tunnel, status.actual, status.reason));
      }
    }
  }
  world.run_for(3min);  // what was begun in bad weather ends: half-open SAs, duplicates, answers kept for repetition
  // A renewal may be under way just now; it has its own end. That of a peer which has crashed since is the longest: the
  // whole schedule of retransmissions.
  const auto settled = [&] {
    return std::all_of(world.nodes().begin(), world.nodes().end(), [](const auto& node) {
      const auto sas = node->gateway().ike_sas();
      return std::all_of(sas.begin(), sas.end(), [](const ike::SaInfo& sa) {
        return sa.state == ike::SaState::Established && all_children(sa).size() == live_children(sa).size();
      });
    });
  };
  if (!world.run_until(settled, 10min)) out.emplace_back("the IKE SAs do not settle");
  for (const Link& l : world.links) {
    compare(*l.left, l.left_tunnel, *l.right, l.right_tunnel, out);
    compare(*l.right, l.right_tunnel, *l.left, l.left_tunnel, out);
  }
  for (const auto& node : world.nodes()) compare_with_plane(*node, out);
  check_traffic(world, out);
  for (const auto& node : world.nodes()) node->shut_down();
  world.run_for(5min);
  for (const auto& node : world.nodes()) {
    if (const std::size_t left = node->gateway().holdings(); left != 0)
      out.push_back(fmt::format("{} still holds {} entries of IKE SAs 5 minutes after its end", node->name(), left));
    if (!node->tap.empty())
      out.push_back(fmt::format("{} still has SAs or reserved SPIs in its packet path after its end", node->name()));
    if (node->path().next_timeout())
      out.push_back(fmt::format("{}: the packet path still waits for a timer after its end", node->name()));
  }
  for (const std::string& leak : world.leaks) out.push_back("plaintext outside: " + leak);
  for (const std::string& twice : testcrypto::Ledger::instance().repetitions()) out.push_back(twice);
  return out;
}

void expect_sound(World& world, const std::string& what) {
  const Problems problems = problems_of(world);
  std::string text;
  for (const std::string& p : problems) text += "  " + p + "\n";
  EXPECT_TRUE(problems.empty()) << what << "; replay it with QANAT_SIM_SEED=" << world.seed() << "\n" << text;
}

bool is_deep() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return false;  // ten times as slow, and the plain build runs it anyway
#else
  const char* deep = std::getenv("QANAT_DEEP");
  return deep != nullptr && std::string_view{deep} == "1";
#endif
}

std::vector<std::uint64_t> seeds(std::uint64_t first, std::size_t count) {
  if (const char* only = std::getenv("QANAT_SIM_SEED")) return {std::strtoull(only, nullptr, 10)};
  std::vector<std::uint64_t> out;
  for (std::size_t i = 0; i < count; ++i) out.push_back(first + i);
  return out;
}

}  // namespace qanat::sim
