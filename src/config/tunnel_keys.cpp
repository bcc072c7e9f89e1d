// Identities, the pre-shared key and proposals of a tunnel.
#include <algorithm>

#include <fmt/format.h>

#include "config/readers.hpp"
#include "ipsec/proposal.hpp"

namespace qanat::config {

namespace {

using model::PqPolicy;

constexpr auto kPolicies = std::to_array<std::pair<std::string_view, PqPolicy>>(
    {{"require", PqPolicy::Require}, {"prefer", PqPolicy::Prefer}, {"off", PqPolicy::Off}, {"pin", PqPolicy::Pin}});

constexpr std::size_t kWeakPsk = 20;  // octets; shorter ones fall to a dictionary
constexpr std::size_t kMaxProposals = 64;
constexpr const char* kMakePsk =
    "make a strong one with: qanat genpsk -o /etc/qanat/NAME.psk, and copy it to the other side";

std::optional<wire::Identity> read_identity(Section& section, std::string_view key) {
  const auto text = section.text(key, "an identity in double quotes, like \"fqdn:berlin.example.com\"");
  if (!text) return std::nullopt;
  auto identity = wire::Identity::parse(text->value);
  if (!identity) {
    section.refuse_text(key, *text, identity.error().detail);
    return std::nullopt;
  }
  return std::move(*identity);
}

// Takes a key that is good enough to be used. Says nothing of its octets.
void accept_psk(Section& section, std::string_view name, Position at, SecretBytes key, model::Tunnel& tunnel) {
  if (key.empty()) {
    section.problems().error(at, fmt::format("{}: {}: the key is empty", section.title(), name), kMakePsk);
    return;
  }
  if (key.size() > kMaxPskSize) {
    section.problems().error(at,
                             fmt::format("{}: {}: the key has {} octets, and at most {} are allowed", section.title(),
                                         name, key.size(), kMaxPskSize),
                             "is this the right file? A key file holds the key and nothing else");
    return;
  }
  if (key.size() < kWeakPsk) {
    section.problems().warn(
        at,
        fmt::format("{}: {}: the key has only {} octets and can be guessed from a recorded handshake", section.title(),
                    name, key.size()),
        kMakePsk);
  }
  const ByteView octets = key.expose();
  if (std::find(octets.begin(), octets.end(), std::uint8_t{'\n'}) != octets.end()) {
    section.problems().warn(
        at, fmt::format("{}: {}: the key has more than one line, and all of them count", section.title(), name),
        "a key file holds one key on one line");
  }
  tunnel.psk = model::PresharedKey{std::move(key)};
}

struct ProposalKind {
  std::string_view key;
  std::string_view example;
};
constexpr ProposalKind kIke{"ike", "aes256gcm16-prfsha384-x25519-ke1_mlkem768"};
constexpr ProposalKind kEsp{"esp", "aes256gcm16"};

// Why an IKE proposal cannot stand beside `pq`, empty when it can.
std::string policy_fault(const ipsec::IkeProposal& proposal, PqPolicy pq) {
  if (pq == PqPolicy::Require && !ipsec::allows_ml_kem(proposal))
    return "has no ML-KEM, and pq = \"require\" allows nothing without it";
  if (pq == PqPolicy::Off && ipsec::allows_ml_kem(proposal)) return "has ML-KEM, and pq is \"off\"";
  return {};
}

std::vector<Placed<std::string>> read_proposal_list(Section& section, const ProposalKind& kind) {
  std::vector<Placed<std::string>> out;
  const auto list = section.texts(kind.key, fmt::format("an array of proposals, like [\"{}\"]", kind.example));
  if (!list) return out;
  const Position at = section.place(kind.key);
  if (list->empty()) {
    section.problems().error(at, fmt::format("{}: {} = []: must hold at least one proposal", section.title(), kind.key),
                             "leave the key out for the defaults");
  }
  if (list->size() > kMaxProposals) {
    section.problems().error(at,
                             fmt::format("{}: {} has {} proposals, and at most {} are allowed", section.title(),
                                         kind.key, list->size(), kMaxProposals),
                             "one proposal can name several algorithms of a kind");
    return out;
  }
  for (const auto& text : *list) {
    if (std::any_of(out.begin(), out.end(), [&](const auto& other) { return other.value == text.value; })) {
      section.refuse_text(kind.key, text, "is listed twice", "remove one of them");
    } else {
      out.push_back(text);
    }
  }
  return out;
}

std::string parse_hint(const ProposalKind& kind) {
  return fmt::format("for example \"{}\"; leave {} out for the defaults", kind.example, kind.key);
}

void read_ike_proposals(Section& section, model::Tunnel& tunnel) {
  const auto list = read_proposal_list(section, kIke);
  bool hybrid = false;
  for (const auto& text : list) {
    const auto proposal = ipsec::parse_ike_proposal(text.value);
    if (!proposal) {
      section.refuse_text("ike", text, proposal.error().detail, parse_hint(kIke));
      hybrid = true;  // one complaint is enough
      continue;
    }
    hybrid = hybrid || ipsec::allows_ml_kem(*proposal);
    if (const std::string fault = policy_fault(*proposal, tunnel.pq); !fault.empty()) {
      section.refuse_text("ike", text, fault,
                          tunnel.pq == PqPolicy::Off ? "remove the keN_mlkem... words, or set pq = \"prefer\""
                                                     : "add -ke1_mlkem768 to it, or remove it");
    }
    tunnel.ike_proposals.push_back(text.value);
  }
  if (tunnel.pq == PqPolicy::Pin && !list.empty() && !hybrid) {
    section.problems().error(section.place("ike"),
                             fmt::format("{}: ike: no proposal has ML-KEM, and pq = \"pin\" is about peers that have "
                                         "used it",
                                         section.title()),
                             "add -ke1_mlkem768 to one of them, or leave ike out for the defaults");
  } else if (tunnel.pq == PqPolicy::Prefer && !list.empty() && !hybrid) {
    section.problems().warn(
        section.place("ike"),
        fmt::format("{}: ike: no proposal has ML-KEM, so the keys will not be quantum-safe", section.title()),
        "add -ke1_mlkem768 to one of them, or say that this is meant with pq = \"off\"");
  }
}

void read_esp_proposals(Section& section, model::Tunnel& tunnel) {
  for (const auto& text : read_proposal_list(section, kEsp)) {
    if (const auto proposal = ipsec::parse_esp_proposal(text.value)) {
      tunnel.esp_proposals.push_back(text.value);
    } else {
      section.refuse_text("esp", text, proposal.error().detail, parse_hint(kEsp));
    }
  }
}

}  // namespace

void strip_newline(SecretBytes& key) {
  const ByteView text = key.expose();
  std::size_t size = text.size();
  if (size > 0 && text[size - 1] == '\n') --size;
  if (size < text.size() && size > 0 && text[size - 1] == '\r') --size;
  if (size != text.size()) key = SecretBytes::copy_of(text.first(size));
}

void read_identities(Section& section, ParsedTunnel& parsed) {
  model::Tunnel& tunnel = parsed.tunnel;
  tunnel.local_id = read_identity(section, "local_id");
  parsed.remote_id_at = section.place("remote_id");
  tunnel.remote_id = read_identity(section, "remote_id");
  if (parsed.peer_known && !tunnel.peer && !section.find("remote_id")) {
    section.problems().error(
        parsed.peer_at, fmt::format("{}: peer = \"any\": remote_id is missing", section.title()),
        "a peer without a fixed address is known by its identity: remote_id = \"fqdn:berlin.example.com\"");
  }
}

void read_psk(Section& section, model::Tunnel& tunnel, const FileReader& read_file) {
  const Entry* psk = section.find("psk");
  const Entry* file = section.find("psk_file");
  if (psk && file) {
    section.problems().error(psk->at, fmt::format("{}: psk and psk_file are both given", section.title()),
                             "keep psk_file and remove psk");
    return;
  }
  if (psk) {
    // The value is never shown.
    if (const auto* text = std::get_if<std::string>(&psk->value.data)) {
      section.problems().warn(
          psk->at,
          fmt::format("{}: psk: the key stands in the configuration, where everybody who reads it sees it",
                      section.title()),
          "write it to a file of its own and name it with psk_file (qanat genpsk -o FILE makes one)");
      accept_psk(section, "psk", psk->at, SecretBytes::copy_of(to_bytes(*text)), tunnel);
    } else {
      section.problems().error(psk->value.at, fmt::format("{}: psk: must be text in double quotes", section.title()));
    }
    return;
  }
  if (!file) {
    if (section.find("cert_file") || section.find("ca_files")) return;  // read_credentials says whether a PSK is due
    section.problems().error(
        section.at(),
        fmt::format("{}: psk_file is missing: the tunnel has no key to authenticate with", section.title()),
        std::string{kMakePsk} + "; or use certificates: cert_file, key_file and ca_files");
    return;
  }
  const auto path = section.text("psk_file", "a path in double quotes");
  if (!path) return;
  if (path->value.empty()) {
    section.refuse_text("psk_file", *path, "must be the path of a file", kMakePsk);
    return;
  }
  auto octets = read_file(path->value);
  if (!octets) {
    section.refuse_text("psk_file", *path, octets.error().detail);
    return;
  }
  strip_newline(*octets);
  accept_psk(section, "psk_file", path->at, std::move(*octets), tunnel);
}

void read_proposals(Section& section, model::Tunnel& tunnel) {
  if (const auto pq = section.choice("pq", kPolicies)) tunnel.pq = pq->value;
  read_ike_proposals(section, tunnel);
  read_esp_proposals(section, tunnel);
}

}  // namespace qanat::config
