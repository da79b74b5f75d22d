#pragma once

#include <functional>
#include <string>

namespace keyferry::vectors {

// Called for each check of a file: what was checked, and whether it held.
using OnCase = std::function<void(const std::string& what, bool ok)>;

// Runs every case of one JSON file of test vectors (hpke_base, sealed_job, receipt, negative_jobs,
// noise_xx_hop, framing_hid, framing_ble, certificates), told apart by their members. An unreadable
// or unknown file is one failed check.
void RunFile(const std::string& path, const OnCase& report);

}  // namespace keyferry::vectors
