#include "crypto/md_context.hpp"

#include <array>
#include <vector>

namespace qanat::crypto {

namespace {

constexpr std::size_t kHashes = 4;
constexpr std::size_t kSpare = 8;  // of one hash; more are rarely open at once

EVP_MD* fetch(const char* name) {
  EVP_MD* md = EVP_MD_fetch(nullptr, name, nullptr);
  ensure(md != nullptr, "OpenSSL has no SHA");
  return md;
}

// Spare contexts hold nothing, so it does not matter who used them. Objects that outlive their thread's (those of the
// main thread at exit) free their contexts themselves.
struct Spare {
  std::array<std::vector<EvpMdCtx>, kHashes> contexts;
  Spare() { is_open = true; }
  ~Spare() { is_open = false; }
  static thread_local bool is_open;
};
thread_local bool Spare::is_open = false;

std::vector<EvpMdCtx>& spare(HashId id) {
  thread_local Spare all;
  return all.contexts.at(static_cast<std::size_t>(id));
}

}  // namespace

const EVP_MD* evp_md(HashId id) {
  static const std::array<EvpMd, kHashes> kMds{EvpMd{fetch("SHA1")}, EvpMd{fetch("SHA2-256")}, EvpMd{fetch("SHA2-384")},
                                               EvpMd{fetch("SHA2-512")}};
  return kMds.at(static_cast<std::size_t>(id)).get();
}

std::size_t hash_size(HashId id) {
  switch (id) {
    case HashId::Sha1:
      return 20;
    case HashId::Sha256:
      return 32;
    case HashId::Sha384:
      return 48;
    case HashId::Sha512:
      return 64;
  }
  return 0;
}

std::size_t hash_block(HashId id) {
  return id == HashId::Sha384 || id == HashId::Sha512 ? 128 : 64;
}

MdContext::MdContext(HashId id) : id_(id) {
  std::vector<EvpMdCtx>& free = spare(id);
  if (!free.empty()) {
    context_ = std::move(free.back());
    free.pop_back();
    return;
  }
  context_.reset(EVP_MD_CTX_new());
  ensure(context_ != nullptr && ok(EVP_DigestInit_ex2(context_.get(), evp_md(id), nullptr)), "starting a hash failed");
}

MdContext::~MdContext() {
  if (context_ == nullptr || !Spare::is_open) return;
  std::vector<EvpMdCtx>& free = spare(id_);
  if (free.size() == kSpare) return;  // EVP_MD_CTX_free wipes it
  // A restart forgets the hash's state; the octets that wait for their block are overwritten: all but the last one of a
  // block, which is never waited in.
  static constexpr std::array<std::uint8_t, kMaxHashBlock> kZeros{};
  restart();
  update(ByteView{kZeros}.first(hash_block(id_) - 1));
  restart();
  free.push_back(std::move(context_));
}

void MdContext::update(ByteView part) {
  if (part.empty()) return;
  ensure(ok(EVP_DigestUpdate(context_.get(), part.data(), part.size())), "hashing failed");
}

void MdContext::finish(std::uint8_t* out) {
  ensure(ok(EVP_DigestFinal_ex(context_.get(), out, nullptr)), "hashing failed");
}

void MdContext::restart() {
  ensure(ok(EVP_DigestInit_ex2(context_.get(), nullptr, nullptr)), "starting a hash failed");
}

void MdContext::become(const MdContext& absorbed) {
  ensure(ok(EVP_MD_CTX_copy_ex(context_.get(), absorbed.context_.get())), "copying a hash failed");
}

}  // namespace qanat::crypto
