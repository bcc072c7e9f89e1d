// Ten thousand objects: what is done once for each must stay small. The bounds are wide, since other work runs beside
// the tests; ./run bench measures.
#include <chrono>
#include <iostream>

#include "api/world.hpp"

namespace qanat::api_test {
namespace {

class Scale : public World {
 protected:
  template <typename Work>
  double milliseconds(const Work& work) {
    const auto begin = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
  }
};

TEST_F(Scale, TenThousandTunnelsAreMadeByBulkCallsAndListed) {
  constexpr int kBulk = 1000;
  double first = 0;
  double last = 0;
  for (int bulk = 0; bulk < 10; ++bulk) {
    json body = {{"ipsec_tunnels", json::array()}};
    for (int i = 0; i < kBulk; ++i) {
      const int number = bulk * kBulk + i;
      body["ipsec_tunnels"].push_back(tunnel_body("t" + std::to_string(number), number));
    }
    const std::string text = body.dump();
    last = milliseconds([&] { EXPECT_EQ(ask("POST", kTunnels, text).status, 200); });
    if (bulk == 0) first = last;
  }
  EXPECT_EQ(wanted().tunnels.size(), 10'001U);
  auto snapshot = std::make_shared<control::Snapshot>();
  for (int i = 0; i < 10'000; ++i) {
    control::TunnelStatus status;
    status.name = "t" + std::to_string(i);
    status.reason = "no answer yet";
    snapshot->tunnels.push_back(status);
  }
  snapshot_ = snapshot;
  std::vector<double> lists;
  std::size_t size = 0;
  for (int i = 0; i < 5; ++i) lists.push_back(milliseconds([&] { size = ask("GET", kTunnels).body.size(); }));
  std::sort(lists.begin(), lists.end());
  const double one =
      milliseconds([&] { EXPECT_EQ(ask("POST", kTunnels, tunnel_body("one", 10'000).dump()).status, 200); });
  std::cout << "1,000 tunnels made: " << first << " ms, the tenth thousand " << last << " ms; 10,001 listed ("
            << size / 1024 << " KB): " << lists[2] << " ms; one more made: " << one << " ms\n";
  EXPECT_LT(lists[2], 1000);
  EXPECT_LT(first, 10'000);
  EXPECT_LT(one, 5000);
}

}  // namespace
}  // namespace qanat::api_test
