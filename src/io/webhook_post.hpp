// One POST to a webhook over HTTPS, blocking, for a thread that has nothing else to do.
//
// The name is looked up by the C library; only addresses that `allowed` and control/webhook_url.hpp let pass are tried,
// the very ones that were judged. The certificate must be good for the name. A redirect is an answer like any other
// that is not 2xx, and is not followed. All of it must be over within WebhookLimits; of the answer only the head is
// read.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/address.hpp"
#include "base/time.hpp"
#include "control/alerts.hpp"
#include "io/tls.hpp"

namespace qanat::io {

struct WebhookLimits {
  Duration all = 10s;     // from the first connection on
  Duration connect = 4s;  // to one address
  std::size_t addresses = 4;
  std::size_t head = 8 * 1024;
};

struct WebhookWay {
  std::shared_ptr<const TlsContext> tls;
  std::vector<Prefix> allowed;
  WebhookLimits limits = {};
  int stop_fd = -1;  // readable: give up at once
};

// Delivered: 2xx. Again: 408, 429, 5xx, and whatever else may be better later: names, connections, certificates.
// Refused: any other answer, an address that is not allowed. `detail` never has the secret.
[[nodiscard]] control::SendResult post_webhook(const WebhookWay& way, const control::AlertSend& send);

}  // namespace qanat::io
