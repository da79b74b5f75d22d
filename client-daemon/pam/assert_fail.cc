// libstdc++'s bounds checks (_GLIBCXX_ASSERTIONS) end here instead of in its shared library, which
// login programs would otherwise have to load for this one function.
namespace std {

[[noreturn]] void __glibcxx_assert_fail(const char*, int, const char*, const char*) noexcept {
  __builtin_trap();
}

}  // namespace std
