#pragma once

#include <poll.h>

#include <string>
#include <vector>

#include "firmware-sim/endpoint/endpoint.h"
#include "tests/unit/firmware-sim/bench.h"

namespace keyferry::sim::test {

// Stands where the simulator stands, and keeps what a plug tells it.
struct PlugClient : EndpointClient {
  void OnFrame(Endpoint&, ByteView frame, std::uint32_t host) override {
    frames.push_back(Copy(frame));
    last_host = host;
  }
  void OnBleLink(Endpoint&, std::size_t max_fragment) override { fragment = max_fragment; }
  void OnHostGone(Endpoint&) override { ++hosts_gone; }
  void OnPulled(Endpoint&, const std::string&) override { ++pulled; }
  std::optional<protocol::Bytes<protocol::kInfoSize>> Info() const override { return info; }

  // One turn of the simulator's loop for this plug, without waiting.
  void Poll(Endpoint& endpoint) {
    std::vector<pollfd> fds;
    endpoint.AppendPollFds(fds);
    poll(fds.data(), fds.size(), 0);
    for (const pollfd& fd : fds) {
      if (fd.revents != 0) endpoint.OnPoll(fd);
    }
    endpoint.OnTime(std::chrono::steady_clock::now());
  }

  std::vector<Blob> frames;
  std::uint32_t last_host = 0;
  std::size_t fragment = 0;
  int hosts_gone = 0;
  int pulled = 0;
  std::optional<protocol::Bytes<protocol::kInfoSize>> info;
};

inline Identity SomeIdentity(DescriptorLie lie = DescriptorLie::kNone) {
  Identity identity;
  identity.device_id = "00112233445566778899aabbccddeeff";
  identity.lie = lie;
  return identity;
}

}  // namespace keyferry::sim::test
