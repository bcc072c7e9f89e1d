// [gateway] webhooks, webhook_allow, webhook_ca: whether the daemon may connect to those that the API names.
#include <fmt/format.h>

#include "config/readers.hpp"
#include "pki/pem.hpp"

namespace qanat::config {

void read_webhooks(Section& section, model::Gateway& gateway, const FileReader& read_file) {
  if (const auto on = section.boolean("webhooks")) gateway.webhooks = on->value;
  for (const auto& text : section.text_or_texts("webhook_allow", "a prefix in double quotes, or an array of them")) {
    if (const auto prefix = read_prefix(section, "webhook_allow", text)) gateway.webhook_allow.push_back(*prefix);
  }
  const auto path = section.text("webhook_ca", "a path in double quotes");
  for (const char* key : {"webhook_allow", "webhook_ca"}) {
    if (section.find(key) != nullptr && !gateway.webhooks)
      section.problems().error(section.place(key),
                               fmt::format("[gateway]: {} without webhooks: the gateway connects to nobody", key),
                               "add webhooks = true, or leave it out");
  }
  if (!path) return;
  const auto octets = read_file.read_public(path->value);
  if (!octets) return section.refuse_text("webhook_ca", *path, octets.error().detail);
  auto certificates = pki::read_certificates(octets->expose());
  if (!certificates) return section.refuse_text("webhook_ca", *path, certificates.error().detail);
  gateway.webhook_ca = *std::move(certificates);
}

}  // namespace qanat::config
