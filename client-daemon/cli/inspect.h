#pragma once

#include <string>

#include "client-daemon/core/encoding.h"
#include "protocol/result.h"

// Looking at sealed jobs and receipts for diagnosis: headers, never secrets (nobody here could open
// a job).
namespace keyferry::daemon::cli {

// `file` is a sealed job, or a file of the daemon's spool that holds one.
Result<std::string> DescribeJob(const Bytes& file);

struct ReceiptView {
  std::string text;
  bool genuine = false;  // signed by the key
};
// `file` is a receipt, or a file of the daemon's spool that holds one. `key_file` is the key's
// public signature key (65 bytes, raw or in hex), its Statement (325) or its record (690).
Result<ReceiptView> VerifyReceipt(const Bytes& file, const Bytes& key_file);

}  // namespace keyferry::daemon::cli
