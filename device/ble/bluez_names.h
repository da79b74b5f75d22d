#pragma once

// The names by which BlueZ is asked on the system bus (org.bluez.Adapter, org.bluez.Device,
// org.bluez.GattCharacteristic manual pages).
namespace keyferry::device {

inline constexpr char kBluez[] = "org.bluez";
inline constexpr char kBluezAdapter[] = "org.bluez.Adapter1";
inline constexpr char kBluezDevice[] = "org.bluez.Device1";
inline constexpr char kBluezService[] = "org.bluez.GattService1";
inline constexpr char kBluezCharacteristic[] = "org.bluez.GattCharacteristic1";
inline constexpr char kBluezAgentManager[] = "org.bluez.AgentManager1";

}  // namespace keyferry::device
