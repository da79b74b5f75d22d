# Builds the guest's kernel and initramfs into build/vm, once. Source it, then: vm_build
# The kernel is Debian's own (never installed, only unpacked): it has the USB, uhid and Bluetooth stacks that the build machine may lack.
VM=$ROOT/build/vm
VM_META=linux-image-amd64

# What init loads, before the guest is kept (freeze.sh): what nearly every run needs.
VM_BOOT_MODULES="virtio_pci virtio_console virtio_rng 9pnet_virtio 9p overlay virtio_blk virtio_net virtio_pmem nd_pmem ext4
  uhid usbhid hid_generic vhci_hcd"
# What the guest can load after it, from here. Dependencies come along by themselves.
VM_MODULES="$VM_BOOT_MODULES dm_mod dm_flakey loop usbip_core dummy_hcd libcomposite usb_f_hid uhci_hcd ehci_pci xhci_pci
  bluetooth hci_vhci cmac ecb ecdh_generic drbg hmac sha256_generic sha512_generic sha3_generic jitterentropy_rng ctr ccm aes_generic
  algif_skcipher algif_hash"

vm_kernel_package() {
  apt-cache depends "$VM_META" 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[0-9].*amd64\)$/\1/p' | head -n 1
}

# vm_fetch DIR: the kernel's .deb, unpacked into DIR.
vm_fetch() {
  local dir=$1 package
  mkdir -p "$dir/deb"
  package=$(vm_kernel_package)
  if [ -z "$package" ] || ! (cd "$dir/deb" && apt-get download "$package"); then
    apt-get -o DPkg::Lock::Timeout=300 update || true
    package=$(vm_kernel_package)
    [ -n "$package" ] || { echo "apt knows no $VM_META"; return 1; }
    (cd "$dir/deb" && apt-get download "$package")
  fi
  dpkg-deb -x "$dir"/deb/*.deb "$dir/kernel"
  rm -rf "$dir/deb"
}

# vm_elf BZIMAGE OUT: the ELF inside. QEMU boots it through PVH two seconds faster than the compressed image.
vm_elf() {
  local offset
  for offset in $(LC_ALL=C grep -aboP '\xFD7zXZ\x00' "$1" | cut -d: -f1); do
    tail -c "+$((offset + 1))" "$1" | xz -dc --single-stream >"$2" 2>/dev/null || true
    [ "$(head -c 4 "$2" | tail -c 3)" = ELF ] && return 0
  done
  echo "$1 holds no ELF packed with xz"
  return 1
}

# vm_modules DIR TREE MODULE…: these and what they need, below TREE/lib/modules.
vm_modules() {
  local dir=$1 tree=$2 version module file
  shift 2
  version=$(ls "$dir/kernel/lib/modules")
  for module in "$@"; do
    modprobe -d "$dir/kernel" -S "$version" --show-depends "$module"
  done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | sort -u >"$dir/list"
  while read -r file; do
    install -D -m 644 "$file" "$tree/${file#"$dir/kernel/"}"
  done <"$dir/list"
  cp "$dir/kernel/lib/modules/$version"/modules.{order,builtin,builtin.modinfo} "$tree/lib/modules/$version/"
  depmod -b "$tree" "$version"
}

# vm_initramfs DIR: busybox, the modules of the boot and init. The other modules stay outside, in DIR/modules.
vm_initramfs() {
  local dir=$1 tree=$1/initramfs
  depmod -b "$dir/kernel" "$(ls "$dir/kernel/lib/modules")"
  mkdir -p "$tree"/{bin,proc,sys,dev,new,low,run,rw}
  cp /bin/busybox "$tree/bin/busybox"
  vm_modules "$dir" "$tree" $VM_BOOT_MODULES
  vm_modules "$dir" "$dir/all" $VM_MODULES
  mv "$dir/all/lib/modules" "$dir/modules"
  install -m 755 "$ROOT/scripts/lib/vm/init" "$tree/init"
  echo $VM_BOOT_MODULES >"$tree/modules"
  (cd "$tree" && find . | LC_ALL=C sort | cpio -o -H newc --quiet) >"$dir/initramfs.cpio"
}

vm_make() {
  local stamp=$1 new
  new=$(mktemp -d "$VM.XXXXXX")
  vm_fetch "$new" && vm_elf "$new"/kernel/boot/vmlinuz-* "$new/vmlinux" && vm_initramfs "$new" || { rm -rf "$new"; return 1; }
  cp "$new"/kernel/boot/config-* "$new/config"
  rm -rf "$new/kernel" "$new/initramfs" "$new/all" "$new/list"
  echo "$stamp" >"$new/stamp"
  rm -rf "$VM"
  mv "$new" "$VM"
}

# vm_build: nothing when the cached guest was made from the present files.
vm_build() {
  local stamp
  stamp=$(cat "$ROOT/scripts/lib/vm/build.sh" "$ROOT/scripts/lib/vm/init" | sha256sum | cut -d' ' -f1)
  mkdir -p "$ROOT/build"
  exec 8>"$ROOT/build/vm.lock"
  flock 8
  [ "$(cat "$VM/stamp" 2>/dev/null)" = "$stamp" ] || step "Building the guest" vm_make "$stamp"
  exec 8>&-
}
