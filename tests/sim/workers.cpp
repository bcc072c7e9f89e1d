#include "sim/workers.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "exchange/fake_auth.hpp"

namespace qanat::sim {

namespace {

constexpr WallTime kNow{1'800'000'000};  // January 2027

// An Ed25519 key and its own certificate, valid until 2126: what a configuration must hold to ask for certificates. A
// fixed one, and of a deterministic algorithm, so that worlds replay.
constexpr std::string_view kKey =
    "302e020100300506032b6570042204203fd9dc7d25b62f28b58aa3195e459fb38c8bee2810f0af788aafccca2059106d";
constexpr std::string_view kCertificate =
    "3082015b3082010da00302010202142af7a749344427d9b236c781f566bedfb44e6fac300506032b6570301a31183016060355"
    "04030c0f71616e61742073696d756c61746f723020170d3236313132333135343634315a180f32313236313033303135343634"
    "315a301a3118301606035504030c0f71616e61742073696d756c61746f72302a300506032b65700321001773099018bfd0c346"
    "89dfcbc8f1c571087c87d4ec477eceaae395134a775fada3633061301d0603551d0e04160414335b6c8df8af439c8282e96b23"
    "04e66c386208a1301f0603551d23041830168014335b6c8df8af439c8282e96b2304e66c386208a1300f0603551d130101ff04"
    "0530030101ff300e0603551d0f0101ff040403020284300506032b657003410014dbf46d3587ef1b35e822259fd272b9432279"
    "45b2f8633af02bc6be778362d2e2c37749c1006add224f695f099b970b229de968f2358e4ec2453b7bb13e130d";

exchange::FakeAuth toys_of(const Paper& paper, const wire::Identity& owner) {
  exchange::FakeAuth out;
  out.owner.assign(owner.data.begin(), owner.data.end());
  out.certificate_size = paper.certificate;
  out.intermediates = paper.intermediates;
  out.signature_size = paper.signature;
  return out;
}

}  // namespace

void use_certificates(model::Tunnel& tunnel) {
  const auto octets = [](std::string_view hex) {
    auto out = from_hex(hex);
    ensure(out.has_value(), "octets of a test");
    return *std::move(out);
  };
  tunnel.credentials.certificates = {octets(kCertificate)};
  tunnel.credentials.private_key = std::make_shared<const SecretBytes>(SecretBytes::copy_of(octets(kKey)));
  tunnel.credentials.trust_anchors = {octets(kCertificate)};
}

void Workers::set_tunnel(TunnelId id, std::shared_ptr<const gateway::AuthCredentials> credentials) {
  credentials_.insert_or_assign(id, std::move(credentials));
}

void Workers::ask(Instant now, Question question, const wire::Identity& own) {
  const TunnelId tunnel = std::visit([](const auto& q) { return q.tunnel; }, question);
  const std::uint64_t factor = dice_.below(16) == 0 ? 100 : 1;
  const Duration delay{
      static_cast<std::int64_t>(dice_.below(factor * static_cast<std::uint64_t>(slowest.count()) + 1))};
  if (delay > 10s) ++counts_.too_late;
  tasks_.emplace(now + delay, Task{counts_.asked++, std::move(question), own, credentials_[tunnel]});
}

std::optional<Instant> Workers::next_answer() const {
  if (tasks_.empty()) return std::nullopt;
  return tasks_.begin()->first;
}

std::optional<Workers::Answer> Workers::poll(Instant now) {
  if (tasks_.empty() || tasks_.begin()->first > now) return std::nullopt;
  const auto next = tasks_.extract(tasks_.begin());
  const bool overtakes =
      std::any_of(tasks_.begin(), tasks_.end(), [&](const auto& t) { return t.second.number < next.mapped().number; });
  if (overtakes) ++counts_.overtaken;
  return answer(next.mapped());
}

void Workers::die() {
  counts_.died += tasks_.size();
  tasks_.clear();
  credentials_.clear();
}

Workers::Answer Workers::answer(const Task& task) const {
  const auto* sign = std::get_if<ike::SignQuestion>(&task.question);
  const auto* verify = std::get_if<ike::VerifyQuestion>(&task.question);
  if (!task.credentials) {
    if (sign != nullptr) return gateway::no_credentials(*sign);
    return gateway::no_credentials(*verify);
  }
  if (!paper) {
    if (sign != nullptr) return task.credentials->answer(*sign);
    return task.credentials->answer(*verify, kNow);
  }
  const exchange::FakeAuth toys = toys_of(*paper, task.own);
  if (sign != nullptr) return toys.signed_answer(*sign);
  ike::VerifyAnswer out;
  out.request = verify->request;
  out.status = toys.judge(*verify);
  out.described = paper->name;
  out.quantum_safe = paper->quantum_safe;
  return out;
}

}  // namespace qanat::sim
