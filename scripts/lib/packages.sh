# Which Debian packages Keyferry needs, and how a script gets them. Source it, then: need_packages build demo …
# Rules: services of an installed package are never started, and no package stays in the common PAM stack.

PACKAGES_BUILD="build-essential cmake ninja-build ccache pkg-config git ca-certificates
  libboost1.81-dev libboost-json1.81-dev libboost-url1.81-dev libssl-dev libmbedtls-dev libldap-dev libsoci-dev libsqlite3-dev libpq-dev
  libsodium-dev libicu-dev libqrencode-dev libspdlog-dev libfmt-dev libcli11-dev libtomlplusplus-dev libexpected-dev libkainjow-mustache-dev libcurl4-openssl-dev
  libfido2-dev libkrb5-dev libpam0g-dev libsystemd-dev libhidapi-dev libusb-1.0-0-dev libudev-dev libsdbus-c++-dev catch2 librapidcheck-dev libumockdev-dev"
PACKAGES_DEMO="samba samba-ad-dc samba-ad-provision samba-dsdb-modules samba-vfs-modules winbind krb5-user ldb-tools tdb-tools ldap-utils
  libpam-krb5 pamtester openssl curl jq procps util-linux iproute2"
PACKAGES_CHECK="sqlite3 postgresql python3-aiosmtpd slapd slapd-contrib chromium libnss3-tools gdb"
PACKAGES_VM="qemu-system-x86 seabios busybox-static cpio xz-utils e2fsprogs kmod usbip usbutils udev dbus bluez bluez-test-tools"
PACKAGES_TEST="postgresql python3-aiosmtpd slapd slapd-contrib libpam-wrapper umockdev python3 dbus python3-dbus python3-dbusmock python3-gi"
PACKAGES_LINT="clang-format"
PACKAGES_MODEL="spin gcc libc6-dev"
PACKAGES_WINDOWS="g++-mingw-w64-x86-64-posix wine wine64"
PACKAGES_BENCH="strace ldap-utils gcc-arm-none-eabi libstdc++-arm-none-eabi-newlib libnewlib-arm-none-eabi"
PACKAGES_FUZZ="clang-14 libclang-rt-14-dev libfuzzer-14-dev"

# The page styles and the browser driver come from npm; any Node.js from 18 on will do.
node_packages() { if command -v node >/dev/null && command -v npm >/dev/null; then :; else echo nodejs npm; fi; }

# need_packages GROUP…: installs what is missing when root, else says exactly what root must install and fails.
need_packages() {
  local group package missing=""
  for group in "$@"; do
    local variable="PACKAGES_${group^^}"
    for package in ${!variable} $([ "$group" = build ] && node_packages); do
      dpkg-query -W -f='${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || missing+=" $package"
    done
  done
  [ -n "$missing" ] || return 0
  if [ "$(id -u)" != 0 ]; then
    say "These packages are missing. As root, run:"
    say "  apt-get install --no-install-recommends$missing"
    return 3
  fi
  say "Installing:$missing"
  install_quietly $missing
}

# apt-get with services held back (policy-rc.d) and the PAM stack put back as it was.
install_quietly() {
  local log policy=/usr/sbin/policy-rc.d made_policy=no had_krb5
  log=$(mktemp)
  had_krb5=$(dpkg-query -W -f='${db:Status-Status}' libpam-krb5 2>/dev/null || true)
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    made_policy=yes
  fi
  local status=0
  {
    apt-get -o DPkg::Lock::Timeout=300 update &&
      DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "$@"
  } >"$log" 2>&1 </dev/null || status=$?
  [ "$made_policy" = no ] || rm -f "$policy"
  if [ "$had_krb5" != installed ] && dpkg-query -W libpam-krb5 >/dev/null 2>&1; then
    DEBIAN_FRONTEND=noninteractive pam-auth-update --package --remove krb5 >>"$log" 2>&1 || status=$?
  fi
  if [ "$status" != 0 ]; then
    say "Installing failed; the last lines of apt were:"
    tail -n 20 "$log" >&2
  fi
  rm -f "$log"
  return "$status"
}
