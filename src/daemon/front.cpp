// What listens, and who answers: the control socket, the listener for HTTPS, and that for metrics.
#include <fmt/format.h>

#include "control/account_view.hpp"
#include "control/metrics.hpp"
#include "control/object_api.hpp"
#include "daemon/page.hpp"
#include "daemon/wiring.hpp"
#include "io/clock.hpp"
#include "pki/certificate.hpp"
#include "pki/expiry.hpp"

namespace qanat::daemon {

namespace {

constexpr Duration kSnapshotPatience = 5s;
constexpr Duration kRecent = 500ms;  // objects are shown with the state that they had then

io::HttpLimits https_limits() {
  io::HttpLimits out;
  out.connections = 512;
  out.per_address = 128;
  out.make_room = true;
  out.streams = 128;
  out.idle = 60s;
  out.receive = 20s;
  return out;
}

control::Reply busy() {
  return control::error_reply(503, "busy", "the gateway does not answer: try again");
}

std::uint64_t body_limit(const control::Request& request) {
  return request.principal.write && control::is_object_target(request.target) ? control::kMaxObjectBody
                                                                              : control::kMaxBody;
}

// Answers of the API are for whoever asked, now.
io::HttpServer::Reply uncached(io::HttpServer::Reply reply) {
  return [reply = std::move(reply)](control::Reply r) {
    std::erase_if(r.headers, [](const auto& header) { return header.first == "Cache-Control"; });
    r.headers.emplace_back("Cache-Control", "no-store");
    r.headers.emplace_back("X-Content-Type-Options", "nosniff");
    reply(std::move(r));
  };
}

}  // namespace

Result<std::shared_ptr<const io::TlsContext>> Wiring::tls_of(const model::Gateway& gateway) {
  const auto& credentials = gateway.api_credentials;
  if (!credentials.private_key) return fail(ErrorKind::LocalPolicy, "[gateway] api", "there is no key");
  return io::TlsContext::create(credentials.certificates, credentials.private_key->expose());
}

Status Wiring::start_http(const model::Config& config) {
  io::HttpServer::Options local;
  local.body_limit = body_limit;
  QANAT_ASSIGN(http_,
               io::HttpServer::start(
                   std::move(listeners_.control),
                   [this](control::Request request, const io::HttpServer::Peer& peer, io::HttpServer::Reply reply) {
                     request.principal.name = fmt::format("local uid {}", peer.uid);
                     request.principal.root = peer.uid == 0;
                     answer(request, std::move(reply));
                   },
                   std::move(local)));
  if (listeners_.https.valid()) QANAT_TRY(start_https(config.gateway));
  if (!listeners_.metrics.valid()) return {};
  QANAT_ASSIGN(metrics_, io::HttpServer::start(std::move(listeners_.metrics),
                                               [this](const control::Request& request, const io::HttpServer::Peer&,
                                                      const io::HttpServer::Reply& reply) {
                                                 if (!control::is_metrics_request(request))
                                                   return reply(control::only_metrics_reply());
                                                 const auto snapshot = wait_for_snapshot(request);
                                                 reply(snapshot ? control::metrics_reply(*snapshot) : busy());
                                               }));
  return {};
}

Status Wiring::start_https(const model::Gateway& gateway) {
  io::HttpServer::Options options;
  options.limits = https_limits();
  options.body_limit = body_limit;
  QANAT_ASSIGN(options.tls, tls_of(gateway));
  options.gate = [this](control::Request& request, const io::HttpServer::Peer& peer) {
    auto refused = access_.admit(request, *peer.address, io::boot_now(), [this](std::string_view bearer) {
      return objects_ ? objects_->find_token(bearer) : std::nullopt;
    });
    if (refused) ++(refused->status == 429 ? rate_limited_ : refused_);
    return refused;
  };
  QANAT_ASSIGN(https_,
               io::HttpServer::start(
                   std::move(listeners_.https),
                   [this](const control::Request& request, const io::HttpServer::Peer&, io::HttpServer::Reply reply) {
                     if (control::is_page_target(request.target))
                       return reply(control::static_reply(page_files(), request));
                     answer(request, uncached(std::move(reply)));
                   },
                   std::move(options)));
  return {};
}

// On a thread of HTTP.
void Wiring::answer(const control::Request& request, io::HttpServer::Reply reply) {
  if (control::is_object_target(request.target)) {
    if (!objects_) return reply(control::no_store_reply());
    if (auto done = objects_->handle(request, recent_snapshot())) {
      if (done->test) return test_webhook(request, *std::move(done->test), std::move(reply));
      if (alerts_ && request.method != "GET" && control::is_alerting_target(request.target)) alerts_->look();
      return reply(std::move(done->reply));
    }
  }
  auto snapshot = request.target == "/v1/health" ? recent_snapshot() : wait_for_snapshot(request);
  if (!snapshot) return reply(busy());
  if (const auto& account = request.principal.account; account && control::wants_events(request)) {
    auto own = std::make_shared<control::Snapshot>(control::account_view(*snapshot, *account));
    own->events = events_.recent(*account);
    snapshot = std::move(own);
  }
  auto outcome = control::handle(request, *snapshot);
  if (auto* ready = std::get_if<control::Reply>(&outcome)) {
    reply(std::move(*ready));
  } else if (const auto* wish = std::get_if<control::EventStreamWish>(&outcome)) {
    reply(events_.open(*wish));
  } else {
    api_calls_.post({std::get<control::GatewayCommand>(outcome), std::move(reply)});
  }
}

Status Wiring::start_alerts(const model::Gateway& gateway) {
  if (!gateway.webhooks || !objects_) return {};
  QANAT_ASSIGN(alerts_, AlertWorker::start(gateway, *objects_, [this] { return wait_for_snapshot({}); }, log_));
  return {};
}

// The answer comes when the webhook has answered.
void Wiring::test_webhook(const control::Request& request, control::WebhookTest test, io::HttpServer::Reply reply) {
  if (!alerts_) return reply(control::webhook_refusal("webhooks are off until qanatd is restarted"));
  const bool taken = alerts_->test(std::move(test), [this, request, reply](control::WebhookTested tested) {
    auto done = objects_->handle(request, recent_snapshot(), std::move(tested));
    reply(done ? std::move(done->reply) : busy());
  });
  if (!taken) reply(control::webhook_refusal("others are being tested: try again"));
}

std::optional<control::ApiStatus> Wiring::api_status() const {
  if (!https_) return std::nullopt;
  const io::HttpServer::Counters c = https_->counters();
  control::ApiStatus out;
  const model::Gateway& gateway = gateway_.config().gateway;
  if (gateway.api) out.listen = gateway.api->to_string();
  out.connections = c.open;
  out.hybrid = c.hybrid;
  out.classical = c.classical;
  out.failed_tls = c.failed_tls;
  out.requests = c.requests;
  out.refused = refused_;
  out.rate_limited = rate_limited_;
  out.closed_idle = c.made_room + c.timed_out;
  if (const auto first = pki::first_to_expire(gateway.api_credentials.certificates)) {
    out.certificate_until = pki::date_text(first->until);
    out.certificate_end = first->until;
  }
  return out;
}

void Wiring::on_snapshot_wishes() {
  auto wishes = snapshot_wishes_.take_all();
  if (wishes.empty()) return;
  auto made = std::make_shared<control::Snapshot>(gateway_.snapshot(io::boot_now(), io::wall_now()));
  const auto any = [&](bool SnapshotWish::* what) {
    return std::any_of(wishes.begin(), wishes.end(), [&](const SnapshotWish& w) { return w.*what; });
  };
  if (any(&SnapshotWish::routes)) gateway_.add_routes(*made);
  if (any(&SnapshotWish::events)) made->events = events_.recent();
  made->api = api_status();
  if (alerts_) made->alerts = alerts_->status();
  const std::shared_ptr<const control::Snapshot> snapshot = std::move(made);
  for (auto& wish : wishes) wish.answer.set_value(snapshot);
}

std::shared_ptr<const control::Snapshot> Wiring::wait_for_snapshot(const control::Request& request) {
  SnapshotWish wish{control::wants_routes(request), control::wants_events(request), {}};
  auto answer = wish.answer.get_future();
  snapshot_wishes_.post(std::move(wish));
  return answer.wait_for(kSnapshotPatience) == std::future_status::ready ? answer.get() : nullptr;
}

std::shared_ptr<const control::Snapshot> Wiring::recent_snapshot() {
  const std::lock_guard lock(recent_mutex_);
  const Instant now = io::boot_now();
  if (!recent_ || now - recent_at_ > kRecent) {
    if (auto fresh = wait_for_snapshot({})) {
      recent_ = std::move(fresh);
      recent_at_ = now;
    }
  }
  return recent_;
}

}  // namespace qanat::daemon
