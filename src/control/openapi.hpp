// The API as an OpenAPI 3.1 document: what handle() serves, from its own table, and the paths of ObjectApi.
// openapi_test.cpp asks both for everything that is described here, and for what is not.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace qanat::control {

// A path of ObjectApi (object_api.hpp), for the document.
struct ObjectEndpoint {
  std::string_view method;
  std::string_view path;
  std::string_view does;
  std::string_view scope;    // "read", "write", "capture"
  std::string_view body;     // the schema's name below components; empty: it takes none
  std::string_view wrapper;  // of `result`: "ipsec_tunnels"; empty: the object itself
  std::string_view object;   // the schema of what is answered
  bool list = false;         // an array of them
};
[[nodiscard]] std::span<const ObjectEndpoint> object_endpoints();

// JSON, in one line. `version`: of the daemon.
[[nodiscard]] std::string openapi_document(std::string_view version);

}  // namespace qanat::control
