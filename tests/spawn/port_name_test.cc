// tests/spawn/port_name_test.cc - port names as text, and what is checked before a connection.
#include "spawn/port_name.h"

#include <gtest/gtest.h>

#include <random>

#include "tests/unit/seed.h"

namespace tern::spawn {
namespace {

PortName sample() {
  PortName port;
  port.os = "Linux";
  port.fabrics = {{"shm", "00112233445566aa", "3ba.3.feaa6f83fe008a16.7f0e5b3a3000.2a98"},
                  {"verbs", "fe80000000000001", "fe80.1/1f.2b"}};
  port.host = "node17";
  port.server = {0x3f657b3cef237ea4, 12};
  port.port = 3;
  for (std::size_t i = 0; i < port.secret.size(); ++i) {
    port.secret[i] = static_cast<std::uint8_t>(17 * i + 3);
  }
  return port;
}

Station station(std::string fabric, std::string network) {
  return {kWireVersion, "Linux", {{std::move(fabric), std::move(network), "x"}}, "here"};
}

bool decodes(std::string_view text) {
  std::string why;
  const bool good = PortName::decode(text, why).has_value();
  EXPECT_NE(good, !why.empty());
  return good;
}

TEST(PortName, ComesBackAsItWas) {
  const std::string text = sample().encode();
  std::string why;
  const auto port = PortName::decode(text, why);
  ASSERT_TRUE(port) << why;
  EXPECT_EQ(port->os, "Linux");
  EXPECT_EQ(port->host, "node17");
  EXPECT_EQ(port->server, sample().server);
  EXPECT_EQ(port->port, 3U);
  EXPECT_TRUE(same_secret(port->secret, sample().secret));
  ASSERT_EQ(port->fabrics.size(), 2U);
  EXPECT_EQ(port->fabrics[1].name, "verbs");
  EXPECT_EQ(port->fabrics[1].address, "fe80.1/1f.2b");
  EXPECT_EQ(port->encode(), text);
}

TEST(PortName, SurvivesShellsAndMails) {
  PortName port = sample();
  port.host = "a b\"c'$d#e\\f\n`g`*!;&|<>(){}[]~?";
  const std::string text = port.encode();
  EXPECT_LE(text.size(), kPortNameLongest);
  for (const char c : text) {
    const bool harmless = std::isalnum(static_cast<unsigned char>(c)) != 0 ||
                          std::string_view(".-_@/%:+=").find(c) != std::string_view::npos;
    EXPECT_TRUE(harmless) << "character " << static_cast<int>(c);
  }
  EXPECT_TRUE(decodes(text));
}

TEST(PortName, ShortensTheHostBeforeItGivesUp) {
  PortName port = sample();
  port.host = std::string(500, 'h');
  EXPECT_EQ(port.encode().size(), kPortNameLongest);
  EXPECT_TRUE(decodes(port.encode()));
  port.fabrics[0].address = std::string(300, 'a');
  EXPECT_EQ(port.encode(), "");
}

TEST(PortName, DamageIsNoticed) {
  const std::string text = sample().encode();
  for (std::size_t i = 0; i < text.size(); ++i) {
    EXPECT_FALSE(decodes(text.substr(0, i))) << "cut off after " << i;
    std::string changed = text;
    changed[i] = changed[i] == '7' ? '8' : '7';
    EXPECT_FALSE(decodes(changed)) << "changed at " << i;
  }
  EXPECT_FALSE(decodes(text + "0"));
  EXPECT_FALSE(decodes(" " + text));
}

TEST(PortName, GarbageIsRefused) {
  std::mt19937_64 random(test::seed());
  const std::string text = sample().encode();
  for (int round = 0; round < 20000; ++round) {
    std::string garbage;
    if (round % 2 == 0) {
      garbage = text;
      for (int changes = 0; changes < 4; ++changes) {
        garbage[random() % garbage.size()] = static_cast<char>(random());
      }
      if (garbage == text) continue;
    } else {
      garbage.resize(random() % 400);
      for (char& c : garbage) c = static_cast<char>(random());
      if (random() % 2 == 0) garbage.insert(0, "tern-port:1:");
    }
    EXPECT_FALSE(decodes(garbage));
  }
}

TEST(PortName, ChecksAreMadeInOrder) {
  const PortName port = sample();
  Station other = station("ucx", "1");
  other.wire_version = kWireVersion + 1;
  other.os = "Other";
  const auto says = [&](const char* words) {
    return why_no_match(port, other).find(words) != std::string::npos;
  };
  EXPECT_TRUE(says("wire version")) << why_no_match(port, other);
  EXPECT_TRUE(says("same release"));
  other.wire_version = kWireVersion;
  EXPECT_TRUE(says("Linux") && says("Other")) << why_no_match(port, other);
  other.os = "Linux";
  EXPECT_TRUE(says("shm,verbs") && says("ucx") && says("TERN_FABRIC")) << why_no_match(port, other);
  other.fabrics = {{"verbs", "fe80000000000002", "x"}};
  EXPECT_TRUE(says("fe80000000000001") && says("fe80000000000002") && says("here") &&
              says("node17"))
      << why_no_match(port, other);
  other.fabrics = {{"verbs", "fe80000000000001", "x"}};
  EXPECT_EQ(why_no_match(port, other), "");
  EXPECT_EQ(why_no_match(port, station("shm", "00112233445566aa")), "");
}

TEST(PortName, OnlyAddressesOnCommonNetworksAreUsed) {
  Card client;
  client.host = {"boot", 1, 2, 3, "here"};
  client.addresses = {{"shm", "1.2.3.4.5"}, {"verbs", "fe80.1/9.9"}};
  PortName port = sample();
  port.fabrics[1].network = network_of(client, "verbs");
  EXPECT_FALSE(card_of(port, client).addresses.contains("shm"));
  EXPECT_TRUE(card_of(port, client).addresses.contains("verbs"));
  port.fabrics[0].network = network_of(client, "shm");
  EXPECT_TRUE(card_of(port, client).addresses.contains("shm"));
  EXPECT_NE(network_of(client, "shm"), network_of(client, "verbs"));
}

TEST(PortName, NetworksAreToldApartByWhatStandsBeforeTheAddress) {
  Card here;
  here.host = {"boot", 1, 2, 3, "here"};
  Card there;
  there.host = {"other boot", 4, 5, 6, "there"};
  here.addresses = {{"shm", "1.2.3.4.5"}, {"verbs", "ib.fe80/9.9"}};
  there.addresses = {{"shm", "1.2.3.4.5"}, {"verbs", "ib.fe80/7.7"}};
  EXPECT_NE(network_of(here, "shm"), network_of(there, "shm"));
  EXPECT_EQ(network_of(here, "verbs"), network_of(there, "verbs"));
  there.addresses["verbs"] = "ib.fe81/7.7";
  EXPECT_NE(network_of(here, "verbs"), network_of(there, "verbs"));
  // The name of the network is in its number, and takes no room in a port name.
  EXPECT_EQ(station_of(here).fabrics[1].address, "9.9");
}

TEST(PortName, SecretsDiffer) {
  PortSecret one{};
  PortSecret other{};
  ASSERT_TRUE(make_secret(one) && make_secret(other));
  EXPECT_FALSE(same_secret(one, other));
  other = one;
  EXPECT_TRUE(same_secret(one, other));
  other[15] ^= 1;
  EXPECT_FALSE(same_secret(one, other));
}

}  // namespace
}  // namespace tern::spawn
