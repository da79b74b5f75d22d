#include "client-daemon/agent/agent_protocol.h"

#include <cstring>

namespace keyferry::daemon::login {
namespace {

constexpr std::size_t kHead = 2;  // version, type
constexpr std::uint8_t kReadyPinSet = 0x01;

// Reads a datagram from front to end; once something is missing or wrong it stays bad.
class Reader {
 public:
  Reader(std::span<const std::uint8_t> datagram, Type type) : rest_(datagram) {
    if (TypeOf(datagram) != type) {
      ok_ = false;
    } else {
      rest_ = datagram.subspan(kHead);
    }
  }

  std::uint64_t Number(std::size_t size) {
    std::uint64_t value = 0;
    for (const std::uint8_t byte : Take(size)) value = (value << 8) | byte;
    return value;
  }

  std::string_view Text(std::size_t size) {
    const auto bytes = Take(size);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  // `size` bytes of which the first `used` count and the rest is zero.
  std::string_view Padded(std::size_t used, std::size_t size) {
    const auto bytes = Take(size);
    if (!ok_ || used > size) return Bad();
    std::uint8_t padding = 0;
    for (const std::uint8_t byte : bytes.subspan(used)) padding |= byte;
    if (padding != 0) return Bad();
    return {reinterpret_cast<const char*>(bytes.data()), used};
  }

  // len(1) text zeros, `size` bytes in all; an empty text is refused.
  std::string_view Field(std::size_t size) {
    const auto used = static_cast<std::size_t>(Number(1));
    if (used == 0) return Bad();
    return Padded(used, size - 1);
  }

  void Require(bool condition) { ok_ = ok_ && condition; }
  // Everything was right and nothing is left over.
  bool Done() const { return ok_ && rest_.empty(); }

 private:
  std::span<const std::uint8_t> Take(std::size_t size) {
    if (!ok_ || size > rest_.size()) {
      ok_ = false;
      return {};
    }
    const auto taken = rest_.first(size);
    rest_ = rest_.subspan(size);
    return taken;
  }
  std::string_view Bad() {
    ok_ = false;
    return {};
  }

  std::span<const std::uint8_t> rest_;
  bool ok_ = true;
};

class Writer {
 public:
  Writer(std::span<std::uint8_t> out, Type type) : out_(out) {
    Number(kVersion, 1);
    Number(static_cast<std::uint8_t>(type), 1);
  }

  void Number(std::uint64_t value, std::size_t size) {
    for (std::size_t i = size; i-- > 0;) Byte(static_cast<std::uint8_t>(value >> (8 * i)));
  }
  void Text(std::string_view text) {
    for (const char c : text) Byte(static_cast<std::uint8_t>(c));
  }
  void Padded(std::string_view text, std::size_t size) {
    Require(text.size() <= size);
    if (!ok_) return;
    Text(text);
    for (std::size_t i = text.size(); i < size; ++i) Byte(0);
  }
  void Field(std::string_view text, std::size_t size) {
    Require(!text.empty() && text.size() < size);
    Number(text.size(), 1);
    Padded(text, size - 1);
  }
  // `text` with everything that IsText refuses replaced, byte for byte.
  void Cleaned(std::string_view text) {
    std::uint8_t before = 0;
    for (const char c : text) {
      const char pair[2] = {static_cast<char>(before), c};
      const bool shown = IsText({&c, 1}, 1) && (before != 0xC2 || IsText({pair, 2}, 2));
      before = static_cast<std::uint8_t>(shown ? c : '?');
      Byte(before);
    }
  }
  void Require(bool condition) { ok_ = ok_ && condition; }
  std::size_t size() const { return ok_ ? size_ : 0; }

 private:
  void Byte(std::uint8_t byte) {
    if (size_ >= out_.size()) ok_ = false;
    if (ok_) out_[size_++] = byte;
  }

  std::span<std::uint8_t> out_;
  std::size_t size_ = 0;
  bool ok_ = true;
};

bool IsNumber(std::string_view text) {
  if (text.size() != kNumberDigits) return false;
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
  }
  return true;
}

bool IsLine(std::string_view text, std::size_t most) { return !text.empty() && IsText(text, most); }

bool HasNul(std::string_view text) { return std::memchr(text.data(), 0, text.size()) != nullptr; }

struct Range {
  std::size_t least;
  std::size_t most;
};

Range SizeOf(std::uint8_t type) {
  switch (static_cast<Type>(type)) {
    case Type::kHello:
      return {kHead + 5, kHead + 4 + kMaxLogin + 2 * kMaxService};
    case Type::kPin:
      return {kHead + kPinField, kHead + kPinField};
    case Type::kPinSet:
      return {kHead + kCodeField + kPinField, kHead + kCodeField + kPinField};
    case Type::kPinChange:
      return {kHead + 2 * kPinField, kHead + 2 * kPinField};
    case Type::kConfirm:
      return {kHead + 8, kHead + 8};
    case Type::kReady:
      return {kHead + 3, kHead + 3 + kMaxKeyName};
    case Type::kReleased:
      return {kHead + 10 + kMaxPassword, kHead + 10 + kMaxPassword};
    case Type::kError:
      return {kHead + 5, kHead + 4 + kMaxSentence};
    case Type::kProve:
      return {kHead + kNumberDigits + kPinField, kHead + kNumberDigits + kPinField};
    case Type::kQuestion:
      return {kHead + 4 + 3, kHead + 4 + kMaxAsker + kMaxTicket + kMaxReason};
    case Type::kCancel:
    case Type::kDeny:
    case Type::kTouch:
    case Type::kYes:
    case Type::kDone:
      return {kHead, kHead};
  }
  return {1, 0};  // no such type: no length is right
}

}  // namespace

bool IsText(std::string_view text, std::size_t max) {
  if (text.size() > max) return false;
  std::uint8_t before = 0;
  for (const char c : text) {
    const auto byte = static_cast<std::uint8_t>(c);
    if (byte < 0x20 || byte == 0x7F) return false;
    if (before == 0xC2 && byte >= 0x80 && byte <= 0x9F) return false;
    before = byte;
  }
  return true;
}

std::optional<Type> TypeOf(std::span<const std::uint8_t> datagram) {
  if (datagram.size() < kHead || datagram[0] != kVersion) return std::nullopt;
  const Range range = SizeOf(datagram[1]);
  if (datagram.size() < range.least || datagram.size() > range.most) return std::nullopt;
  return static_cast<Type>(datagram[1]);
}

std::optional<Hello> ParseHello(std::span<const std::uint8_t> datagram) {
  Reader in(datagram, Type::kHello);
  const std::uint64_t purpose = in.Number(1);
  const auto user = static_cast<std::size_t>(in.Number(1));
  const auto service = static_cast<std::size_t>(in.Number(1));
  const auto tty = static_cast<std::size_t>(in.Number(1));
  Hello hello;
  hello.user = in.Text(user);
  hello.service = in.Text(service);
  hello.tty = in.Text(tty);
  in.Require(purpose >= 1 && purpose <= static_cast<std::uint8_t>(Purpose::kCaller));
  in.Require(!hello.user.empty() && IsText(hello.user, kMaxLogin));
  in.Require(IsText(hello.service, kMaxService) && IsText(hello.tty, kMaxService));
  if (!in.Done()) return std::nullopt;
  hello.purpose = static_cast<Purpose>(purpose);
  return hello;
}

std::optional<std::string_view> ParsePin(std::span<const std::uint8_t> datagram) {
  Reader in(datagram, Type::kPin);
  const std::string_view pin = in.Field(kPinField);
  if (!in.Done()) return std::nullopt;
  return pin;
}

std::optional<PinSet> ParsePinSet(std::span<const std::uint8_t> datagram) {
  Reader in(datagram, Type::kPinSet);
  PinSet request;
  request.code = in.Field(kCodeField);
  request.pin = in.Field(kPinField);
  if (!in.Done()) return std::nullopt;
  return request;
}

std::optional<PinChange> ParsePinChange(std::span<const std::uint8_t> datagram) {
  Reader in(datagram, Type::kPinChange);
  PinChange request;
  request.old_pin = in.Field(kPinField);
  request.new_pin = in.Field(kPinField);
  if (!in.Done()) return std::nullopt;
  return request;
}

std::optional<std::uint64_t> ParseConfirm(std::span<const std::uint8_t> datagram) {
  Reader in(datagram, Type::kConfirm);
  const std::uint64_t seq = in.Number(8);
  in.Require(seq >= 1 && seq <= INT64_MAX);
  if (!in.Done()) return std::nullopt;
  return seq;
}

std::optional<Prove> ParseProve(std::span<const std::uint8_t> datagram) {
  Reader in(datagram, Type::kProve);
  Prove request;
  request.number = in.Text(kNumberDigits);
  request.pin = in.Field(kPinField);
  in.Require(IsNumber(request.number));
  if (!in.Done()) return std::nullopt;
  return request;
}

std::optional<Question> ParseQuestion(std::span<const std::uint8_t> datagram) {
  Reader in(datagram, Type::kQuestion);
  const auto asker = static_cast<std::size_t>(in.Number(1));
  const auto ticket = static_cast<std::size_t>(in.Number(1));
  const auto reason = static_cast<std::size_t>(in.Number(2));
  Question question;
  question.asker = in.Text(asker);
  question.ticket = in.Text(ticket);
  question.reason = in.Text(reason);
  in.Require(IsLine(question.asker, kMaxAsker) && IsLine(question.ticket, kMaxTicket) &&
             IsLine(question.reason, kMaxReason));
  if (!in.Done()) return std::nullopt;
  return question;
}

std::optional<Ready> ParseReady(std::span<const std::uint8_t> datagram) {
  Reader in(datagram, Type::kReady);
  Ready ready;
  ready.tries = static_cast<std::uint8_t>(in.Number(1));
  const std::uint64_t flags = in.Number(1);
  ready.pin_set = flags == kReadyPinSet;
  const auto size = static_cast<std::size_t>(in.Number(1));
  ready.key_name = in.Text(size);
  in.Require((flags & ~std::uint64_t{kReadyPinSet}) == 0 && IsText(ready.key_name, kMaxKeyName));
  if (!in.Done()) return std::nullopt;
  return ready;
}

std::optional<Released> ParseReleased(std::span<const std::uint8_t> datagram) {
  Reader in(datagram, Type::kReleased);
  Released released;
  released.seq = in.Number(8);
  const auto size = static_cast<std::size_t>(in.Number(2));
  released.password = in.Padded(size, kMaxPassword);
  in.Require(released.seq >= 1 && released.seq <= INT64_MAX);
  in.Require(size >= 1);
  if (!in.Done() || HasNul(released.password)) return std::nullopt;
  return released;
}

std::optional<Refusal> ParseRefusal(std::span<const std::uint8_t> datagram) {
  Reader in(datagram, Type::kError);
  const std::uint64_t problem = in.Number(1);
  Refusal refusal;
  refusal.tries = static_cast<std::uint8_t>(in.Number(1));
  const auto size = static_cast<std::size_t>(in.Number(2));
  refusal.sentence = in.Text(size);
  in.Require(problem >= 1 && problem <= static_cast<std::uint8_t>(Problem::kNotTaken));
  in.Require(!refusal.sentence.empty() && IsText(refusal.sentence, kMaxSentence));
  if (!in.Done()) return std::nullopt;
  refusal.problem = static_cast<Problem>(problem);
  return refusal;
}

std::size_t Write(const Hello& hello, std::span<std::uint8_t> out) {
  Writer to(out, Type::kHello);
  const std::string_view service = hello.service.substr(0, kMaxService);
  const std::string_view tty = hello.tty.substr(0, kMaxService);
  to.Require(!hello.user.empty() && IsText(hello.user, kMaxLogin));
  to.Number(static_cast<std::uint8_t>(hello.purpose), 1);
  to.Number(hello.user.size(), 1);
  to.Number(service.size(), 1);
  to.Number(tty.size(), 1);
  to.Text(hello.user);
  to.Cleaned(service);
  to.Cleaned(tty);
  return to.size();
}

std::size_t WritePin(std::string_view pin, std::span<std::uint8_t> out) {
  Writer to(out, Type::kPin);
  to.Field(pin, kPinField);
  return to.size();
}

std::size_t Write(const PinSet& request, std::span<std::uint8_t> out) {
  Writer to(out, Type::kPinSet);
  to.Field(request.code, kCodeField);
  to.Field(request.pin, kPinField);
  return to.size();
}

std::size_t Write(const PinChange& request, std::span<std::uint8_t> out) {
  Writer to(out, Type::kPinChange);
  to.Field(request.old_pin, kPinField);
  to.Field(request.new_pin, kPinField);
  return to.size();
}

std::size_t Write(const Prove& request, std::span<std::uint8_t> out) {
  Writer to(out, Type::kProve);
  to.Require(IsNumber(request.number));
  to.Text(request.number);
  to.Field(request.pin, kPinField);
  return to.size();
}

std::size_t Write(const Question& question, std::span<std::uint8_t> out) {
  Writer to(out, Type::kQuestion);
  // Never cut or changed: it is what the key signs.
  to.Require(IsLine(question.asker, kMaxAsker) && IsLine(question.ticket, kMaxTicket) &&
             IsLine(question.reason, kMaxReason));
  to.Number(question.asker.size(), 1);
  to.Number(question.ticket.size(), 1);
  to.Number(question.reason.size(), 2);
  to.Text(question.asker);
  to.Text(question.ticket);
  to.Text(question.reason);
  return to.size();
}

std::size_t WriteConfirm(std::uint64_t seq, std::span<std::uint8_t> out) {
  Writer to(out, Type::kConfirm);
  to.Require(seq >= 1 && seq <= INT64_MAX);
  to.Number(seq, 8);
  return to.size();
}

std::size_t Write(const Ready& ready, std::span<std::uint8_t> out) {
  Writer to(out, Type::kReady);
  to.Require(IsText(ready.key_name, kMaxKeyName));
  to.Number(ready.tries, 1);
  to.Number(ready.pin_set ? kReadyPinSet : 0, 1);
  to.Number(ready.key_name.size(), 1);
  to.Text(ready.key_name);
  return to.size();
}

std::size_t Write(const Released& released, std::span<std::uint8_t> out) {
  Writer to(out, Type::kReleased);
  to.Require(released.seq >= 1 && released.seq <= INT64_MAX);
  to.Require(!released.password.empty() && !HasNul(released.password));
  to.Number(released.seq, 8);
  to.Number(released.password.size(), 2);
  to.Padded(released.password, kMaxPassword);
  return to.size();
}

std::size_t Write(const Refusal& refusal, std::span<std::uint8_t> out) {
  Writer to(out, Type::kError);
  const std::string_view sentence = refusal.sentence.substr(0, kMaxSentence);
  to.Require(!sentence.empty());
  to.Number(static_cast<std::uint8_t>(refusal.problem), 1);
  to.Number(refusal.tries, 1);
  to.Number(sentence.size(), 2);
  to.Cleaned(sentence);
  return to.size();
}

std::size_t WriteBare(Type type, std::span<std::uint8_t> out) {
  Writer to(out, type);
  const Range range = SizeOf(static_cast<std::uint8_t>(type));
  to.Require(range.least == kHead && range.most == kHead);
  return to.size();
}

}  // namespace keyferry::daemon::login
