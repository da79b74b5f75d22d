#include <unistd.h>

#include <cstdio>

#include "device/hid/inspect.h"

namespace keyferry::device {
namespace {

std::string Line(const char* name, const std::string& value) {
  std::string out = name;
  out.resize(16, ' ');
  return out + value + "\n";
}

std::string Quoted(const std::string& text) { return text.empty() ? "none" : "\"" + text + "\""; }

std::string Speed(const std::string& speed) {
  if (speed == "1.5") return "1.5 Mbit/s (low speed)";
  if (speed == "12") return "12 Mbit/s (full speed)";
  if (speed == "480") return "480 Mbit/s (high speed)";
  return speed.empty() ? "not known" : speed + " Mbit/s";
}

std::string Text(const UsbLayout::Endpoint& endpoint) {
  char text[96];
  std::snprintf(text, sizeof text, "0x%02x %s, %s, packets of %u bytes, bInterval %u",
                endpoint.address, endpoint.In() ? "in" : "out",
                endpoint.Interrupt() ? "interrupt" : "not interrupt", endpoint.max_packet,
                endpoint.interval);
  return text;
}

std::string Text(const UsbLayout& layout) {
  std::string out;
  char text[128];
  std::snprintf(text, sizeof text, "%x.%02x", layout.release >> 8, layout.release & 0xFF);
  out += Line("release", text);
  for (const auto& one : layout.interfaces) {
    std::snprintf(text, sizeof text, "%u%s, class %u/%u/%u, report descriptor of %u bytes",
                  one.number, one.alternate == 0 ? "" : " (alternate)", one.class_code,
                  one.subclass, one.protocol, one.report_descriptor_size);
    out += Line("interface", text);
    for (const auto& endpoint : one.endpoints) out += Line("  endpoint", Text(endpoint));
  }
  return out;
}

std::string Verdict(const KeyInspection& about) {
  if (!about.usb_verdict.empty()) return "not a Keyferry key: " + about.usb_verdict;
  if (!about.report_read) return "not known: " + about.report_verdict;
  if (!about.report_verdict.empty()) return "not a Keyferry key: " + about.report_verdict;
  return "looks like a Keyferry key (whose it is, only its handshake proves)";
}

}  // namespace

std::string Text(const KeyInspection& about) {
  std::string out;
  out += Line("place", about.usb ? about.usb->Path() : "not on USB");
  out += Line("hidraw node", about.hidraw ? about.hidraw->node : "none");
  out += Line("ids", about.id.Text() + (about.known_id ? "" : " (not a key's)"));
  if (about.usb) {
    out += Line("manufacturer", Quoted(about.usb->manufacturer));
    out += Line("product", Quoted(about.usb->product));
    out += Line("serial", Quoted(about.usb->serial));
    out += Line("speed", Speed(about.usb->speed));
  } else {
    out += Line("name", Quoted(about.hidraw->name));
  }
  if (about.layout) out += Text(*about.layout);
  out += Line("hidapi", about.hidapi);
  for (const NodeState& node : about.nodes) out += Line("node", node.path + ": " + Text(node));
  out += Line("in use by",
              Text(about.holders, geteuid() == 0 ? "nobody" : "nobody that this user may see"));
  out += Line("verdict", Verdict(about));
  for (const std::string& cure : about.cures) out += Line("to do", cure);
  return out;
}

}  // namespace keyferry::device
