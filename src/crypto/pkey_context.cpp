#include "crypto/pkey_context.hpp"

#include <array>
#include <string_view>
#include <vector>

#include <openssl/core_names.h>
#include <openssl/params.h>

namespace qanat::crypto {

namespace {

using Init = int (*)(EVP_PKEY_CTX*);

struct Ready {
  std::string_view type;
  EvpPkeyCtx context;
};
using ReadyContexts = std::vector<Ready>;

EVP_PKEY_CTX* context_of(ReadyContexts& all, const char* type, Init init) {
  for (const Ready& r : all) {
    if (r.type == type) return r.context.get();
  }
  EvpPkeyCtx made{EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr)};
  if (made == nullptr || !ok(init(made.get()))) return nullptr;
  all.push_back({type, std::move(made)});
  return all.back().context.get();
}

}  // namespace

EvpPkey generate_key(const char* type) {
  thread_local ReadyContexts contexts;
  EVP_PKEY_CTX* context = context_of(contexts, type, EVP_PKEY_keygen_init);
  EVP_PKEY* key = nullptr;
  if (context == nullptr || !ok(EVP_PKEY_generate(context, &key))) return nullptr;
  return EvpPkey{key};
}

EvpPkey import_public_key(const char* type, ByteView octets) {
  thread_local ReadyContexts contexts;
  EVP_PKEY_CTX* context = context_of(contexts, type, EVP_PKEY_fromdata_init);
  // OpenSSL's parameters point to mutable octets, which it only reads here.
  std::array<OSSL_PARAM, 2> params{
      OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, const_cast<std::uint8_t*>(octets.data()),
                                        octets.size()),
      OSSL_PARAM_construct_end()};
  EVP_PKEY* key = nullptr;
  if (context == nullptr || !ok(EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, params.data()))) return nullptr;
  return EvpPkey{key};
}

}  // namespace qanat::crypto
